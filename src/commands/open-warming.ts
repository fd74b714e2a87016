import type { Activity } from '../activity/activity.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { errorFacts } from '../log.ts';
import type { Closer, OpenStore } from '../open-store.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';
import type { CommandIo } from './command-io.ts';
import { openCommandLog } from './command-log.ts';

export interface OpenWarmingParts {
  readonly store: Omit<OpenStore, 'content'>;
  /** Told of what comes in. */
  readonly activity: Activity;
  readonly clock: Clock;
  readonly io: CommandIo;
  readonly closers: Closer[];
}

/**
 * Warming on a directory that no server uses: with all that pulls, which is loaded now, and the store kept within its
 * limits as a server does.
 */
export async function openWarming(
  config: Config,
  { store, activity, clock, io, closers }: OpenWarmingParts,
): Promise<WarmOperations> {
  const [{ openPullThrough }, { pullThroughObserver, upstreamObserver }, { createMetrics }] =
    await Promise.all([
      import('../open-pull-through.ts'),
      import('../observers.ts'),
      import('../metrics.ts'),
    ]);
  // Fills that fail are told by the command itself.
  const log = await openCommandLog(io, 'error', io.stderr);
  const { version, nodeVersion } = io;
  await store.cache.begin();
  const upstreams = config.upstreams.map(({ name }) => name);
  const metrics = createMetrics({ version, nodeVersion, upstreams });
  const { warming } = openPullThrough(config, {
    store,
    clock,
    observer: pullThroughObserver({ log, metrics, clock }),
    upstreamObserver: (name) => upstreamObserver(name, { log, metrics, activity, clock }),
    onWarmFault: (error) =>
      log.error({ error: errorFacts(error, { stack: true }) }, 'warming an image failed unexpectedly'),
    version,
    closers,
  });
  return warming;
}
