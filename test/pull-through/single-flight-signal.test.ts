import { expect, it } from 'vitest';
import { Condition } from '../../src/pull-through/condition.ts';
import { SingleFlight } from '../../src/pull-through/single-flight.ts';

const never = new AbortController().signal;

it('work that has ended is not aborted when its last waiter leaves', async () => {
  const signals: AbortSignal[] = [];
  const work = (signal: AbortSignal) => {
    signals.push(signal);
    return Promise.resolve(7);
  };
  expect(await new SingleFlight().run('key', work, never)).toBe(7);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
});

it('work that nobody waits for any more is aborted', async () => {
  const client = new AbortController();
  let seen: AbortSignal | undefined;
  const running = new SingleFlight().run(
    'key',
    (signal) => {
      seen = signal;
      return new Promise(() => undefined);
    },
    client.signal,
  );
  client.abort(new Error('left'));
  await expect(running).rejects.toThrow('left');
  expect(seen?.aborted).toBe(true);
});

it('a condition wakes all who waited before it, and nobody who waits after it', async () => {
  const condition = new Condition();
  condition.notify();
  const woken: string[] = [];
  const wait = async (name: string) => {
    await condition.wait();
    woken.push(name);
  };
  const both = [wait('a'), wait('b')];
  condition.notify();
  const late = wait('c');
  await Promise.all(both);
  expect(woken).toEqual(['a', 'b']);
  condition.notify();
  await late;
});
