import type { Clock } from '../clock.ts';
import { UpstreamError } from './upstream-error.ts';

const BURST_MS = 1_000;
/** Well under the 30 s after which containerd gives a mirror up. */
const LONGEST_WAIT_MS = 20_000;

/** Keeps what passes to so much a second, in the order of coming; up to one second's worth may pass at once. */
export class Pace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #onWait: (ms: number) => void;
  /** When the last one that came would pass if all kept the exact interval. */
  #lastMs = -Infinity;

  /**
   * @param perSecond more than 0
   * @param onWait told how long somebody's turn is away when it does not come at once
   */
  constructor(clock: Clock, perSecond: number, onWait: (ms: number) => void = () => undefined) {
    this.#clock = clock;
    this.#onWait = onWait;
    this.#intervalMs = 1_000 / perSecond;
  }

  /**
   * Resolves when it is this caller's turn. Who aborts while waiting has had his turn.
   * @throws UpstreamError `rate-limited` at once where the turn would come after more than 20 s; the signal's reason
   */
  async turn(signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const at = Math.max(now, this.#lastMs + this.#intervalMs);
    // The burst is what an idle second leaves over; one at least passes at once.
    const waitMs = at - now - Math.max(0, BURST_MS - this.#intervalMs);
    if (waitMs > 0) this.#onWait(waitMs);
    if (waitMs > LONGEST_WAIT_MS) {
      throw new UpstreamError('rate-limited', 'too many requests wait for the configured pace', {
        retryAfterMs: waitMs,
        isFinal: true,
      });
    }
    this.#lastMs = at;
    if (waitMs > 0) await this.#clock.sleep(waitMs, signal);
  }
}
