import { describe, expect, it } from 'vitest';
import { UnstoredBudget } from '../../src/pull-through/unstored-budget.ts';
import { FakeClock } from '../support/fake-clock.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;

/** Room for two whole windows. */
function start() {
  const clock = new FakeClock();
  const budget = new UnstoredBudget(clock, 4 * MIB);
  const order: string[] = [];
  /** Waits for its turn under a name. */
  const ask = async (name: string, bytes: number, signal = never) => {
    const giveBack = await budget.takeInTurn(bytes, signal);
    order.push(name);
    return giveBack;
  };
  return { clock, budget, order, ask };
}

/** Whoever can go on has done so. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

describe('memory for bytes that pass by', () => {
  it('is charged by what is asked for, but never for more than one window', async () => {
    const { order, ask } = start();
    for (let at = 0; at < 32; at += 1) await ask('small', 2001);
    await ask('large', 1024 * MIB);
    const more = ask('more', 1);
    await settled();
    expect(order).toHaveLength(33);
    void more;
  });

  it('is given in the order of asking, and nothing small overtakes', async () => {
    const { clock, order, ask } = start();
    const first = await ask('first', 2 * MIB);
    const second = await ask('second', MIB);
    const waiting = [ask('large', 2 * MIB), ask('small', 2001)];
    await settled();
    expect(order).toEqual(['first', 'second']);
    first();
    await Promise.all(waiting);
    expect(order).toEqual(['first', 'second', 'large', 'small']);
    expect(clock.sleeping).toBe(0);
    second();
  });

  it('is waited for half a minute, and what was behind goes on', async () => {
    const { clock, order, ask } = start();
    await ask('first', 2 * MIB);
    await ask('second', MIB);
    const late = ask('late', 2 * MIB).catch((error: unknown) => error);
    await clock.advance(29_000);
    const small = ask('small', 2001);
    await settled();
    expect(order).toEqual(['first', 'second']);
    await clock.advance(1000);
    expect(await late).toMatchObject({ name: 'ContentError', reason: 'no-space' });
    await small;
  });

  it('is not kept by who stops waiting, even in the turn in which it is given back', async () => {
    const { clock, order, ask } = start();
    const first = await ask('first', 2 * MIB);
    await ask('second', 2 * MIB);
    const leaving = new AbortController();
    const left = ask('left', 2 * MIB, leaving.signal).catch((error: unknown) => error);
    const next = ask('next', 2 * MIB);
    leaving.abort(new Error('gone'));
    first();
    expect(await left).toEqual(new Error('gone'));
    await next;
    expect(order).toEqual(['first', 'second', 'next']);
    expect(clock.sleeping).toBe(0);
  });

  it('is refused at once to a fill on its way, and when too many wait', async () => {
    const { budget, ask } = start();
    const first = budget.take();
    budget.take();
    expect(() => budget.take()).toThrow('too many blobs');
    const leaving = Array.from({ length: 4096 }, () => new AbortController());
    const waiting = leaving.map(async ({ signal }) => ask('waiting', 1, signal).catch(() => undefined));
    await expect(ask('one more', 1)).rejects.toMatchObject({ name: 'ContentError', reason: 'no-space' });
    for (const each of leaving) each.abort();
    await Promise.all(waiting);
    first();
    expect(await ask('later', 1)).toBeDefined();
  });
});
