import type { OwnerMessage } from './fronts/front-messages.ts';
import { Front } from './fronts/front.ts';
import { packageVersion } from './package-version.ts';

/**
 * Where a front begins: a process that `entrepot serve` starts when it has several workers. Beside main.ts the only file
 * that reads `process` or ends it. Its owner sees to signals, and ends it.
 */

const WRONG_USAGE = 2;
const FAILED = 1;
const MICROSECONDS = 1e6;

function fail(error: unknown): void {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(FAILED);
}

if (process.send === undefined) {
  process.stderr.write('This is a part of entrepot serve, which starts it.\n');
  process.exit(WRONG_USAGE);
}
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
// Without its owner it can answer nothing.
process.on('disconnect', () => process.exit(FAILED));

const front = new Front({
  version: packageVersion(),
  // An owner that goes is told of by `disconnect`.
  tell: (message) => void process.send?.(message, undefined, undefined, () => undefined),
  used: () => {
    const { user, system } = process.cpuUsage();
    return { cpuSeconds: (user + system) / MICROSECONDS, residentBytes: process.memoryUsage.rss() };
  },
  end: () => process.exit(0),
});
// The channel is the owner's alone, who is the same program; `begin` says whether it is of the same version.
process.on(
  'message',
  (message: unknown, handle: unknown) => void front.heard(message as OwnerMessage, handle),
);
