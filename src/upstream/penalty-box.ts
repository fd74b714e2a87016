import type { Clock } from '../clock.ts';

const FIRST_PENALTY_MS = 15_000;
const LONGEST_PENALTY_MS = 5 * 60_000;

/** Whether a source that others can stand in for is passed over: 15 s after a failure, doubling up to 5 min. */
export class PenaltyBox {
  readonly #clock: Clock;
  #penaltyMs = 0;
  #untilMs = -Infinity;
  #mustSitItOut = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isClosed(): boolean {
    return this.#clock.monotonic() < this.#untilMs;
  }

  /** Failures of requests that run side by side count once. */
  failed(): void {
    if (this.isClosed) return;
    this.#penaltyMs = Math.min(LONGEST_PENALTY_MS, this.#penaltyMs * 2 || FIRST_PENALTY_MS);
    this.#untilMs = this.#clock.monotonic() + this.#penaltyMs;
    this.#mustSitItOut = false;
  }

  /** What it sent was not what it said: the longest penalty at once. */
  lied(): void {
    this.#penaltyMs = LONGEST_PENALTY_MS;
    this.#untilMs = this.#clock.monotonic() + LONGEST_PENALTY_MS;
    this.#mustSitItOut = true;
  }

  /** Ends a penalty too: it was let try because nothing else was left. But for one who lied, who must sit it out. */
  succeeded(): void {
    if (this.isClosed && this.#mustSitItOut) return;
    this.#penaltyMs = 0;
    this.#untilMs = -Infinity;
  }
}
