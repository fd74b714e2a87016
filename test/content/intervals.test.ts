import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Intervals } from '../../src/content/intervals.ts';

const SPAN = 60;
const additions = fc.array(fc.tuple(fc.nat(SPAN), fc.integer({ min: -3, max: SPAN })), { maxLength: 20 });

function both(list: readonly (readonly [number, number])[]): { intervals: Intervals; model: Set<number> } {
  const intervals = new Intervals();
  const model = new Set<number>();
  for (const [start, end] of list) {
    intervals.add(start, end);
    for (let at = start; at < end; at += 1) model.add(at);
  }
  return { intervals, model };
}

describe('intervals', () => {
  it('hold what a set of positions holds, whatever is added in whatever order', () => {
    fc.assert(
      fc.property(additions, (list) => {
        const { intervals, model } = both(list);
        expect(intervals.total).toBe(model.size);
        const held = intervals.list.flatMap(({ start, end }) =>
          Array.from({ length: end - start }, (_, at) => start + at),
        );
        expect(held).toEqual([...model].toSorted((a, b) => a - b));
      }),
      { numRuns: 1000 },
    );
  });

  it('are sorted, not empty, and neither touch nor overlap', () => {
    fc.assert(
      fc.property(additions, (list) => {
        let last = -1;
        for (const { start, end } of both(list).intervals.list) {
          expect(start).toBeGreaterThan(last);
          expect(end).toBeGreaterThan(start);
          last = end;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('say where a run ends and where the next one begins, as the set does', () => {
    fc.assert(
      fc.property(additions, fc.nat(SPAN), (list, position) => {
        const { intervals, model } = both(list);
        let end = position;
        while (model.has(end)) end += 1;
        expect(intervals.endAt(position)).toBe(end);
        const starts = [...model].filter((at) => at > position && !model.has(at - 1));
        expect(intervals.nextStart(position)).toBe(starts.length === 0 ? undefined : Math.min(...starts));
      }),
      { numRuns: 1000 },
    );
  });
});
