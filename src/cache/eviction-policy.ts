import type { BlobUse, Ranking } from '../metadata/stored-blobs.ts';

/**
 * What goes first when room is needed, as one number for each blob: its rank, written when the blob is used; the lowest
 * goes first. Chosen by `npm run bench -- --only eviction-policy`, which compares it with others on generated pulls:
 *
 * - Used once is worth little. Scans, and versions that nobody asks for again, pass through an eighth of the time that
 *   the cache reaches back, and leave the rest to what came back at least once. As a share of that reach and not in
 *   days, since it would else be right for one size of cache and one pace only.
 * - Image-aware: a use of a manifest, by GET or HEAD, is one of everything that it lists itself and that is stored, so
 *   shared base layers are as recent as the last image that has them. One level only: a use of an index is one of its
 *   manifests, not of their layers, since most of its platforms are nobody's.
 * - Manifests, indexes and configs cost nothing to keep, and a registry counts what is asked for again.
 * - When the last stored manifest that lists a blob goes, the blob is next (`orphanedRank`).
 * - The layers that are left of an image after its first one went share its rank and follow by themselves; those that
 *   are shared with a living image do not. So nothing is done to siblings.
 *
 * Times are use times: see `useTimeAtStart`. Pure.
 */

export type Uses = Pick<BlobUse, 'usedAt' | 'earlierAt'>;

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

/** Uses within it count as one: a pull asks several times, and a roll-out to 50 nodes is one decision. */
export const CORRELATED_MS = 30 * MINUTE_MS;
/** How much longer than a layer of the same use everything else is kept. */
export const KEPT_LONGER_MS = 60 * DAY_MS;
/** A pause of the process counts as at most this long: see `useTimeAtStart`. */
export const LONGEST_PAUSE_MS = DAY_MS;
/** A cache reaches back no further, whatever a damaged row or a clock says. */
export const LONGEST_REACH_MS = 366 * DAY_MS;
/** How far down, between its use and the floor, a blob goes that was used once. */
const ONCE_DOWN = 7 / 8;
/** How far down towards the use before a blob goes that was used again. */
const AGAIN_DOWN = 1 / 4;
/** Beyond any date, and small enough for sums of times to be exact. */
const TIME_LIMIT = 2 ** 51;

/**
 * What a use at `now` makes of the uses before. Those themselves when it counts as one with the last, and when `now` is
 * earlier: a clock that goes back makes nothing look older. So `usedAt` is the first of the uses that count as one.
 */
export function nextUse(previous: Uses, now: number): Uses {
  const usedAt = time(now);
  return usedAt - previous.usedAt < CORRELATED_MS ? previous : { usedAt, earlierAt: previous.usedAt };
}

/**
 * A whole number from 0 up to 2^52. `floor`: the last rank of 0 or more at which something was given up, which is where
 * the cache's memory ends; before that the lowest rank there is, or `usedAt` when nothing is stored. Never below the floor (unless the use is), so that nothing that is
 * brought in goes before what was there, and a use never lowers it. A floor that is wrong or a little old makes the
 * choice worse, nothing else.
 */
export function rankOf({ kind, usedAt, earlierAt }: Omit<BlobUse, 'sizeBytes'>, floor: number): number {
  const last = time(usedAt);
  const reach = Math.min(Math.max(0, last - time(floor)), LONGEST_REACH_MS);
  const again = earlierAt === undefined ? Infinity : Math.max(0, last - time(earlierAt)) * AGAIN_DOWN;
  return Math.ceil(last - Math.min(reach * ONCE_DOWN, again)) + (kind === 'layer' ? 0 : KEPT_LONGER_MS);
}

/**
 * For a blob that no stored manifest lists any more: a whole number below 0, so before all that is not an orphan;
 * among orphans the least recently used goes first. The next use gives it a rank as of any other. Not for blobs whose
 * manifest was never stored: those are ranked by their own uses.
 */
export function orphanedRank({ usedAt }: Pick<Uses, 'usedAt'>): number {
  return time(usedAt) - 2 * TIME_LIMIT;
}

/** What the index is given. */
export const evictionPolicy: Ranking = { nextUse, rankOf, orphanedRank };

/**
 * Use time is what order and ages are measured in. It begins here when the process starts and then goes on with the
 * monotonic clock, so no jump of the wall clock while running changes any order or age. `latest` is the use time that
 * was last written down; a stop counts as what the wall clock says, but never as less than nothing (a clock set back)
 * and at most as LONGEST_PAUSE_MS (a clock set a year ahead, which would make everything look unused for a year). So
 * use time may differ from the date: only differences of use times mean anything.
 */
export function useTimeAtStart(latest: number | undefined, wallNow: number): number {
  const now = time(wallNow);
  if (latest === undefined) return now;
  return Math.min(Math.max(now, time(latest)), time(latest) + LONGEST_PAUSE_MS);
}

/** Whole, not negative, and nothing that a damaged row could say. */
function time(value: number): number {
  return Number.isNaN(value) ? 0 : Math.floor(Math.min(Math.max(value, 0), TIME_LIMIT));
}
