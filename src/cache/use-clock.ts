import type { Clock } from '../clock.ts';
import { useTimeAtStart } from './eviction-policy.ts';

/**
 * A clock whose `now` is use time: it goes on from the latest use that was written down, with the monotonic clock, so
 * that a wall clock that jumps changes no order and no age (see `useTimeAtStart`).
 * @param latest absent: nothing was used yet
 */
export function useClock(clock: Clock, latest: number | undefined): Clock {
  const start = useTimeAtStart(latest, clock.now());
  const begun = clock.monotonic();
  return {
    now: () => start + clock.monotonic() - begun,
    monotonic: () => clock.monotonic(),
    sleep: (ms, signal) => clock.sleep(ms, signal),
  };
}
