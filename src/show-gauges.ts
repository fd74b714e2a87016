import type { Activity } from './activity/activity.ts';
import { StoreSampler } from './cache/store-sample.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { indexFiles } from './metadata/database.ts';
import type { Metrics } from './metrics.ts';
import type { OpenPullThrough } from './open-pull-through.ts';
import type { Closer, OpenStore } from './open-store.ts';

export interface GaugeSources {
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly store: OpenStore;
  readonly pulling: Pick<OpenPullThrough, 'pullThrough' | 'warming'>;
  readonly activity: Pick<Activity, 'liveCount'>;
  readonly closers: Closer[];
}

/** Tells the metrics what stands at this moment, whenever they are asked for: nothing here waits. */
export function showGauges({ dataDir }: Pick<Config, 'dataDir'>, sources: GaugeSources): void {
  const { metrics, clock, store, pulling, activity, closers } = sources;
  const { cache, metadata, content, pins } = store;
  const { pullThrough, warming } = pulling;
  const { blobs } = metadata;
  const sampler = new StoreSampler({
    blobs,
    content,
    pins,
    clock,
    indexFiles: () => indexFiles(dataDir),
  });
  closers.push(() => sampler.close());
  metrics.gauges(() => {
    const { storedBytes, storedBlobs, reservedBytes, limitBytes, maxBytes } = cache.usage;
    const { fillsInFlight, fillReaders, oldestFillBegunAt } = pullThrough;
    const { pinnedBytes, diskFreeBytes, oldestUseAt, indexBytes, walBytes } = sampler.last;
    const oldestFillMs = oldestFillBegunAt === undefined ? 0 : clock.now() - oldestFillBegunAt;
    return {
      requestsInFlight: activity.liveCount,
      fillsInFlight,
      fillReaders,
      oldestFillSeconds: Math.max(0, oldestFillMs / 1000),
      storeBytes: storedBytes,
      storeBlobs: storedBlobs,
      storeLimitBytes: Math.max(0, limitBytes),
      storeMaxBytes: maxBytes,
      storeReservedBytes: reservedBytes,
      storeQuarantinedBytes: content.quarantinedBytes,
      storePinnedBytes: pinnedBytes,
      diskFreeBytes,
      storeOldestUse: oldestUseAt === undefined ? undefined : oldestUseAt / 1000,
      indexBytes,
      walBytes,
      warmJobs: warming.runningCount,
      byUpstream: [...cache.upstreams].map(([upstream, share]) => ({
        upstream,
        bytes: share.storedBytes,
        limitBytes: share.limitBytes,
      })),
    };
  });
}
