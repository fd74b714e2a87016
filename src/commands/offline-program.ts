import type { Command } from 'commander';
import type { CommandIo } from './command-io.ts';
import { addNamedImageOptions } from './image-options.ts';
import type { OfflineOptions } from './offline.ts';
import type { RehearsalOptions } from './rehearsal.ts';
import type { StoreCommandOptions } from './store-command.ts';

const CONFIG = [
  '--config <file>',
  'configuration file (YAML); without it the built-in defaults hold',
] as const;

/** The commands on how a running server goes by its configuration, or not. `done` is told each one's exit code. */
export function addOfflineCommands(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('offline')
    .description('Have the running server ask no upstream, or ask them again; or say how it is.')
    .argument('[state]', 'on or off; on where only --for is given')
    .option('--for <duration>', 'for so long, 1s to 7d; then the configuration holds again')
    .option('--upstream <name...>', 'only these upstreams, in place of all')
    .option(...CONFIG)
    .option('--json', 'print {upstreams} as JSON')
    .addHelpText('after', OFFLINE_HELP)
    .action(async (state: string | undefined, options: OfflineOptions) =>
      done(await (await import('./offline.ts')).offline(state, options, io)),
    );
  program
    .command('reload')
    .description('Have the running server take its configuration again.')
    .option(...CONFIG)
    .option('--json', 'print {changed} as JSON')
    .addHelpText('after', RELOAD_HELP)
    .action(async (options: StoreCommandOptions) =>
      done(await (await import('./reload.ts')).reload(options, io)),
    );
  const rehearsal = program
    .command('rehearsal')
    .description('Say what failed while upstreams were not asked, and which images would be missing.');
  addNamedImageOptions(rehearsal)
    .option(...CONFIG)
    .option('--json', 'print {running, last, total, whole, percent, byPlatform, images, problems} as JSON')
    .addHelpText('after', REHEARSAL_HELP)
    .action(async (images: readonly string[], options: RehearsalOptions) =>
      done(await (await import('./rehearsal.ts')).rehearsal(images, options, io)),
    );
}

const OFFLINE_HELP = `
While it is offline no upstream is asked for anything: what is cached is served whatever its age, what is not is 404 at
once, with a message that says so. Requests that wait for an answer break off; blobs that have begun to come may end.
A client that is told to fall back to the registry itself does so: that is its own configuration.

It is kept in memory only: a restart goes back to the configuration (offline, upstreams.<name>.offline), and so does the
end of --for. What fails meanwhile is told by entrepot rehearsal.

Exit code 1: no server runs, or it cannot be asked; 2: wrong usage or configuration.

Examples:
  entrepot offline --for 10m
  entrepot offline on --upstream docker.io
  entrepot offline off
  entrepot offline --json
`;

const RELOAD_HELP = `
The keys that are other than before are printed; they hold from then on, and pulls go on. SIGHUP does the same. The server
reads its own file with its own environment, and checks all of it first: a fault, or a key that needs a restart (listen,
admin, dataDir and others: see the README), and nothing changes.

Exit code 1: no server runs, or it cannot be asked; 2: the configuration is refused, or wrong usage.

Examples:
  entrepot reload --config /etc/entrepot/config.yaml
  systemctl reload entrepot
`;

const REHEARSAL_HELP = `
Requests: those of the rehearsal that goes on and of the one that ended last, as the server remembers them (5,000
different ones; not beyond a restart). Images: whether a client would be given all of each, by what is stored and what
its repository was seen to hold; without --platform for every platform of it. No upstream is asked, and it need not be
offline, nor must a server run. BuildKit's attestations count with --with-referrers alone.

Exit code 1: an image would be missing, in part or as a whole, or could not be understood; where none is named: a
request failed, or there was no rehearsal; 2: wrong usage or configuration.

Examples:
  entrepot rehearsal
  entrepot rehearsal --from manifests/ --platform linux/amd64
  helm template chart | entrepot rehearsal --from - --json
`;
