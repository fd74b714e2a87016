import { printSelection } from '../cache/image-list.ts';
import type { PurgeEvent } from '../cache/store-events.ts';
import type { CommandIo } from './command-io.ts';
import { Progress } from './progress.ts';
import { counted, printBytes } from '../quantity-text.ts';
import { printJson, runOnStore, selectionOf, type StoreCommandOptions } from './store-command.ts';
import { UsageError } from './usage-error.ts';

export interface PurgeOptions extends StoreCommandOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

type Done = Extract<PurgeEvent, { event: 'done' }>;

/** Takes an image, a repository or all of an upstream out of the cache. @returns the exit code; 1 also when a file stayed */
export async function purge(
  text: string,
  { dryRun = false, yes = false, ...options }: PurgeOptions,
  io: CommandIo,
): Promise<number> {
  return runOnStore(
    options,
    io,
    (config) => {
      const selection = selectionOf(text, config);
      if (selection.repository === undefined && !yes && !dryRun)
        throw new UsageError(
          `${text} is a whole upstream: --yes purges all of it, --dry-run says what that is`,
        );
      return selection;
    },
    async (selection, { operations, signal }) => {
      const forgotten: object[] = [];
      const failures: object[] = [];
      const stillPinned: string[] = [];
      let done: Done | undefined;
      const progress = new Progress(io);
      try {
        for await (const event of operations.purge(selection, { dryRun }, signal)) {
          if (event.event === 'done') done = event;
          else if (event.event === 'progress')
            await progress.tell(`${counted(event.blobs, 'blob')} removed, ${printBytes(event.bytes)}`);
          else if (event.event === 'still-pinned') stillPinned.push(event.pattern);
          else if (event.event === 'failed') failures.push({ digest: event.digest, message: event.message });
          else {
            const { event: _event, ...what } = event;
            forgotten.push(what);
          }
        }
      } finally {
        progress.end();
      }
      const { repositories = 0, blobs = 0, bytes = 0 } = done ?? {};
      if (options.json === true)
        printJson({ dryRun, repositories, blobs, bytes, forgotten, failures, stillPinned }, io);
      else {
        const would = dryRun ? 'would be purged' : 'is purged';
        const freed = `${counted(blobs, 'blob')}, ${printBytes(bytes)} ${dryRun ? 'would be' : 'were'} freed`;
        const from = repositories > 1 ? ` (${counted(repositories, 'repository')})` : '';
        io.stdout.write(`${printSelection(selection)}${from} ${would}: ${freed}.\n`);
        if (!dryRun)
          for (const pattern of stillPinned)
            io.stderr.write(`The pin ${pattern} stays: what it means is kept again once it is pulled.\n`);
      }
      if (failures.length > 0)
        io.stderr.write(
          `entrepot: ${counted(failures.length, 'file')} could not be removed; nothing of it is served.\n`,
        );
      return failures.length > 0 ? 1 : 0;
    },
  );
}
