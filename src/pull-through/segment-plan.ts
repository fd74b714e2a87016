import type { Interval } from '../content/intervals.ts';

/**
 * A reader that waits `this` far ahead of a running segment is not made to wait for it: a segment begins at its position.
 * nydus gives up after 5 s: an upstream that sends 1 MB/s leaves it time for its own bytes.
 */
export const JUMP_DISTANCE_BYTES = 2 * 1024 * 1024;
/** Segments at once: the front and a few jumps. */
export const SEGMENT_LIMIT = 5;

/** A transfer that is running: its next byte goes to `position`; it stops before `end` (Infinity: size unknown). */
export interface RunningSegment {
  readonly position: number;
  readonly end: number;
}

/** A reader that waits at `start` for bytes up to `end`. */
export type Demand = Interval;

export interface PlanInput {
  /** Infinity while unknown. */
  readonly sizeBytes: number;
  /** Sorted, apart. */
  readonly present: readonly Interval[];
  readonly running: readonly RunningSegment[];
  readonly demands: readonly Demand[];
  /** Shall all of the blob be brought in? */
  readonly isWholeWanted: boolean;
  /** False when the upstream does not do ranges, or its bytes could not be kept out of order. */
  readonly canJump: boolean;
}

/** Segments to begin, and where running ones now end (index into `running`). No byte is in two segments. */
export interface Plan {
  readonly starts: readonly Interval[];
  readonly cuts: readonly { readonly index: number; readonly end: number }[];
}

/** Will a running segment bring the byte at `at` soon enough? */
export function isCovered(segments: Iterable<RunningSegment>, at: number): boolean {
  for (const { position, end } of segments) {
    if (position <= at && at < end && at - position <= JUMP_DISTANCE_BYTES) return true;
  }
  return false;
}

/** Which transfers should run: what waiting readers need soonest, and the front for the whole. Pure. */
export function planSegments(input: PlanInput): Plan {
  const running = input.running.map(({ position, end }) => ({ position, end }));
  const segments = [...running];
  const begin = (start: number, limit: number) => {
    const covering = segments.find(({ position, end }) => position < start && start < end);
    const end = Math.min(limit, nextBoundary(input, segments, start));
    if (end <= start) return;
    if (covering !== undefined) covering.end = start;
    segments.push({ position: start, end });
  };
  for (const demand of input.demands.toSorted((a, b) => a.start - b.start)) {
    if (isCovered(segments, demand.start)) continue;
    if (input.canJump && segments.length < SEGMENT_LIMIT) begin(demand.start, demand.end);
  }
  const front = firstGap(input.present);
  if (
    input.isWholeWanted &&
    front < input.sizeBytes &&
    !segments.some(({ position }) => position === front)
  ) {
    begin(front, input.sizeBytes);
  }
  return {
    starts: segments.slice(running.length).map(({ position, end }) => ({ start: position, end })),
    cuts: running.flatMap(({ end }, index) => (end === input.running[index]?.end ? [] : [{ index, end }])),
  };
}

/** Where a segment that begins at `start` must stop: the next byte that is here or on its way, or the end. */
function nextBoundary(input: PlanInput, segments: readonly RunningSegment[], start: number): number {
  const present = input.present.find((interval) => interval.start > start)?.start ?? Infinity;
  const running = segments.filter(({ position }) => position > start).map(({ position }) => position);
  return Math.min(present, input.sizeBytes, ...running);
}

/** The first position that is not in the set. */
export function firstGap(present: readonly Interval[]): number {
  const first = present[0];
  return first === undefined || first.start > 0 ? 0 : first.end;
}
