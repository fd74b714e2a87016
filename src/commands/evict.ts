import type { EvictEvent } from '../cache/store-events.ts';
import { systemClock } from '../clock.ts';
import { parseSize } from '../config-text.ts';
import type { CommandIo } from './command-io.ts';
import { shortDigest } from './images.ts';
import { Progress } from './progress.ts';
import { counted, printAge, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, type StoreCommandOptions } from './store-command.ts';
import { UsageError } from './usage-error.ts';

export interface EvictOptions extends StoreCommandOptions {
  readonly to: string;
  readonly dryRun?: boolean;
}

type Victim = Extract<EvictEvent, { event: 'victim' }>;
type Done = Extract<EvictEvent, { event: 'done' }>;

/** Gives up what was used least until only so much is stored. @returns the exit code; 1 when pins keep more than that */
export async function evict(
  { to, dryRun = false, ...options }: EvictOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    () => {
      const toBytes = parseSize(to);
      if (toBytes === undefined)
        throw new UsageError(`--to ${to}: accepted is a number of bytes, or one with KiB, MiB, GiB or TiB`);
      return toBytes;
    },
    async (toBytes, { operations, signal }) => {
      const isJson = options.json === true;
      const victims: object[] = [];
      let done: Done | undefined;
      const progress = new Progress(io);
      try {
        for await (const event of operations.evict({ toBytes, dryRun }, signal)) {
          if (event.event === 'done') done = event;
          else if (event.event === 'progress')
            await progress.tell(`${counted(event.blobs, 'blob')} evicted, ${printBytes(event.bytes)}`);
          else if (dryRun && isJson) {
            const { event: _event, ...facts } = event;
            victims.push(facts);
          } else if (dryRun) io.stdout.write(lineOf(event));
        }
      } finally {
        progress.end();
      }
      if (done === undefined) return 1;
      const { event: _event, ...facts } = done;
      if (isJson) printJson({ ...facts, ...(dryRun && { victims }) }, io);
      else io.stdout.write(summary(done));
      return done.isEnough ? 0 : 1;
    },
  );
}

/** What goes, and why. */
function lineOf({ digest, kind, bytes, usedAt, holders }: Victim): string {
  const of = holders.length === 0 ? 'of no repository' : `of ${holders.join(', ')}`;
  const age = printAge(usedAt, systemClock.now());
  return `${shortDigest(digest)}  ${printBytes(bytes).padStart(9)}  ${kind} ${of}, last used ${age}\n`;
}

function summary({ blobs, bytes, storedBytes, pinnedBytes, isEnough, dryRun }: Done): string {
  const gone = `${counted(blobs, 'blob')}, ${printBytes(bytes)} ${dryRun ? 'would be' : 'were'} evicted`;
  const left = `${printBytes(storedBytes)} ${dryRun ? 'would be' : 'are'} left`;
  const pinned = isEnough ? '' : `; ${printBytes(pinnedBytes)} are pinned, and stay`;
  return `${gone}; ${left}${pinned}.\n`;
}
