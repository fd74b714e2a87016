import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Interval, Intervals } from '../../src/content/intervals.ts';
import {
  firstGap,
  isCovered,
  JUMP_DISTANCE_BYTES,
  LEAST_SHARE_BYTES,
  type PlanInput,
  planSegments,
  SEGMENT_LIMIT,
} from '../../src/pull-through/segment-plan.ts';

const MIB = 1024 * 1024;

/** A state that a fill can be in: what is here, what is under way and who waits, nothing in two places. */
const states: fc.Arbitrary<PlanInput> = fc
  .record({
    sizeMib: fc.integer({ min: 1, max: 64 }),
    isSizeKnown: fc.boolean(),
    // Lengths in turn: a gap, then bytes that are here, then a gap ...
    lengths: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 12 }),
    runningAt: fc.array(fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 64 })), { maxLength: SEGMENT_LIMIT }),
    demandsAt: fc.array(fc.tuple(fc.nat(63), fc.integer({ min: 1, max: 64 })), { maxLength: 8 }),
    beginsPresent: fc.boolean(),
    isWholeWanted: fc.boolean(),
    canJump: fc.boolean(),
    split: fc.option(
      fc.record({
        count: fc.integer({ min: 2, max: 8 }),
        windowBytes: fc.integer({ min: 8, max: 16 }).map((mib) => mib * MIB),
      }),
      { nil: undefined },
    ),
  })
  .map(
    ({
      sizeMib,
      isSizeKnown,
      lengths,
      runningAt,
      demandsAt,
      beginsPresent,
      isWholeWanted,
      canJump,
      split,
    }) => {
      const sizeBytes = sizeMib * MIB;
      const present = new Intervals();
      let at = 0;
      for (const [index, length] of lengths.entries()) {
        const end = Math.min(at + length * MIB, sizeBytes);
        if ((index % 2 === 0) === beginsPresent) present.add(at, end);
        at = end;
      }
      const running: { position: number; end: number }[] = [];
      for (const [start, length] of runningAt.toSorted((a, b) => a[0] - b[0])) {
        const position = start * MIB;
        const isTaken = present.endAt(position) > position || running.some(({ end }) => end > position);
        if (position >= sizeBytes || isTaken) continue;
        const last = running.at(-1);
        if (last !== undefined && last.end > position) last.end = position;
        const limit = present.nextStart(position) ?? sizeBytes;
        running.push({ position, end: Math.min(position + length * MIB, limit) });
      }
      const demands = demandsAt.flatMap(([start, length]) => {
        const position = start * MIB;
        const isWaiting = position < sizeBytes && present.endAt(position) === position;
        return isWaiting ? [{ start: position, end: Math.min(position + length * MIB, sizeBytes) }] : [];
      });
      return {
        sizeBytes: isSizeKnown ? sizeBytes : Infinity,
        present: present.list,
        running,
        demands,
        isWholeWanted,
        canJump,
        split,
      };
    },
  );

/** All segments as they are once the plan is carried out, and what is tentative was answered. */
function carriedOut(input: PlanInput): { position: number; end: number }[] {
  const { starts, cuts } = planSegments(input);
  const running = input.running.map((segment, index) => ({
    ...segment,
    end: cuts.find((cut) => cut.index === index)?.end ?? segment.end,
  }));
  const all = [...running, ...starts.map(({ start, end }) => ({ position: start, end }))];
  for (const { start } of starts.filter(({ isTentative }) => isTentative))
    for (const segment of all) if (segment.position < start && start < segment.end) segment.end = start;
  return all;
}

function overlap(a: Interval, b: Interval): boolean {
  return a.start < b.end && b.start < a.end;
}

const RUNS = { numRuns: 2000 };

