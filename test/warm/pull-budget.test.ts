import { describe, expect, it } from 'vitest';
import { PullAllowances } from '../../src/warm/pull-allowances.ts';
import { type BudgetEvent, PullBudget } from '../../src/warm/pull-budget.ts';
import { UpstreamError } from '../../src/upstream/upstream-error.ts';
import type { PullReserve } from '../../src/config.ts';
import { FakeClock } from '../support/fake-clock.ts';

const never = new AbortController().signal;
const HUB = 'docker.io';
const MINUTE_MS = 60_000;

/** A registry that allows so many pulls, on a clock that stands still. */
function start(reserve: PullReserve, said?: { limit: number; remaining: number }) {
  const clock = new FakeClock();
  const allowances = new PullAllowances();
  const budget = new PullBudget({ clock, allowances, reserveOf: () => reserve });
  const told: BudgetEvent[] = [];
  budget.listen((event) => void told.push(event));
  const state = { limit: said?.limit ?? 0, remaining: said?.remaining ?? 0, pulls: 0, looks: 0 };
  const report = () => {
    if (said !== undefined) allowances.report(HUB, { ...state, account: 'anonymous' });
  };
  report();
  const pull = (signal = never) =>
    budget.pull(
      HUB,
      async () => {
        state.pulls += 1;
        state.remaining -= 1;
        report();
      },
      async () => {
        state.looks += 1;
        report();
      },
      signal,
    );
  return { clock, allowances, budget, told, state, report, pull };
}

const limited = (retryAfterMs?: number) =>
  new UpstreamError('rate-limited', 'too many requests', { status: 429, retryAfterMs });

