import type { Config } from '../config.ts';
import type { StoreLimits } from './store-budget.ts';

type Size = { readonly bytes: number } | { readonly share: number };

/** What the configuration comes to on a disk of `capacityBytes`. */
export function storeLimits(
  { cache, upstreams }: Pick<Config, 'cache' | 'upstreams'>,
  capacityBytes: number,
): StoreLimits {
  const maxBytes = bytesOf(cache.maxSize, capacityBytes);
  return {
    maxBytes,
    minFreeBytes: bytesOf(cache.minFreeSpace, capacityBytes),
    maxBlobBytes: cache.maxBlobBytes,
    maxAgeMs: cache.maxAgeMs,
    upstreamBytes: new Map(
      upstreams.flatMap(({ name, maxSize }) =>
        maxSize === undefined ? [] : [[name, bytesOf(maxSize, maxBytes)] as const],
      ),
    ),
  };
}

export interface SizeFacts {
  readonly limits: StoreLimits;
  readonly capacityBytes: number;
  readonly storedBytes: number;
  readonly pinnedBytes: number;
  /** What can be held now, with the disk as full as it is. */
  readonly limitBytes: number;
}

/** A store that can hold no more than this share of what is configured is as good as none. */
const TOO_LITTLE = 0.05;

/** Sizes that may be meant, and are likely to be a mistake all the same. */
export function sizeWarnings({
  limits,
  capacityBytes,
  storedBytes,
  pinnedBytes,
  limitBytes,
}: SizeFacts): readonly string[] {
  const { maxBytes } = limits;
  return [
    ...(maxBytes > capacityBytes
      ? ['cache.maxSize is larger than the disk: the disk is the limit, but for cache.minFreeSpace']
      : []),
    ...(pinnedBytes > maxBytes ? ['cache.maxSize is below what is pinned: nothing else can be stored'] : []),
    ...(pinnedBytes <= maxBytes && storedBytes > maxBytes
      ? ['cache.maxSize is below what is stored: what is too much will be removed']
      : []),
    ...(limitBytes < maxBytes * TOO_LITTLE
      ? ['the disk is so full that next to nothing can be stored: see cache.minFreeSpace']
      : []),
  ];
}

function bytesOf(size: Size, whole: number): number {
  return 'bytes' in size ? size.bytes : Math.floor(whole * size.share);
}
