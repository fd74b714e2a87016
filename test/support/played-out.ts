import { setTimeout as delay } from 'node:timers/promises';
import type { FakeClock } from './fake-clock.ts';

/**
 * Moves time on until the promise is settled: `stepMs` for each real millisecond, so that sockets keep up. Small steps
 * where a wait that has begun must not be over while they are at work.
 */
export async function playedOut<T>(clock: FakeClock, promise: Promise<T>, stepMs: number): Promise<T> {
  const state = { isSettled: false };
  const watched = promise.finally(() => {
    state.isSettled = true;
  });
  while (!state.isSettled) {
    await delay(1);
    await clock.advance(stepMs);
  }
  return watched;
}
