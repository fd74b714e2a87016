import { type Interval, Intervals } from '../content/intervals.ts';

/**
 * A reader that waits `this` far ahead of a running segment is not made to wait for it: a segment begins at its position.
 * nydus gives up after 5 s: an upstream that sends 1 MB/s leaves it time for its own bytes.
 */
export const JUMP_DISTANCE_BYTES = 2 * 1024 * 1024;
/** What a segment gives up has to be worth a request, and the bytes that were on their way to it. */
export const LEAST_SHARE_BYTES = 8 * 1024 * 1024;
/** Segments at once: the front and a few jumps; those that share the whole come on top. */
export const SEGMENT_LIMIT = 5;

/** A transfer that is running: its next byte goes to `position`; it stops before `end` (Infinity: size unknown). */
export interface RunningSegment {
  readonly position: number;
  readonly end: number;
  /** True: another one brings these bytes as well, until the upstream has answered this one. */
  readonly isTentative?: boolean | undefined;
}

interface MutableSegment {
  readonly position: number;
  end: number;
  readonly isTentative?: boolean | undefined;
  readonly isOptional?: boolean | undefined;
}

/** A reader that waits at `start` for bytes up to `end`. */
export type Demand = Interval;

/** In how many segments the whole is to come, and how much each should bring. */
export interface Split {
  readonly count: number;
  readonly windowBytes: number;
}

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
  /** Absent: the front brings all that is left. */
  readonly split?: Split | undefined;
}

/** A segment to begin. */
export interface SegmentStart extends Interval {
  /** It is only there to be faster: without it, another one brings its bytes in time. */
  readonly isOptional?: boolean;
  /** When it is answered, whoever would bring these bytes as well ends before them; until then nothing is given up. */
  readonly isTentative?: boolean;
}

/**
 * Segments to begin, and where running ones now end (index into `running`). No byte is in two segments, but for those of
 * a tentative one.
 */
export interface Plan {
  readonly starts: readonly SegmentStart[];
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
  const running = input.running.map((segment) => ({ ...segment }));
  const segments: MutableSegment[] = [...running];
  const split = input.isWholeWanted && input.canJump && input.sizeBytes < Infinity ? input.split : undefined;
  const begin = (start: number, limit: number) => {
    const end = Math.min(limit, nextBoundary(input, segments, start));
    if (end <= start) return;
    for (const segment of segments) if (segment.position < start && start < segment.end) segment.end = start;
    segments.push({ position: start, end });
  };
  const jumpLimit = SEGMENT_LIMIT - 1 + (split?.count ?? 1);
  for (const demand of input.demands.toSorted((a, b) => a.start - b.start)) {
    if (isCovered(segments, demand.start)) continue;
    if (input.canJump && segments.length < jumpLimit) begin(demand.start, demand.end);
  }
  const front = firstGap(input.present);
  if (
    input.isWholeWanted &&
    front < input.sizeBytes &&
    !segments.some(({ position }) => position === front)
  ) {
    begin(front, Math.min(input.sizeBytes, front + (split?.windowBytes ?? Infinity)));
  }
  if (split !== undefined) spread(input, segments, split);
  return {
    starts: segments.slice(running.length).map(startOf),
    cuts: running.flatMap(({ end }, index) => (end === input.running[index]?.end ? [] : [{ index, end }])),
  };
}

/**
 * Adds segments until there are enough: in the first stretch that nobody brings, or in what the longest one would have to
 * bring. That one goes on as it is until the new one is answered: the upstream may refuse it, or not do ranges.
 */
function spread(
  { present, sizeBytes }: PlanInput,
  segments: MutableSegment[],
  { count, windowBytes }: Split,
): void {
  while (segments.length < count) {
    const missing = firstMissing(present, segments, sizeBytes);
    if (missing === undefined) break;
    const end = Math.min(missing.end, missing.start + windowBytes);
    segments.push({ position: missing.start, end, isOptional: true });
  }
  const longest = segments.toSorted((a, b) => b.end - b.position - (a.end - a.position))[0];
  if (longest === undefined || segments.length >= count) return;
  // Towards the end, when less than whole windows are left, they are halved: else the last ones would end one by one.
  const share = Math.min(windowBytes, Math.floor((longest.end - longest.position) / 2));
  if (share < LEAST_SHARE_BYTES || segments.some((each) => each.isTentative)) return;
  const start = longest.position + share;
  segments.push({ position: start, end: Math.min(start + windowBytes, longest.end), isTentative: true });
}

/** The first stretch that is neither here nor on its way. */
function firstMissing(
  present: readonly Interval[],
  segments: readonly RunningSegment[],
  sizeBytes: number,
): Interval | undefined {
  const taken = new Intervals();
  for (const { start, end } of present) taken.add(start, end);
  for (const { position, end } of segments) taken.add(position, Math.min(end, sizeBytes));
  const start = firstGap(taken.list);
  return start < sizeBytes ? { start, end: taken.nextStart(start) ?? sizeBytes } : undefined;
}

function startOf({ position: start, end, isTentative, isOptional }: MutableSegment): SegmentStart {
  if (isTentative === true) return { start, end, isOptional: true, isTentative };
  return isOptional === true ? { start, end, isOptional } : { start, end };
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
