import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Newcomers } from '../src/newcomers.ts';

/** How many turns of the event loop a body stands back while each of up to `limit` turns, 1 ms each, brings a connection. */
function street() {
  let nowMs = 1000;
  const newcomers = new Newcomers(() => nowMs);
  const turnsWhileComing = async (limit: number): Promise<number> => {
    let turns = 0;
    const state = { isOver: false };
    const standing = newcomers.turnWithout().then(() => (state.isOver = true));
    while (!state.isOver && turns < limit) {
      turns += 1;
      nowMs += 1;
      newcomers.arrived();
      await nextTurn();
    }
    await standing;
    return turns;
  };
  return { turnsWhileComing, pass: (ms: number) => (nowMs += ms) };
}

test('bodies stand back while every turn brings a connection', async () => {
  const { turnsWhileComing } = street();
  expect(await turnsWhileComing(20)).toBe(20);
});

test('bodies stand back for a moment only, and not again soon after it', async () => {
  const { turnsWhileComing, pass } = street();
  expect(await turnsWhileComing(1000)).toBeLessThan(160);
  pass(100);
  expect(await turnsWhileComing(20)).toBeLessThan(3);
  pass(300);
  expect(await turnsWhileComing(20)).toBe(20);
});
