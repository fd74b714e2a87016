import { expect, it } from 'vitest';
import { StoreBudget } from '../../src/pull-through/store-budget.ts';
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
