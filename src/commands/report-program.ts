import type { Command } from 'commander';
import type { CommandIo } from './command-io.ts';
import type { ReportOptions } from './report.ts';

/** The command `report`. `done` is told its exit code. */
export function addReportCommand(program: Command, io: CommandIo, done: (code: number) => void): void {
  program
    .command('report')
    .description('Say what the cache spared: pulls, bytes and time, by upstream, image and client.')
    .option('--since <duration>', 'how far back, in whole days (UTC) (default 30d)')
    .option('--top <n>', 'rows of each list, 1 to 1000 (default 10)')
    .option('--config <file>', 'configuration file (YAML); without it the built-in defaults hold')
    .option('--json', 'print the report as JSON')
    .addHelpText('after', HELP)
    .action(async (options: ReportOptions) => done(await (await import('./report.ts')).report(options, io)));
}

const HELP = `
It asks the server that uses the data directory (admin.listen, with admin.token), or else opens the directory itself.
What was pulled, and by which address, is kept by days for usage.keep (400d). A pull is a manifest that was given by GET,
as Docker Hub counts them; avoided is what clients were given and no upstream was asked for, warming included. The time
is an estimate, and the report says what it rests on. Sizes of unused images are what purging them would free.

Exit code 1: it cannot be had; 2: wrong usage or configuration.

Examples:
  entrepot report
  entrepot report --since 7d --top 20
  entrepot report --since 365d --json | jq .bytesAvoided
`;
