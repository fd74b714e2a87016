import { KeptUsage, type KeptUsageParts } from './activity/kept-usage.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { walSafety } from './content/wal-safety.ts';
import { errorFacts, type Log } from './log.ts';
import { removeUsage, setUsageAside } from './metadata/usage-database.ts';
import { UsageStore } from './metadata/usage-store.ts';
import type { Closer } from './open-store.ts';

export interface OpenUsageParts extends Pick<KeptUsageParts, 'take'> {
  readonly clock: Clock;
  readonly log: Log;
  readonly closers: Closer[];
}

/**
 * What is kept of usage, under the data directory's lock; `undefined` where the configuration says that nothing is. The
 * file is opened when it is first needed. Never fails: no pull depends on it.
 */
export async function openUsage(
  { dataDir, usage }: Pick<Config, 'dataDir' | 'usage'>,
  { clock, log, take, closers }: OpenUsageParts,
): Promise<KeptUsage | undefined> {
  const { keepMs } = usage;
  if (keepMs === undefined) return undefined;
  const { isSafe: isWalSafe } = await walSafety(dataDir);
  const kept = new KeptUsage({
    clock,
    take,
    keepMs,
    open: () => UsageStore.open(dataDir, { isWalSafe }),
    setAside: () => setUsageAside(dataDir),
    onSetAside: (setAside) =>
      log.error({ setAside }, 'usage.sqlite was damaged: it was moved aside, and begins empty'),
    onTrouble: (cause) => {
      if (cause === undefined) log.info({}, 'usage is written down again');
      else
        log.warn({ error: errorFacts(cause) }, 'usage cannot be written down: it stays in memory meanwhile');
    },
  });
  closers.push(() => kept.close());
  return kept;
}

/** Where the configuration says that nothing is kept, what was kept before goes. Never fails. */
export function forgetUsage({ dataDir, usage }: Pick<Config, 'dataDir' | 'usage'>, log: Log): void {
  if (usage.keepMs !== undefined) return;
  try {
    if (removeUsage(dataDir)) log.info({}, 'usage.keep is never: what was kept of usage is removed');
  } catch (cause) {
    log.warn({ error: errorFacts(cause) }, 'usage.keep is never, and usage.sqlite cannot be removed');
  }
}
