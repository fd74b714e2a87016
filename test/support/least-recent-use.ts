import type { Ranking } from '../../src/metadata/stored-blobs.ts';

/** What was used least recently goes first, whatever it is. */
export const leastRecentUse: Ranking = {
  nextUse: (previous, now) => ({ usedAt: now, earlierAt: previous.usedAt }),
  rankOf: ({ usedAt }) => usedAt,
  orphanedRank: () => 0,
};
