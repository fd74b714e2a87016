import type { StoreLimits } from '../../src/cache/store-budget.ts';

/** Limits of a store: so many bytes in all, and nothing else unless it is said. */
export function storeLimits(maxBytes: number, more: Partial<StoreLimits> = {}): StoreLimits {
  return { maxBytes, minFreeBytes: 0, upstreamBytes: new Map(), ...more };
}
