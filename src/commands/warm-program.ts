import type { Command } from 'commander';
import { DEFAULT_CONCURRENCY } from '../warm/warm-operations.ts';
import type { CommandIo } from './command-io.ts';
import { addImageOptions } from './image-options.ts';
import type { WarmOptions } from './warm.ts';

/** The command that fills the cache. `done` is told its exit code. */
export function addWarmCommand(program: Command, io: CommandIo, done: (code: number) => void): void {
  addImageOptions(
    program
      .command('warm')
      .description('Fetch images into the cache before anybody asks for them.')
      .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold'),
  )
    .option('--dry-run', 'only say what is missing, how many bytes and how many pulls it takes')
    .option('--concurrency <count>', `blobs of an upstream at the same time (default ${DEFAULT_CONCURRENCY})`)
    .option('--json', 'print what happens as JSON, a line for each event')
    .addHelpText('after', HELP)
    .action(async (images: readonly string[], options: WarmOptions) => {
      const { warm } = await import('./warm.ts');
      done(await warm(images, options, io));
    });
}

const HELP = `
It has the server do it that uses the data directory (admin.listen, with admin.token), or else opens the directory
itself. What is cached is not fetched again: after an interruption, run it again. Blobs that clients wait for come first.
Below the reserve of an upstream's pulls (limits.pullReserve) it waits, and says until when. A dry run asks upstreams by
HEAD only; of an image whose manifests are not here it can say no more than "at least".

Results go to standard output, progress and remarks to standard error.

Exit code 1: something could not be fetched (all else was); 2: wrong usage or configuration.

Examples:
  entrepot warm nginx:1.27 quay.io/coreos/etcd:v3.5.17 --platform linux/amd64,linux/arm64
  entrepot warm --from images.txt --from deploy/ --with-referrers
  helm template my-release ./chart | entrepot warm --from -
  entrepot warm nginx --tags '^1.27' --dry-run
  entrepot warm --seen-within 30d --json --config /etc/entrepot/config.yaml
`;
