import type { Command } from 'commander';
import type { CommandIo } from './command-io.ts';
import type { ImportOptions } from './import.ts';

/** `entrepot import`. `done` is told its exit code. */
export function addImportCommand(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('import')
    .description('Take in images that another cache, docker save or any OCI tool wrote.')
    .argument('<file...>', 'tars (plain, gzip, zstd), directories of OCI layouts, or any part of a bundle')
    .option('--upstream <name>', 'where names go that have no host, or one that is no upstream here')
    .option('--as <image>', 'what the image is called here, in place of its own name')
    .option(
      '--public-key <file>',
      'who must have signed it, in place of bundle.publicKeys; may be given several times',
      (file: string, others: readonly string[] | undefined) => [...(others ?? []), file],
    )
    .option('--dry-run', 'only say what would be imported')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .option('--json', 'print {added, present, blobs, bytes, images, failures, remarks} as JSON')
    .addHelpText('after', IMPORT_HELP)
    .action(async (files: readonly string[], options: ImportOptions) =>
      done(await (await import('./import.ts')).importArchives(files, options, io)),
    );
}

const IMPORT_HELP = `
It asks the server that uses the data directory (admin.listen, with admin.token), or else opens the directory itself,
and begins it where there is none. Clients are served meanwhile. All that comes in is compared with its digest before
anybody can see it, and an image is called by its name when all of it is here. What is wrong is named with its file and
entry, and the rest is imported. Running it again changes nothing.

A tag that its upstream was asked about later here stays what it is. Without a way to the upstreams set offline: true,
so that clients are given what is here whatever its age.

Archives of docker save before Docker 25 hold no manifests: one is made for each image, with uncompressed layers, so
its digest is not the one that it has in its registry. Names without a host are Docker Hub's there, as docker has it.

Exit code 1: something could not be imported; 2: wrong usage or configuration.

Examples:
  entrepot import /media/usb/site.tar
  entrepot import /media/one/site.tar.001 /media/two/site.tar.002 --public-key export.pub
  docker save -o app.tar team/app:v1 && entrepot import app.tar --upstream registry.internal
  entrepot import ./layout --as quay.io/team/app:v1 --config /etc/entrepot/config.yaml
`;
