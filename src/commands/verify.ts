import type { VerifyEvent } from '../cache/store-events.ts';
import type { CommandIo } from './command-io.ts';
import { Progress } from './progress.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, selectionOf, type StoreCommandOptions } from './store-command.ts';

type Damaged = Extract<VerifyEvent, { event: 'damaged' }>;
type Unreadable = Extract<VerifyEvent, { event: 'unreadable' }>;

const DAMAGED = 1;

/** Reads what is cached and compares its digests. @returns the exit code; 1 when anything was damaged or could not be read */
export async function verify(
  text: string | undefined,
  options: StoreCommandOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => selectionOf(text, config),
    async (selection, { operations, signal }) => {
      const damaged: Damaged[] = [];
      const unreadable: Unreadable[] = [];
      const seen = { blobs: 0, bytes: 0 };
      const progress = new Progress(io);
      try {
        for await (const event of operations.verify(selection, signal)) {
          if (event.event === 'damaged') damaged.push(event);
          else if (event.event === 'unreadable') unreadable.push(event);
          else Object.assign(seen, { blobs: event.blobs, bytes: event.bytes });
          if (event.event !== 'progress') continue;
          const of = event.totalBlobs === undefined ? '' : ` of ${event.totalBlobs.toLocaleString('en-US')}`;
          const text_ = `${seen.blobs.toLocaleString('en-US')}${of} blobs verified, ${printBytes(seen.bytes)}`;
          await progress.tell(text_, event.bytes, event.totalBytes);
        }
      } finally {
        progress.end();
      }
      if (options.json === true) {
        printJson({ ...seen, damaged: damaged.map(bare), unreadable: unreadable.map(bare) }, io);
      } else {
        for (const { digest, sizeBytes, holders } of damaged)
          io.stdout.write(
            `${digest} (${printBytes(sizeBytes)}${holders.length > 0 ? `, of ${holders.join(', ')}` : ''}): damaged\n`,
          );
        for (const { digest } of unreadable) io.stdout.write(`${digest}: cannot be read\n`);
        io.stdout.write(
          `${counted(seen.blobs, 'blob')}, ${printBytes(seen.bytes)} verified: ${verdict(damaged, unreadable)}\n`,
        );
      }
      return damaged.length + unreadable.length > 0 ? DAMAGED : 0;
    },
  );
}

function verdict(damaged: readonly Damaged[], unreadable: readonly Unreadable[]): string {
  const parts = [
    ...(damaged.length > 0
      ? [`${damaged.length.toLocaleString('en-US')} damaged: set aside, and fetched again when asked for`]
      : []),
    ...(unreadable.length > 0
      ? [`${unreadable.length.toLocaleString('en-US')} could not be read just now, and were left as they are`]
      : []),
  ];
  return parts.length === 0 ? 'all sound.' : `${parts.join('; ')}.`;
}

function bare({ event: _event, ...facts }: Damaged | Unreadable): object {
  return facts;
}