describe('a plan', () => {
  it('never gives a byte to two segments, nor one that is here, nor one that does not exist', () => {
    fc.assert(
      fc.property(states, (input) => {
        const all = carriedOut(input).map(({ position, end }) => ({ start: position, end }));
        for (const [index, segment] of all.entries()) {
          if (index >= input.running.length) {
            expect(segment.start).toBeLessThan(segment.end);
            expect(segment.end).toBeLessThanOrEqual(input.sizeBytes);
          }
          for (const present of input.present) expect(overlap(segment, present)).toBe(false);
          for (const other of all.slice(index + 1)) expect(overlap(segment, other)).toBe(false);
        }
      }),
      RUNS,
    );
  });

  it('only cuts what runs, and never before its next byte', () => {
    fc.assert(
      fc.property(states, (input) => {
        for (const { index, end } of planSegments(input).cuts) {
          const before = input.running[index];
          expect.assert(before !== undefined);
          expect(end).toBeLessThan(before.end);
          expect(end).toBeGreaterThan(before.position);
        }
      }),
      RUNS,
    );
  });

  it('loses no byte that was on its way: what is cut off, another segment begins with', () => {
    fc.assert(
      fc.property(states, (input) => {
        const after = carriedOut(input);
        for (const { index, end } of planSegments(input).cuts) {
          expect(after.some(({ position }, at) => at !== index && position === end)).toBe(true);
        }
      }),
      RUNS,
    );
  });

  it('covers every waiting reader, unless it may not jump or too many segments run', () => {
    fc.assert(
      fc.property(states, (input) => {
        const after = carriedOut(input);
        if (!input.canJump || after.length >= SEGMENT_LIMIT) return;
        for (const { start } of input.demands) expect(isCovered(after, start)).toBe(true);
      }),
      RUNS,
    );
  });

  it('fetches the front when the whole is wanted, jumps or no jumps, and nothing but demands otherwise', () => {
    fc.assert(
      fc.property(states, (input) => {
        const front = firstGap(input.present);
        const after = carriedOut(input);
        if (input.isWholeWanted && front < input.sizeBytes) {
          expect(after.some(({ position, end }) => position === front && end > front)).toBe(true);
        }
        const wanted = new Set(input.demands.map(({ start }) => start));
        if (input.isWholeWanted) wanted.add(front);
        if (input.split !== undefined) return;
        for (const { start } of planSegments(input).starts) expect(wanted.has(start)).toBe(true);
      }),
      RUNS,
    );
  });

  it('begins at most the front beyond the limit, and nothing once it is carried out', () => {
    fc.assert(
      fc.property(states, (input) => {
        const after = carriedOut(input);
        const limit = SEGMENT_LIMIT - 1 + (input.split?.count ?? 1);
        expect(after.length).toBeLessThanOrEqual(Math.max(input.running.length, limit) + 1);
        if (planSegments(input).starts.some(({ isTentative }) => isTentative)) return;
        const next = planSegments({ ...input, running: after });
        if (input.canJump && after.length < SEGMENT_LIMIT) expect(next.starts).toEqual([]);
      }),
      RUNS,
    );
  });

  it('lets a reader wait for a segment that is near, and jumps ahead of one that is far', () => {
    const running = [{ position: 0, end: 100 * MIB }];
    const plan = (start: number) =>
      planSegments({
        sizeBytes: 100 * MIB,
        present: [],
        running,
        demands: [{ start, end: start + 10 }],
        isWholeWanted: true,
        canJump: true,
      });
    expect(plan(JUMP_DISTANCE_BYTES)).toEqual({ starts: [], cuts: [] });
    const far = JUMP_DISTANCE_BYTES + 1;
    expect(plan(far)).toEqual({
      starts: [{ start: far, end: far + 10 }],
      cuts: [{ index: 0, end: far }],
    });
  });

  it('that is split has as many segments as were asked for, but one that is tried first, or small shares', () => {
    fc.assert(
      fc.property(states, (input) => {
        const { split, isWholeWanted, canJump, sizeBytes } = input;
        if (split === undefined || !isWholeWanted || !canJump || sizeBytes === Infinity) return;
        const { starts } = planSegments(input);
        const after = carriedOut(input);
        const missing = new Intervals();
        for (const { start, end } of input.present) missing.add(start, end);
        for (const { position, end } of after) missing.add(position, Math.min(end, sizeBytes));
        const isAllOnItsWay = firstGap(missing.list) >= sizeBytes;
        const longest = Math.max(0, ...after.map(({ position, end }) => end - position));
        const isTrying = starts.some(({ isTentative }) => isTentative);
        const isShared = isAllOnItsWay && Math.min(split.windowBytes, longest / 2) < LEAST_SHARE_BYTES;
        expect(after.length >= split.count || isTrying || isShared).toBe(true);
      }),
      RUNS,
    );
  });

  it('has the one that would bring all the rest go on until a second one is answered, and shares then', () => {
    const facts = {
      sizeBytes: 100 * MIB,
      present: [{ start: 0, end: 10 * MIB }],
      demands: [],
      isWholeWanted: true,
      canJump: true,
      split: { count: 3, windowBytes: 8 * MIB },
    };
    const front = { position: 10 * MIB, end: 100 * MIB };
    const second = { position: 18 * MIB, end: 26 * MIB };
    expect(planSegments({ ...facts, running: [front] })).toEqual({
      cuts: [],
      starts: [{ start: 18 * MIB, end: 26 * MIB, isOptional: true, isTentative: true }],
    });
    expect(planSegments({ ...facts, running: [front, { ...second, isTentative: true }] })).toEqual({
      cuts: [],
      starts: [],
    });
    expect(planSegments({ ...facts, running: [{ ...front, end: 18 * MIB }, second] })).toEqual({
      cuts: [],
      starts: [{ start: 26 * MIB, end: 34 * MIB, isOptional: true }],
    });
  });
});
