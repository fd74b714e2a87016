import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StoreBudget } from '../../src/cache/store-budget.ts';
import { Gate } from '../support/gate.ts';

it('a small claim does not take what is being evicted for a large one', async () => {
  const gate = new Gate();
  const budget: StoreBudget = new StoreBudget(100, { bytes: 100, blobs: 10 }, async (bytes) => {
    for (let freed = 0; freed < bytes; freed += 10) {
      budget.removed(10);
      await gate.pass();
    }
  });
  const large = budget.reserve(50);
  await gate.arrived();
  const small = budget.reserve(10);
  gate.open();
  expect((await large)?.bytes).toBe(50);
  expect((await small)?.bytes).toBe(10);
  expect(budget.usage).toMatchObject({ storedBytes: 40, reservedBytes: 60 });
});

it('evicts on while that makes progress, and gives up when it does not', async () => {
  let rounds = 0;
  const budget: StoreBudget = new StoreBudget(100, { bytes: 100, blobs: 3 }, async () => {
    rounds += 1;
    if (rounds <= 3) budget.removed(20);
    await Promise.resolve();
  });
  expect((await budget.reserve(60))?.bytes).toBe(60);
  expect(rounds).toBe(3);
  expect(await budget.reserve(20)).toBeUndefined();
});

it('evicts nothing for a claim that promises leave no room for', async () => {
  let evictions = 0;
  const budget: StoreBudget = new StoreBudget(100, { bytes: 30, blobs: 3 }, async () => {
    evictions += 1;
    await Promise.resolve();
  });
  expect(await budget.reserve(70)).toBeDefined();
  expect(await budget.reserve(40)).toBeUndefined();
  expect(evictions).toBe(0);
});

describe('a promise for a blob of unknown size', () => {
  const MIB = 1024 * 1024;

  it('grows in large steps where there is room, and to the last byte where there is little', async () => {
    const budget = new StoreBudget(40 * MIB, { bytes: 0, blobs: 0 }, () => Promise.resolve());
    const reservation = await budget.reserve(0);
    expect(await reservation?.growTo(1)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(16 * MIB);
    expect(await reservation?.growTo(17 * MIB)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(32 * MIB);
    expect(await reservation?.growTo(33 * MIB)).toBe(true);
    expect(await reservation?.growTo(40 * MIB)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(40 * MIB);
    expect(await reservation?.growTo(40 * MIB + 1)).toBe(false);
    expect(budget.usage.reservedBytes).toBe(40 * MIB);
    reservation?.release();
    reservation?.release();
    expect(budget.usage.reservedBytes).toBe(0);
  });

  it('evicts nothing for more than it needs now', async () => {
    let stored = 8 * MIB;
    const budget: StoreBudget = new StoreBudget(10 * MIB, { bytes: stored, blobs: 8 }, async (bytes) => {
      for (let freed = 0; freed < bytes && stored > 0; freed += MIB) {
        budget.removed(MIB);
        stored -= MIB;
      }
      await Promise.resolve();
    });
    const reservation = await budget.reserve(0);
    expect(await reservation?.growTo(3 * MIB)).toBe(true);
    expect(budget.usage).toMatchObject({ storedBytes: 7 * MIB, reservedBytes: 3 * MIB });
  });
});

it('promises and blobs together never go over the limit, whatever is claimed at the same time', async () => {
  const operation = fc.record({ bytes: fc.nat(60), isKept: fc.boolean(), grows: fc.nat(30) });
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
      const blobs: number[] = [];
      const budget: StoreBudget = new StoreBudget(100, { bytes: 0, blobs: 0 }, async (bytes) => {
        for (let freed = 0; freed < bytes && blobs.length > 0;) {
          const size = blobs.shift() ?? 0;
          await Promise.resolve();
          budget.removed(size);
          freed += size;
        }
      });
      const check = () => {
        const { storedBytes, reservedBytes } = budget.usage;
        expect(storedBytes + reservedBytes).toBeLessThanOrEqual(100);
        expect(Math.min(storedBytes, reservedBytes)).toBeGreaterThanOrEqual(0);
      };
      await Promise.all(
        operations.map(async ({ bytes, isKept, grows }) => {
          const reservation = await budget.reserve(bytes);
          check();
          if (reservation === undefined) return;
          await reservation.growTo(bytes + grows);
          check();
          reservation.release();
          if (isKept) {
            budget.added(bytes);
            blobs.push(bytes);
          }
          check();
        }),
      );
      expect(budget.usage).toMatchObject({
        reservedBytes: 0,
        storedBytes: blobs.reduce((sum, size) => sum + size, 0),
        storedBlobs: blobs.length,
      });
    }),
    { numRuns: 300 },
  );
});
