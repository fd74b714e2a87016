import type { Command } from 'commander';
import type { CommandIo } from './command-io.ts';
import type { ExportOptions } from './export.ts';
import { addImageOptions } from './image-options.ts';
import type { InventoryOptions } from './inventory.ts';
import type { KeygenOptions } from './keygen.ts';

const CONFIG = [
  '--config <file>',
  'configuration file (YAML); without it the built-in defaults hold',
] as const;

/** The commands that carry images from one site to another. `done` is told each one's exit code. */
export function addBundleCommands(program: Command, io: CommandIo, done: (code: number) => void): void {
  addImageOptions(
    program
      .command('export')
      .description('Write what is cached into an OCI layout, to be carried elsewhere.'),
  )
    .option(...CONFIG)
    .requiredOption('--output <path>', 'FILE.tar, FILE.tar.zst, or a directory')
    .option('--split-images', 'one tar for each image, in the directory that --output names')
    .option(
      '--missing-only-from <inventory>',
      'leave out every blob that entrepot inventory found at the other side',
    )
    .option('--max-part-size <size>', 'split the tar into parts of at most so many bytes (KiB, MiB, GiB)')
    .option('--sign <key>', 'sign it with a private key that entrepot keygen made')
    .option('--force', 'replace what is there')
    .option('--json', 'print events as they come, a JSON document a line')
    .addHelpText('after', `${WHERE}${EXPORT_HELP}`)
    .action(async (images: readonly string[], options: ExportOptions) =>
      done(await (await import('./export.ts')).exportCommand(images, options, io)),
    );
  program
    .command('inventory')
    .description('Write down what is cached here, so that an export elsewhere can leave it out.')
    .option(...CONFIG)
    .requiredOption('--output <file>', 'where to')
    .option('--force', 'replace what is there')
    .option('--json', 'print {path, count, sizeBytes} as JSON')
    .addHelpText('after', `${WHERE}${INVENTORY_HELP}`)
    .action(async (options: InventoryOptions) =>
      done(await (await import('./inventory.ts')).inventory(options, io)),
    );
  program
    .command('keygen')
    .description('Make a key pair (Ed25519) that signs bundles and verifies them.')
    .option('--output <name>', 'NAME.key and NAME.pub are written (default entrepot)')
    .option('--json', 'print {privateKey, publicKey}, the paths, as JSON')
    .addHelpText('after', KEYGEN_HELP)
    .action(async (options: KeygenOptions) => done(await (await import('./keygen.ts')).keygen(options, io)));
}

const WHERE = `
It asks the server that uses the data directory (admin.listen, with admin.token), or else opens the directory itself.
Results go to standard output, progress and remarks to standard error.
`;

const EXPORT_HELP = `
Only what is cached is written; fill the cache first: entrepot warm. An image may also be a pattern of what is cached
('docker.io/library/*', 'quay.io'). What an image lacks is named, the others are written, and the exit code is 1.

The result is an OCI image layout for skopeo, ctr images import, podman load (one image in each: --split-images),
docker load (one platform of each image: the first of --platform, or linux on this machine's processor) and entrepot
import. It has its name once it is whole. Parts (FILE.tar.001, …, with FILE.tar.parts.json) are for entrepot import, or
cat FILE.tar.??? > FILE.tar. Written as .tar.zst it needs Node 22.15 or later.

Exit code 1: something is missing or could not be written; 2: wrong usage or configuration.

Examples:
  entrepot export nginx:1.27 quay.io/coreos/etcd:v3.5 --output bundle.tar
  entrepot export --from site/ --platform linux/amd64 --with-referrers --output bundle.tar --max-part-size 4GiB
  entrepot export 'docker.io/library/*' --split-images --output images/
  entrepot export --seen-within 30d --missing-only-from site.inventory --sign entrepot.key --output delta.tar
`;

const INVENTORY_HELP = `
Exit code 1: it could not be written; 2: wrong usage or configuration.

Examples:
  entrepot inventory --output site.inventory
  entrepot export --from site/ --missing-only-from site.inventory --output delta.tar
`;

const KEYGEN_HELP = `
The private key can be read by its owner alone, and is never replaced.

Exit code 1: it could not be written; 2: wrong usage.

Examples:
  entrepot keygen
  entrepot keygen --output /secure/site
`;