describe('the budget of pulls', () => {
  it('lets everything pass where the upstream says nothing of an allowance', async () => {
    const { pull, state, told } = start({ share: 0.1 });
    for (let count = 0; count < 100; count += 1) await pull();
    expect([state.pulls, told]).toEqual([100, []]);
  });

  it('stops at the reserve, says until when, looks again and goes on when there is more', async () => {
    const { pull, state, told, clock } = start({ share: 0.1 }, { limit: 100, remaining: 12 });
    await pull();
    await pull();
    const third = pull();
    await clock.asleep();
    expect(state).toMatchObject({ remaining: 10, pulls: 2, looks: 0 });
    expect(told).toEqual([
      {
        event: 'waiting',
        upstream: HUB,
        why: 'reserve',
        untilMs: clock.now() + MINUTE_MS,
        allowance: { limit: 100, remaining: 10 },
        reserve: 10,
      },
    ]);
    await clock.advance(MINUTE_MS);
    expect(state).toMatchObject({ pulls: 2, looks: 1 });
    state.remaining = 50;
    // The second look comes later than the first did.
    await clock.advance(MINUTE_MS);
    expect(state.looks).toBe(1);
    await clock.advance(MINUTE_MS);
    await third;
    expect(state).toMatchObject({ pulls: 3, looks: 2 });
    expect(told.map(({ event }) => event)).toEqual(['waiting', 'waiting', 'resumed']);
  });

  it('counts those on their way, however many begin at once', async () => {
    const { budget, allowances, clock } = start({ pulls: 5 }, { limit: 100, remaining: 8 });
    let running = 0;
    let ended = 0;
    const answers: (() => void)[] = [];
    const leaving = new AbortController();
    const all = Array.from({ length: 10 }, async () =>
      budget.pull(
        HUB,
        async () => {
          running += 1;
          await new Promise<void>((resolve) => void answers.push(resolve));
          ended += 1;
        },
        async () => undefined,
        leaving.signal,
      ),
    );
    const settled = Promise.allSettled(all);
    await clock.advance(0);
    expect(running).toBe(3);
    // The answer of one tells that there is more than was thought.
    allowances.report(HUB, { limit: 100, remaining: 9, account: 'anonymous' });
    answers.shift()?.();
    await clock.advance(0);
    expect([running, ended]).toEqual([5, 1]);
    leaving.abort(new Error('enough'));
    for (const answer of answers) answer();
    await settled;
  });

  it.each([
    ['a number', { pulls: 20 }, 20],
    ['a share', { share: 0.25 }, 25],
    ['more than there is: all but one', { pulls: 1000 }, 99],
    ['everything: all but one', { share: 1 }, 99],
    ['nothing', { pulls: 0 }, 0],
  ])('keeps %s', async (_, reserve, kept) => {
    const { pull, state, clock } = start(reserve, { limit: 100, remaining: 100 });
    const leaving = new AbortController();
    for (let count = kept; count < 100; count += 1) await pull();
    const waiting = pull(leaving.signal);
    await clock.asleep();
    expect(state.remaining).toBe(kept);
    leaving.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  it('takes the account that has least for the one that will be asked', () => {
    const allowances = new PullAllowances();
    allowances.report(HUB, { limit: 200, remaining: 150, account: 'me' });
    allowances.report(HUB, { limit: 100, remaining: 7, account: 'anonymous' });
    allowances.report(HUB, { limit: undefined, remaining: undefined, account: 'other' });
    expect(allowances.of(HUB)).toEqual({ limit: 100, remaining: 7 });
    expect(allowances.of('quay.io')).toBeUndefined();
  });

  it('waits a refusal out as long as it says, all who are refused together, and tries again', async () => {
    const { budget, told, clock } = start({ share: 0.1 });
    let tries = 0;
    const work = async () => {
      tries += 1;
      if (tries <= 3) throw limited(90_000);
      return tries;
    };
    const all = Promise.all(Array.from({ length: 3 }, () => budget.patiently(HUB, work, never)));
    await clock.asleep(3);
    expect(told).toMatchObject([{ event: 'waiting', why: 'rate-limited', untilMs: clock.now() + 90_000 }]);
    await clock.advance(89_000);
    expect(tries).toBe(3);
    await clock.advance(1000);
    expect(await all).toHaveLength(3);
    expect(told.map(({ event }) => event)).toEqual(['waiting', 'resumed']);
  });

  it('asks ever more rarely where a refusal does not say how long, and gives up after a day', async () => {
    const { budget, clock } = start({ share: 0.1 });
    const tries: number[] = [];
    const failing = budget.patiently(
      HUB,
      async () => {
        tries.push(clock.monotonic());
        throw limited();
      },
      never,
    );
    const outcome = expect(failing).rejects.toMatchObject({ reason: 'rate-limited' });
    await clock.asleep();
    for (let hour = 0; hour < 25; hour += 1) await clock.advance(60 * MINUTE_MS);
    await outcome;
    expect(tries.slice(0, 4)).toEqual([0, 5000, 15_000, 35_000]);
    expect(tries.length).toBeLessThan(110);
  });

  it('lets other failures pass', async () => {
    const { budget, told } = start({ share: 0.1 });
    await expect(
      budget.patiently(HUB, () => Promise.reject(new UpstreamError('not-found', 'no')), never),
    ).rejects.toMatchObject({ reason: 'not-found' });
    expect(told).toEqual([]);
  });

  it('still counts as short when the upstream cannot be looked at', async () => {
    const { budget, state, clock } = start({ pulls: 5 }, { limit: 100, remaining: 5 });
    const leaving = new AbortController();
    let isAway = true;
    const waiting = budget.pull(
      HUB,
      async () => {
        state.pulls += 1;
      },
      async () => {
        state.looks += 1;
        if (isAway) throw new UpstreamError('unavailable', 'away');
      },
      leaving.signal,
    );
    await clock.asleep();
    await clock.advance(MINUTE_MS);
    expect(state).toMatchObject({ looks: 1, pulls: 0 });
    // What answers, and says nothing of an allowance any more, has none.
    isAway = false;
    await clock.advance(2 * MINUTE_MS);
    await waiting;
    expect(state).toMatchObject({ looks: 2, pulls: 1 });
  });
});
