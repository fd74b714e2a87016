import type { Clock } from '../clock.ts';
import { SMALL_PATIENCE_MS } from './retry.ts';
import { UpstreamError } from './upstream-error.ts';

const FAILURES_UNTIL_DOWN = 3;
const FIRST_WINDOW_MS = 2_000;
const LONGEST_WINDOW_MS = 30_000;

/** How a call may go about it. `left` must be called when it is over. */
export interface Admission {
  /** False: the upstream is taken for down, so there is one try and no waiting. */
  readonly mayRetry: boolean;
  readonly left: () => void;
}

/**
 * Whether one upstream answers at all. After three connection failures or timeouts in a row it is taken for down, for
 * a window of 2 s that doubles up to 30 s; any answer, even a 500, ends that. While it is down a call with small
 * patience fails at once, but for one probe at a time after each window; other calls get one try.
 */
export class Health {
  readonly #clock: Clock;
  readonly #changed: (up: boolean) => void;
  #failures = 0;
  #windowMs = 0;
  #windowEndMs = 0;
  #probing = false;

  constructor(clock: Clock, changed: (up: boolean) => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  get isUp(): boolean {
    return this.#windowMs === 0;
  }

  /** @throws UpstreamError `unavailable` for a call with small patience while the upstream is down */
  admit(patienceMs: number): Admission {
    if (this.isUp) return { mayRetry: true, left: () => undefined };
    if (patienceMs >= SMALL_PATIENCE_MS) return { mayRetry: false, left: () => undefined };
    if (this.#probing || this.#clock.monotonic() < this.#windowEndMs) {
      throw new UpstreamError('unavailable', 'the upstream has not answered lately');
    }
    this.#probing = true;
    return {
      mayRetry: false,
      left: () => {
        this.#probing = false;
      },
    };
  }

  /** It answered, whatever it said. */
  answered(): void {
    this.#failures = 0;
    if (this.isUp) return;
    this.#windowMs = 0;
    this.#changed(true);
  }

  /** No connection, a reset, or no answer in time. */
  failed(): void {
    this.#failures += 1;
    if (this.#failures < FAILURES_UNTIL_DOWN) return;
    const now = this.#clock.monotonic();
    // Failures of calls that run side by side say the same thing once.
    if (!this.isUp && now < this.#windowEndMs) return;
    const wasUp = this.isUp;
    this.#windowMs = wasUp ? FIRST_WINDOW_MS : Math.min(LONGEST_WINDOW_MS, this.#windowMs * 2);
    this.#windowEndMs = now + this.#windowMs;
    if (wasUp) this.#changed(false);
  }
}
