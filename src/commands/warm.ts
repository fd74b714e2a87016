import { systemClock } from '../clock.ts';
import { CONCURRENCY_LIMIT, TARGET_LIMIT } from '../warm/warm-operations.ts';
import { warmTargets } from '../warm/warm-targets.ts';
import type { CommandIo } from './command-io.ts';
import { chooseImages } from './image-choice.ts';
import type { ImageOptions } from './image-options.ts';
import { parseImageOptions } from './image-request.ts';
import { runOnStore, type StoreCommandOptions } from './store-command.ts';
import { UsageError } from './usage-error.ts';
import { openWarmDisplay } from './warm-display.ts';

export interface WarmOptions extends StoreCommandOptions, ImageOptions {
  readonly dryRun?: boolean;
  readonly concurrency?: string;
}

const FAILED = 1;
const KEEP_ALIVE_MS = 60_000;

/** Fetches images into the cache. @returns the exit code; 1 when anything of them could not be had */
export async function warm(texts: readonly string[], options: WarmOptions, io: CommandIo): Promise<number> {
  // Waiting for a registry's allowance is nothing that keeps a process alive.
  const alive = setInterval(() => undefined, KEEP_ALIVE_MS);
  try {
    return await runOnStore(
      options,
      io,
      ({ upstreams }) => ({
        request: parseImageOptions(texts, options, upstreams),
        concurrency: concurrencyOf(options.concurrency),
      }),
      async ({ request, concurrency }, { config, operations, warming, signal }) => {
        const { upstreams } = config;
        const context = { upstreams, io, operations, clock: systemClock };
        const { images, problems } = await chooseImages(request, context, signal);
        if (images.length > TARGET_LIMIT)
          throw new UsageError(`${images.length} images: accepted are ${TARGET_LIMIT} at once`);
        const { dryRun = false, json = false } = options;
        const display = await openWarmDisplay(io, { isJson: json });
        try {
          for (const problem of problems) display.problem(problem);
          const targets = warmTargets(images, request.tags?.text);
          let isWhole = problems.length === 0;
          if (targets.length > 0) {
            const { platforms, withReferrers } = request;
            const asked = { targets, platforms, withReferrers, dryRun, concurrency };
            for await (const event of (await warming()).warm(asked, signal)) {
              display.event(event);
              if (event.event === 'done' && event.images.failed > 0) isWhole = false;
            }
          } else display.nothing();
          return isWhole ? 0 : FAILED;
        } catch (error) {
          display.end();
          if (signal.aborted)
            io.stderr.write('Interrupted. What was fetched is kept: run it again to go on.\n');
          throw error;
        } finally {
          display.end();
        }
      },
      { mayBegin: true },
    );
  } finally {
    clearInterval(alive);
  }
}

/** @throws UsageError */
function concurrencyOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= CONCURRENCY_LIMIT) return count;
  throw new UsageError(`--concurrency ${JSON.stringify(text)}: accepted is 1 to ${CONCURRENCY_LIMIT}`);
}
