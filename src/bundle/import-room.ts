import type { ContentEntry } from '../cache/store-contents.ts';
import type { StoreStatus } from '../cache/store-events.ts';

/** What an import needs of a store, by the upstream that it is charged to. */
export interface NeededRoom {
  /** To be taken in. */
  readonly lacking: readonly (ContentEntry & { readonly upstream: string })[];
  /** Here already, and not to be given up for the rest. */
  readonly present: readonly ContentEntry[];
}

/** Files take whole blocks, of mostly this size. */
const BLOCK_BYTES = 4096;

/**
 * What keeps an import from fitting even if all went that may go; `undefined` when it fits. Pinned content stays, and
 * what of the images is here already: that may be the same, so the larger of the two counts.
 */
export function roomProblem(
  { limitBytes, pinned, quarantinedBytes, byUpstream }: StoreStatus,
  { lacking, present }: NeededRoom,
): string | undefined {
  const needed = sum(lacking);
  const kept = Math.max(pinned.bytes, sum(present)) + quarantinedBytes;
  const room = Math.max(0, limitBytes - kept);
  if (needed > room)
    return `the store is too small: ${needed} bytes are to come in, and room can be made for ${room} (the limit is ${limitBytes}, and ${kept} stay: what is pinned, set aside, or part of these images)`;
  const problems = byUpstream.flatMap(({ upstream, limitBytes: share }) => {
    const own = sum(lacking.filter((entry) => entry.upstream === upstream));
    return share === undefined || own <= share
      ? []
      : [`the share of ${upstream} is too small: ${own} bytes are to come in, and its limit is ${share}`];
  });
  return problems.length === 0 ? undefined : problems.join('; ');
}

function sum(entries: readonly ContentEntry[]): number {
  return entries.reduce(
    (total, { sizeBytes }) => total + Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES,
    0,
  );
}
