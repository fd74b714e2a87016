import { Activity } from '../activity/activity.ts';
import { StoredActivity } from '../activity/stored-activity.ts';
import { storedFacts } from '../activity/stored-facts.ts';
import { LocalContents } from '../cache/local-contents.ts';
import { LocalOperations } from '../cache/local-operations.ts';
import { systemClock } from '../clock.ts';
import { type Config, offlineUpstreams } from '../config.ts';
import { indexBytes } from '../metadata/database.ts';
import { hasUsage } from '../metadata/usage-database.ts';
import { type Closer, openStore } from '../open-store.ts';
import { openUsage } from '../open-usage.ts';
import { LocalExplain } from '../pull-through/local-explain.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import type { CommandIo } from './command-io.ts';
import { openCommandLog } from './command-log.ts';
import { openWarming } from './open-warming.ts';
import type { StoreAccess } from './store-access.ts';

/**
 * The store of a data directory that no server uses, under its lock.
 * @throws StartError
 */
export async function openLocalAccess(config: Config, io: CommandIo): Promise<StoreAccess> {
  const closers: Closer[] = [];
  const close = async () => {
    for (const closer of closers.toReversed()) await closer();
  };
  // Standard output is for results.
  const log = await openCommandLog(io, 'warn', io.stderr);
  const observer = {
    integrityFailure: () => undefined,
    cacheFailure: (where: string, cause: unknown) =>
      log.warn({ where, cause: cause instanceof Error ? cause.message : 'unknown' }, 'the store failed'),
    evicted: () => undefined,
    conditionChanged: () => undefined,
  };
  try {
    const clock = systemClock;
    const { slabs, ...store } = await openStore(config, { clock, log, observer, closers });
    const sources = { isServed: false, indexBytes: () => indexBytes(config.dataDir) };
    const { upstreams } = config;
    const operations = new LocalOperations({ ...store, clock, upstreams, sources });
    closers.push(() => operations.close());
    const contents = new LocalContents({ ...store, slabs, clock });
    closers.push(() => contents.close());
    const never = offlineUpstreams(config);
    const explain = new LocalExplain({
      metadata: store.metadata,
      contents,
      clock,
      upstreams: () => upstreams,
      isOffline: (upstream) => never.includes(upstream),
    });
    // What warming brings in counts in reports.
    const counted = new Activity(clock);
    const usage = await openUsage(config, { clock, log, take: () => counted.takeSums(), closers });
    const activity = new StoredActivity({
      clock,
      usage: hasUsage(config.dataDir) ? usage : undefined,
      stored: (options, signal) => storedFacts(store.metadata, options, signal),
    });
    let opened: Promise<WarmOperations> | undefined;
    const warming = () =>
      (opened ??= openWarming(config, {
        store: { ...store, slabs },
        activity: counted,
        clock,
        io,
        closers,
      }));
    return { activity, operations, contents, explain, warming, close };
  } catch (error) {
    await close();
    throw error;
  }
}
