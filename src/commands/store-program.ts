import type { Command } from 'commander';
import type { CommandIo } from './command-io.ts';
import type { EvictOptions } from './evict.ts';
import type { ImagesOptions } from './images.ts';
import type { PinOptions } from './pin.ts';
import type { PurgeOptions } from './purge.ts';
import type { StatusOptions } from './status.ts';
import type { StoreCommandOptions } from './store-command.ts';

const CONFIG = [
  '--config <file>',
  'configuration file (YAML); without it the built-in defaults hold',
] as const;

/** The commands on what is cached. `done` is told each one's exit code. */
export function addStoreCommands(program: Command, io: CommandIo, done: (code: number) => void): void {
  const command = (name: string, description: string, json: string) =>
    program
      .command(name)
      .description(description)
      .option(...CONFIG)
      .option('--json', `print ${json} as JSON`)
      .addHelpText('after', `${WHERE}${HELP[name] ?? ''}`);

  command('status', 'Say what the store holds, how it is and what goes on.', 'it')
    .option('--watch', 'again every two seconds, until SIGINT')
    .action(async (options: StatusOptions) => done(await (await import('./status.ts')).status(options, io)));
  command('images', 'List what is cached.', '{images}')
    .argument('[selection]', SELECTION)
    .option('--sort <order>', 'name, size or use (default name)')
    .option('--no-trunc', 'digests in full')
    .action(async (selection: string | undefined, options: ImagesOptions) =>
      done(await (await import('./images.ts')).images(selection, options, io)),
    );
  command('explain', 'Say how a reference would be answered now, and why.', 'it')
    .argument('<image>', 'as docker pull takes it, such as nginx:1.27')
    .action(async (image: string, options: StoreCommandOptions) =>
      done(await (await import('./explain.ts')).explain(image, options, io)),
    );
  command('purge', 'Take something out of the cache, at once.', 'what was done')
    .argument('<selection>', SELECTION)
    .option('--dry-run', 'only say what would go')
    .option('--yes', 'needed for a whole upstream')
    .action(async (selection: string, options: PurgeOptions) =>
      done(await (await import('./purge.ts')).purge(selection, options, io)),
    );
  command('verify', 'Read what is cached and compare its digests.', '{blobs, bytes, damaged, unreadable}')
    .argument('[selection]', `${SELECTION}; everything without it`)
    .action(async (selection: string | undefined, options: StoreCommandOptions) =>
      done(await (await import('./verify.ts')).verify(selection, options, io)),
    );
  command('evict', 'Give up what was used least until only so much is stored.', 'what was done')
    .requiredOption('--to <size>', 'what may stay: bytes, or with KiB, MiB, GiB, TiB')
    .option('--dry-run', 'only say what would go, and why')
    .action(async (options: EvictOptions) => done(await (await import('./evict.ts')).evict(options, io)));
  command('pin', 'Have images never evicted.', 'what was done')
    .argument('[pattern]', PATTERN)
    .option('--list', 'list what is pinned')
    .action(async (pattern: string | undefined, options: PinOptions) =>
      done(await (await import('./pin.ts')).pin(pattern, options, io)),
    );
  command('unpin', 'Take a pin away.', 'what was done')
    .argument('<pattern>', 'as entrepot pins prints it, or as it was given')
    .action(async (pattern: string, options: StoreCommandOptions) =>
      done(await (await import('./pin.ts')).unpin(pattern, options, io)),
    );
  command('pins', 'List what is pinned.', '{pins}').action(async (options: StoreCommandOptions) =>
    done(await (await import('./pin.ts')).pins(options, io)),
  );
}

const SELECTION = 'an upstream, a repository (all of its tags) or an image, such as nginx:1.27';
const PATTERN = '[upstream/]repository[:tag][@digest] with * and **, or an upstream';

const WHERE = `
It asks the server that uses the data directory (admin.listen, with admin.token), or else opens the directory itself.
Results go to standard output, progress and remarks to standard error.
`;

const HELP: Readonly<Record<string, string>> = {
  status: `
Where a server runs: how its upstreams are, what was asked in the last hour (or since its start), and what is being
fetched. With --watch a terminal is drawn anew; elsewhere each is a block of its own. SIGINT ends it with exit code 0.

Examples:
  entrepot status --config /etc/entrepot/config.yaml
  entrepot status --watch
  entrepot status --json | jq .pinned.bytes
`,
  images: `
Sizes: all that is stored of an image, and what no other image here uses.

Exit code 1: nothing is cached of what was named; 2: wrong usage or configuration.

Examples:
  entrepot images --sort size
  entrepot images quay.io
  entrepot images nginx --json
`,
  explain: `
Which upstream and which rule hold, what the tag means here and since when, what is stored of each platform, what the
upstream would be asked and what that would cost of its quota. No upstream is asked to find out.

Exit code 1: clients would be refused it; 2: wrong usage or configuration.

Examples:
  entrepot explain nginx:1.27
  entrepot explain quay.io/coreos/etcd:v3.5 --json
`,
  purge: `
Nothing of it is served any more without asking its upstream; files that other repositories hold stay. A pull that runs
is not disturbed, and may bring it back. Pins stay.

Exit code 1: nothing is cached of what was named, or a file could not be removed; 2: wrong usage or configuration.

Examples:
  entrepot purge nginx:1.27
  entrepot purge ghcr.io/org/app --dry-run
  entrepot purge quay.io --yes --config /etc/entrepot/config.yaml
`,
  verify: `
What is damaged is set aside (below content/ of the data directory), and fetched again when it is asked for.

Exit code 1: something is damaged or could not be read; 2: wrong usage or configuration.

Examples:
  entrepot verify
  entrepot verify ghcr.io/org/app:v1 --json
`,
  evict: `
Pinned images stay. With --dry-run the order is that of now: when a manifest goes, what only it used comes next.

Exit code 1: what is pinned is more than that; 2: wrong usage or configuration.

Examples:
  entrepot evict --to 20GiB --dry-run
  entrepot evict --to 20GiB
`,
  pin: `
Without a tag all tags are meant, and what is pulled by digest. What is not cached yet is kept once it is pulled.
cache.pins of the configuration does the same.

Examples:
  entrepot pin nginx:1.27
  entrepot pin 'docker.io/library/*'
  entrepot pin --list
`,
  unpin: `
Exit code 1: it was not pinned, or cache.pins of the configuration pins it; 2: wrong usage or configuration.

Examples:
  entrepot unpin nginx:1.27
`,
  pins: `
Examples:
  entrepot pins
  entrepot pins --json --config /etc/entrepot/config.yaml
`,
};
