import { availableParallelism } from 'node:os';

/** More fronts than this have more to do with each other than with clients. */
const AUTO_LIMIT = 16;

/**
 * How many workers there are to be. `auto`: one for each core that is left beside the owner; where that would be fewer
 * than two, one process does everything.
 */
export function workerCount(configured: number | 'auto' | undefined, cores = availableParallelism()): number {
  if (configured !== 'auto') return configured ?? 1;
  return Math.max(1, Math.min(cores - 1, AUTO_LIMIT));
}
