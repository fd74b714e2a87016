import { KEPT_LONGER_MS, nextUse, orphanedRank, rankOf } from '../../../src/cache/eviction-policy.ts';
import type { Item } from './catalogue.ts';
import { S3Fifo, SegmentedLru, TwoQueues, WindowTinyLfu } from './queue-caches.ts';
import { RankCache, type RankPolicy } from './rank-cache.ts';
import type { SimulatedCache } from './replay.ts';

export interface Policy {
  readonly name: string;
  open(items: readonly Item[], capacityBytes: number): SimulatedCache;
}

const DAY_MS = 24 * 60 * 60_000;
/** Larger than any time of a trace. */
const FAR = 1e13;
/** One whose manifests outlive layers, as those of the product do. */
const keptLonger = ({ kind }: Item) => (kind === 'layer' ? 0 : KEPT_LONGER_MS);

export const CHOSEN = 'entrepot';
export const PLAIN_LRU = 'LRU';
export const S3_FIFO = 'S3-FIFO';

/** The product's own functions. */
const product: RankPolicy = {
  nextUse,
  rankOf: (uses, { kind }, _count, floor) => rankOf({ kind, ...uses }, floor),
  orphanedRank,
  imageUse: 'listed',
};

/** Used once counts as used so many days earlier, whatever the cache and the pace. */
function fixedDays(days: number): RankPolicy {
  const most = (days * DAY_MS) / 2;
  return {
    ...product,
    rankOf: ({ usedAt, earlierAt = -FAR }, item) =>
      FAR + usedAt - Math.min(most, (usedAt - earlierAt) / 2) + keptLonger(item),
  };
}

/** A use of a manifest is one of the manifest alone. */
const { imageUse: _, ...blobsAlone } = product;

/** The known ones, then what led to the product's: each leaves something out or does it in another way. */
export const POLICIES: readonly Policy[] = [
  ranked(PLAIN_LRU, { rankOf: ({ usedAt }) => usedAt }),
  ranked('LFU (in cache)', { rankOf: ({ usedAt }, _item, count) => count * FAR + usedAt }),
  ranked('LFU-DA', { rankOf: (_uses, _item, count, floor) => floor + count }),
  ranked('GDSF', { rankOf: (_uses, { sizeBytes }, count, floor) => floor + (count * 1e9) / sizeBytes }),
  ranked('LRU-2 (in cache)', { nextUse, rankOf: ({ usedAt, earlierAt }) => earlierAt ?? usedAt - FAR }),
  { name: '2Q', open: (items, capacityBytes) => new TwoQueues(items, capacityBytes) },
  { name: 'SLRU', open: (items, capacityBytes) => new SegmentedLru(items, capacityBytes) },
  { name: S3_FIFO, open: (items, capacityBytes) => new S3Fifo(items, capacityBytes) },
  { name: 'W-TinyLFU', open: (items, capacityBytes) => new WindowTinyLfu(items, capacityBytes) },
  ranked('LRU, kinds', { rankOf: ({ usedAt }, item) => usedAt + keptLonger(item) }),
  ranked('LRU, kinds, images', {
    rankOf: ({ usedAt }, item) => usedAt + keptLonger(item),
    imageUse: 'listed',
  }),
  ranked('once = 1 day ago', fixedDays(1)),
  ranked('once = 7 days ago', fixedDays(7)),
  ranked('once = 30 days ago', fixedDays(30)),
  ranked(CHOSEN, product),
  ranked('… blobs alone', blobsAlone),
  ranked('… through indexes', { ...product, imageUse: 'all below' }),
];

function ranked(name: string, policy: RankPolicy): Policy {
  return { name, open: (items, capacityBytes) => new RankCache(items, capacityBytes, policy) };
}
