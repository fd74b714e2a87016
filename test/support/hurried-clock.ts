import { type Clock, systemClock } from '../../src/clock.ts';

/** Waits and deadlines pass so many times faster than they should; the wall clock is the right one. */
export function hurriedClock(times: number): Clock {
  return {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
  };
}
