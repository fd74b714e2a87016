import { expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';

it('wakes sleepers in order of time, each at its own time, and those who sleep again too', async () => {
  const clock = new FakeClock(1000);
  const woken: string[] = [];
  const sleep = async (name: string, ms: number): Promise<void> => {
    await clock.sleep(ms);
    woken.push(`${name}@${clock.monotonic()}/${clock.now()}`);
  };
  const loop = async (): Promise<void> => {
    await sleep('a', 10);
    await sleep('a', 10);
  };
  const all = Promise.all([loop(), sleep('b', 15), sleep('c', 15)]);
  expect(clock.nextWakeMs).toBe(10);
  await clock.advance(9);
  expect(woken).toEqual([]);
  await clock.advance(11);
  await all;
  expect(woken).toEqual(['a@10/1010', 'b@15/1015', 'c@15/1015', 'a@20/1020']);
  expect(clock.sleeping).toBe(0);
});

it('sets the wall time alone', async () => {
  const clock = new FakeClock();
  clock.setWall(5);
  await clock.advance(10);
  expect([clock.now(), clock.monotonic()]).toEqual([15, 10]);
});

it('rejects a sleeper with the reason of its signal', async () => {
  const clock = new FakeClock();
  const controller = new AbortController();
  const reason = new Error('enough');
  const sleeping = clock.sleep(10, controller.signal);
  await clock.asleep(1);
  controller.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
  await expect(clock.sleep(10, controller.signal)).rejects.toBe(reason);
  expect(clock.sleeping).toBe(0);
});
