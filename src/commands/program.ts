import { Command, CommanderError } from 'commander';
import { addBundleCommands } from './bundle-program.ts';
import type { CheckOptions } from './check.ts';
import type { CommandIo } from './command-io.ts';
import type { HealthOptions } from './health.ts';
import { addImportCommand } from './import-program.ts';
import { withPrintableText } from './printable.ts';
import type { SetupOptions } from './setup.ts';
import { addOfflineCommands } from './offline-program.ts';
import { addReportCommand } from './report-program.ts';
import { addStoreCommands } from './store-program.ts';
import { addWarmCommand } from './warm-program.ts';

const DONE = 0;
const WRONG_USAGE = 2;

/**
 * Runs what `args` (without the interpreter and the script) say.
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage or configuration. It never ends the process itself.
 */
export async function runProgram(args: readonly string[], given: CommandIo): Promise<number> {
  const io = withPrintableText(given);
  let code = DONE;
  const program = new Command('entrepot')
    .description('A pull-through caching proxy and mirror for container registries.')
    .version(io.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', '\nExample:\n  entrepot serve --config /etc/entrepot/config.yaml\n');

  program
    .command('serve')
    .description('Serve container clients from the cache and fill it from the upstream registries.')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .addHelpText('after', SERVE_HELP)
    .action(async (options: { readonly config?: string }) => {
      // Not loaded for --help and --version.
      const { serve } = await import('./serve.ts');
      code = await serve(options, io);
    });

  program
    .command('setup')
    .description('Print exactly what to put where to make a client pull through the cache.')
    .argument('[client]', 'one of those that --list names')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .option('--list', 'list the clients')
    .option('--upstream <name...>', 'only these upstreams, in place of all')
    .option('--ca <file>', 'PEM file of the authority that the cache has its certificate from')
    .option('--catch-all', 'one entry for every registry in place of one for each, where the client can')
    .option('--write <dir>', 'write the files below a directory that stands for /')
    .option('--force', 'with --write: replace files that have other content')
    .option('--json', 'print {files, steps, limits, warnings} as JSON')
    .addHelpText('after', SETUP_HELP)
    .action(async (client: string | undefined, options: SetupOptions) => {
      const { setup } = await import('./setup.ts');
      code = await setup(client, options, io);
    });

  program
    .command('check')
    .description('Check the configuration, say what it amounts to, and with --online ask every upstream.')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .option('--online', 'name resolution, TLS, /v2/, token, a HEAD, quota and clock of every upstream')
    .option('--upstream <name...>', 'with --online: only these upstreams')
    .option('--image <reference...>', 'with --online: ask for this, in place of an image that is well known')
    .option('--timeout <duration>', 'with --online: how long one upstream may take (default 20s)')
    .option('--json', 'print {upstreams, warnings, online} as JSON')
    .addHelpText('after', CHECK_HELP)
    .action(async (options: CheckOptions) => {
      const { check } = await import('./check.ts');
      code = await check(options, io);
    });

  program
    .command('health')
    .description('Ask the running server how it is: for health checks of containers.')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .option('--ready', 'whether it can serve and store (/readyz), in place of whether it lives (/healthz)')
    .addHelpText('after', HEALTH_HELP)
    .action(async (options: HealthOptions) => {
      const { health } = await import('./health.ts');
      code = await health(options, io);
    });

  addStoreCommands(program, io, (told) => (code = told));
  addReportCommand(program, io, (told) => (code = told));
  addOfflineCommands(program, io, (told) => (code = told));
  addWarmCommand(program, io, (told) => (code = told));
  addImportCommand(program, io, (told) => (code = told));
  addBundleCommands(program, io, (told) => (code = told));

  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (error) {
    // Commander has printed its sentence already.
    if (error instanceof CommanderError) return error.exitCode === DONE ? DONE : WRONG_USAGE;
    throw error;
  }
  return code;
}

const SERVE_HELP = `
Environment variables outrank the file: ENTREPOT_LISTEN, ENTREPOT_PUBLIC_URL, ENTREPOT_ADMIN_LISTEN,
ENTREPOT_ADMIN_TOKEN, ENTREPOT_DATA_DIR, ENTREPOT_CACHE_MAX_SIZE, ENTREPOT_OFFLINE, ENTREPOT_LOG_LEVEL. For every command
ENTREPOT_CONFIG names the file where --config does not.

SIGTERM and SIGINT let pulls in flight go on for shutdownGrace and end with exit code 0; a second one ends at once
(143, 130). Exit code 1: it could not start, or a fault ended it; 2: wrong usage or configuration.

Examples:
  entrepot serve
  entrepot serve --config /etc/entrepot/config.yaml
  ENTREPOT_LISTEN=0.0.0.0:5000 ENTREPOT_CACHE_MAX_SIZE=80% entrepot serve
`;

const SETUP_HELP = `
What clients connect to is publicUrl, or the address it listens on. Files and steps go to standard output, what the
client cannot do to standard error. Nothing that is printed holds a secret.

Exit code 1: a file could not be written, or is there with other content; 2: wrong usage or configuration.

Examples:
  entrepot setup --list
  entrepot setup dockerd
  entrepot setup containerd --config /etc/entrepot/config.yaml --ca ca.pem --write /
  entrepot setup podman --upstream docker.io quay.io --json
`;

const CHECK_HELP = `
It serves nothing and touches no data: it may be used beside a running server. Every HEAD is of something small and
public, or of what --image names; Docker Hub does not count HEADs as pulls. Warnings do not change the exit code.

Exit code 1: an upstream does not answer as it must; 2: wrong usage or configuration, all of its problems at once.

Examples:
  entrepot check --config /etc/entrepot/config.yaml
  entrepot check --online
  entrepot check --online --upstream registry.internal:5000 --image registry.internal:5000/team/app:v1 --json
`;

const HEALTH_HELP = `
It asks admin.listen of this configuration, which needs no token. Exit code 0: well; 1: not, or no answer within 5
seconds; 2: wrong usage or configuration.

Examples:
  entrepot health --config /etc/entrepot/config.yaml
  entrepot health --ready
`;
