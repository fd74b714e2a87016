import { setTimeout as delay } from 'node:timers/promises';

/** Time, injected so that tests can move it. */
export interface Clock {
  /** Wall time, milliseconds since 1970. For what is stored. */
  now(): number;
  /** Milliseconds that never go backwards. For deadlines and lifetimes within the process. */
  monotonic(): number;
  /** Resolves after `ms`. Rejects with the signal's reason when it aborts first. Does not keep the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { ref: false, ...(signal && { signal }) });
    } catch (error) {
      throw signal?.aborted === true ? signal.reason : error;
    }
  },
};
