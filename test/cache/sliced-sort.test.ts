import { array, assert, asyncProperty, nat } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sortedInSlices } from '../../src/cache/sliced-sort.ts';
import { Slices } from '../../src/cache/slices.ts';
import { systemClock } from '../../src/clock.ts';

const ascending = (one: number, other: number) => one - other;
const byValue = (one: { value: number }, other: { value: number }) => one.value - other.value;

describe('sorting in slices', () => {
  it('is as sorting at once, stable, whatever there is', async () => {
    await assert(
      asyncProperty(array(nat(50), { maxLength: 5000, size: 'max' }), async (values) => {
        const items = values.map((value, at) => ({ value, at }));
        const slices = new Slices(systemClock, new AbortController().signal);
        expect(await sortedInSlices(items, byValue, slices)).toEqual(items.toSorted(byValue));
      }),
      { numRuns: 30 },
    );
  });

  it('lets others have their turn, and ends when it is told to', async () => {
    const items = Array.from({ length: 200_000 }, (_, at) => (at * 7919) % 200_003);
    let turns = 0;
    const turning = setInterval(() => (turns += 1), 1);
    const sorted = await sortedInSlices(
      items,
      ascending,
      new Slices(systemClock, new AbortController().signal),
    );
    expect(sorted[0]).toBe(0);
    expect(turns).toBeGreaterThan(5);
    clearInterval(turning);
    const ending = new AbortController();
    const running = sortedInSlices(items, ascending, new Slices(systemClock, ending.signal));
    ending.abort(new Error('nobody waits for it'));
    await expect(running).rejects.toThrow('nobody waits for it');
  });
});
