import type { ContentStore } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { BlobCache } from './blob-cache.ts';
import type { Pins } from './pins.ts';
import type { StoreStatus } from './store-events.ts';

/** What the status tells beside what the store itself knows; absent where nobody looks after it. */
export interface StatusSources {
  readonly isServed: boolean;
  /** Of the index's files. */
  readonly indexBytes: () => Promise<number>;
  /** Whether what is kept can be trusted to be kept. */
  readonly condition?: (() => StoreStatus['condition']) | undefined;
  /** Which upstreams are not asked. */
  readonly offline?: (() => StoreStatus['offline']) | undefined;
  /** What warms the cache, and when. */
  readonly schedules?: (() => StoreStatus['schedules']) | undefined;
}

export interface StatusParts {
  readonly metadata: MetadataStore;
  readonly content: ContentStore;
  readonly cache: BlobCache;
  readonly pins: Pins;
  readonly sources: StatusSources;
}

export async function statusOf({
  metadata,
  content,
  cache,
  pins,
  sources,
}: StatusParts): Promise<StoreStatus> {
  await pins.refresh();
  const { storedBytes, storedBlobs, limitBytes, reservedBytes } = cache.usage;
  const [next] = await metadata.blobs.victims({ limit: 1 });
  const condition = sources.condition?.();
  const offline = sources.offline?.();
  const schedules = sources.schedules?.();
  return {
    isServed: sources.isServed,
    bytes: storedBytes,
    blobs: storedBlobs,
    limitBytes,
    reservedBytes,
    pinned: { ...pins.totals },
    quarantinedBytes: content.quarantinedBytes,
    indexBytes: await sources.indexBytes(),
    byUpstream: sharesOf(cache),
    ...(next !== undefined && { nextVictimUsedAt: next.usedAt }),
    ...(condition && { condition }),
    ...(offline && { offline }),
    ...(schedules && { schedules }),
    ...(sources.isServed && upkeepOf(cache)),
  };
}

function sharesOf({ upstreams }: BlobCache): StoreStatus['byUpstream'] {
  const shares: StoreStatus['byUpstream'] = [];
  for (const [upstream, { storedBytes, storedBlobs, limitBytes }] of upstreams) {
    const share = { upstream, bytes: storedBytes, blobs: storedBlobs };
    shares.push(limitBytes === undefined ? share : { ...share, limitBytes });
  }
  return shares.toSorted((one, other) => other.bytes - one.bytes || (one.upstream < other.upstream ? -1 : 1));
}

function upkeepOf({ upkeep }: BlobCache): Pick<StoreStatus, 'reconcile' | 'scrub'> {
  const { reconcile, scrub } = upkeep.progress;
  const { begunAt, endedAt, nextAt, ...counts } = scrub;
  return {
    reconcile: { ...reconcile },
    scrub: {
      ...counts,
      ...(begunAt !== undefined && { begunAt }),
      ...(endedAt !== undefined && { endedAt }),
      ...(nextAt !== undefined && { nextAt }),
    },
  };
}
