import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CORRELATED_MS,
  evictionPolicy,
  KEPT_LONGER_MS,
  LONGEST_PAUSE_MS,
  LONGEST_REACH_MS,
  nextUse,
  orphanedRank,
  rankOf,
  type Uses,
  useTimeAtStart,
} from '../../src/cache/eviction-policy.ts';
import type { ContentKind } from '../../src/metadata/stored-blobs.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const YEAR_MS = 365 * DAY_MS;
const NOW = Date.UTC(2026, 10, 21);

const times = fc.integer({ min: 0, max: 2 * NOW });
const spans = fc.integer({ min: 0, max: 2 * YEAR_MS });
const kinds = fc.constantFrom<ContentKind>('layer', 'config', 'manifest', 'index');
const uses = fc.record({ usedAt: times, earlierAt: fc.option(times, { nil: undefined }) });

/** Once at each of these times, the first one being that at which it was stored. */
function usedAt(first: number, ...later: readonly number[]): Uses {
  return later.reduce<Uses>(nextUse, { usedAt: first, earlierAt: undefined });
}

function layerRank(of: Uses, floor: number): number {
  return rankOf({ kind: 'layer', ...of }, floor);
}

describe('a use', () => {
  it('within half an hour of the last is the same use, and leaves everything as it is', () => {
    fc.assert(
      fc.property(uses, fc.integer({ min: 0, max: CORRELATED_MS - 1 }), (previous, later) => {
        expect(nextUse(previous, previous.usedAt + later)).toBe(previous);
      }),
    );
  });

  it('after that is one of its own, also when uses never pause for so long', () => {
    const everyMinute = Array.from({ length: 120 }, (_, minute) => NOW + minute * 60_000);
    expect(usedAt(NOW, ...everyMinute)).toEqual({ usedAt: NOW + 90 * 60_000, earlierAt: NOW + 60 * 60_000 });
  });

  it('never lowers the rank, wherever the floor is and was', () => {
    fc.assert(
      fc.property(uses, spans, kinds, times, times, (previous, later, kind, before, after) => {
        const next = nextUse(previous, previous.usedAt + later);
        expect(rankOf({ kind, ...next }, after)).toBeGreaterThanOrEqual(
          next === previous ? rankOf({ kind, ...next }, after) : rankOf({ kind, ...previous }, before),
        );
      }),
    );
  });
});

describe('the rank', () => {
  it('is a whole number from 0 up to 2^52, whatever a row says', () => {
    const anything = fc.oneof(fc.double(), times, fc.maxSafeInteger());
    fc.assert(
      fc.property(
        anything,
        fc.option(anything, { nil: undefined }),
        kinds,
        anything,
        (last, before, kind, floor) => {
          const rank = rankOf({ kind, usedAt: last, earlierAt: before }, floor);
          expect(Number.isSafeInteger(rank) && rank >= 0 && rank <= 2 ** 52).toBe(true);
          const orphan = orphanedRank({ usedAt: last });
          expect(Number.isSafeInteger(orphan) && orphan < 0).toBe(true);
        },
      ),
    );
  });

  it('is no lower for a later last use', () => {
    fc.assert(
      fc.property(uses, spans, kinds, times, (use, later, kind, floor) => {
        const moved = { ...use, usedAt: use.usedAt + later };
        expect(rankOf({ kind, ...moved }, floor)).toBeGreaterThanOrEqual(rankOf({ kind, ...use }, floor));
      }),
    );
  });

  it('is no lower for a later use before it', () => {
    fc.assert(
      fc.property(uses, spans, times, ({ usedAt: last, earlierAt = last }, later, floor) => {
        const without = layerRank({ usedAt: last, earlierAt: undefined }, floor);
        const early = layerRank({ usedAt: last, earlierAt }, floor);
        expect(early).toBeGreaterThanOrEqual(without);
        expect(layerRank({ usedAt: last, earlierAt: earlierAt + later }, floor)).toBeGreaterThanOrEqual(
          early,
        );
      }),
    );
  });

  it('of an index, a manifest and a config is that of a layer of the same uses 60 days later', () => {
    fc.assert(
      fc.property(uses, times, kinds, (use, floor, kind) => {
        const longer = kind === 'layer' ? 0 : KEPT_LONGER_MS;
        expect(rankOf({ kind, ...use }, floor)).toBe(layerRank(use, floor) + longer);
      }),
    );
  });

  it('of what is brought in is above the floor, so that nothing new is the next to go', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: YEAR_MS }), (floor, reach) => {
        expect(layerRank(usedAt(floor + reach), floor)).toBeGreaterThan(floor);
      }),
    );
  });

  it('is the last use alone for the first that is stored', () => {
    expect(layerRank(usedAt(NOW), NOW)).toBe(NOW);
  });

  it('of an orphan is before everything that is none, and the least recently used orphan is first', () => {
    fc.assert(
      fc.property(uses, uses, times, (orphan, other, floor) => {
        expect(orphanedRank(orphan)).toBeLessThan(layerRank(other, floor));
        const [first, second] = [orphan, other].toSorted((a, b) => a.usedAt - b.usedAt);
        expect(orphanedRank(first ?? orphan)).toBeLessThanOrEqual(orphanedRank(second ?? other));
      }),
    );
  });
});

/** A cache of so many layers of one size; it says which of them it holds in the end. */
function played(capacity: number, requests: readonly { readonly name: string; readonly at: number }[]) {
  const stored = new Map<string, { readonly uses: Uses; readonly rank: number }>();
  let floor = requests[0]?.at ?? 0;
  const lowest = () => [...stored].toSorted(([, a], [, b]) => a.rank - b.rank)[0];
  for (const { name, at } of requests) {
    const known = stored.get(name)?.uses;
    if (known === undefined && stored.size >= capacity) {
      const [victim, { rank }] = lowest() ?? ['', { rank: floor }];
      stored.delete(victim);
      floor = rank;
    }
    const next = known ? evictionPolicy.nextUse({ kind: 'layer', sizeBytes: 1, ...known }, at) : usedAt(at);
    stored.set(name, { uses: next, rank: layerRank(next, floor) });
  }
  return stored;
}

describe('what is pulled every few hours', () => {
  const hot = Array.from({ length: 40 }, (_, layer) => `hot ${layer}`);
  const days = (count: number, from: number) =>
    Array.from({ length: count * 4 }, (_, quarter) => from + quarter * 6 * HOUR_MS).flatMap((at) =>
      hot.map((name) => ({ name, at })),
    );

  it('outlives a scan that is larger than the cache, in which plain LRU would lose all of it', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 400 }),
        fc.integer({ min: 0, max: 5 * HOUR_MS }),
        (size, pause) => {
          const scanAt = NOW + 10 * DAY_MS - 6 * HOUR_MS + pause;
          const scan = Array.from({ length: size }, (_, layer) => ({
            name: `scan ${layer}`,
            at: scanAt + layer,
          }));
          const held = played(100, [...days(10, NOW), ...scan]);
          expect(hot.filter((name) => !held.has(name))).toEqual([]);
        },
      ),
      { numRuns: 20 },
    );
  });

  it('makes room when it is not pulled any more', () => {
    const cold = Array.from({ length: 60 * 30 }, (_, at) => ({
      name: `once ${at}`,
      at: NOW + 10 * DAY_MS + at * HOUR_MS,
    }));
    const held = played(100, [...days(10, NOW), ...cold]);
    expect(hot.filter((name) => held.has(name))).toEqual([]);
  });
});

describe('a clock that jumps', () => {
  const jumps = fc.constantFrom(YEAR_MS, -YEAR_MS, -NOW, 50 * YEAR_MS, DAY_MS, -DAY_MS, 0);

  it('backwards makes nothing look older than it did', () => {
    fc.assert(
      fc.property(uses, spans, (previous, back) => {
        expect(nextUse(previous, previous.usedAt - back)).toBe(previous);
      }),
    );
  });

  it('while the process was stopped moves use time by a day at most, and never back', () => {
    fc.assert(
      fc.property(times, jumps, (latest, jump) => {
        const started = useTimeAtStart(latest, latest + jump);
        expect(started).toBeGreaterThanOrEqual(latest);
        expect(started).toBeLessThanOrEqual(latest + LONGEST_PAUSE_MS);
      }),
    );
    expect(useTimeAtStart(NOW, NOW + HOUR_MS)).toBe(NOW + HOUR_MS);
    expect(useTimeAtStart(undefined, NOW)).toBe(NOW);
  });

  it('and is set right again leaves what was used before, during and after it in that order', () => {
    fc.assert(
      fc.property(jumps, (jump) => {
        const before = useTimeAtStart(undefined, NOW);
        const during = useTimeAtStart(before, NOW + HOUR_MS + jump) + HOUR_MS;
        const after = useTimeAtStart(during, NOW + 3 * HOUR_MS) + HOUR_MS;
        const ranks = [before, during, after].map((at) => layerRank(usedAt(at), NOW - 7 * DAY_MS));
        expect(ranks).toEqual(ranks.toSorted((a, b) => a - b));
        // And nobody has become old: all of them are within what the cache reached back to before.
        expect(after - before).toBeLessThan(7 * DAY_MS);
      }),
    );
  });

  it('and reaches the ranks all the same lowers nothing by more than a year', () => {
    fc.assert(
      fc.property(times, times, (at, floor) => {
        expect(layerRank(usedAt(at), floor)).toBeGreaterThan(at - LONGEST_REACH_MS);
      }),
    );
  });
});
