import type { Clock } from '../clock.ts';

/** Bounds on how slow one answer may be. */
export interface Pace {
  /** From the request to the headers, connecting included. */
  readonly firstByteMs: number;
  /** Between two pieces of the body. */
  readonly idleMs: number;
  /** So many bytes at least must come in so much time, again and again until the body ends. */
  readonly minimum: { readonly bytes: number; readonly windowMs: number };
}

/**
 * Watches the pace of one answer and calls `expired` once when it is too slow. While the reader holds the answer up
 * (`pause`), no time counts. One timer that looks now and then, instead of one that is set again with every chunk:
 * so a stall is noticed at `idleMs` at the earliest and twice that at the latest.
 */
export class Watchdog {
  readonly #clock: Clock;
  readonly #pace: Pace;
  readonly #expired: (what: string) => void;
  readonly #stopped = new AbortController();
  #deadlineMs: number;
  #answered = false;
  #paused = false;
  #windowStartMs = 0;
  #windowBytes = 0;

  constructor(clock: Clock, pace: Pace, expired: (what: string) => void) {
    this.#clock = clock;
    this.#pace = pace;
    this.#expired = expired;
    this.#deadlineMs = clock.monotonic() + pace.firstByteMs;
    void this.#watch();
  }

  /** The headers are there. */
  answered(): void {
    this.#answered = true;
    this.#restart();
  }

  progress(bytes: number): void {
    this.#windowBytes += bytes;
    this.#deadlineMs = this.#clock.monotonic() + this.#pace.idleMs;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#restart();
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped.abort();
  }

  #restart(): void {
    this.#windowStartMs = this.#clock.monotonic();
    this.#windowBytes = 0;
    this.#deadlineMs = this.#windowStartMs + this.#pace.idleMs;
  }

  async #watch(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const what = this.#tooSlow();
      if (what !== undefined) {
        this.stop();
        this.#expired(what);
        return;
      }
      const rest = this.#paused ? this.#pace.idleMs : this.#deadlineMs - this.#clock.monotonic();
      try {
        await this.#clock.sleep(Math.max(1, rest), this.#stopped.signal);
      } catch {
        return;
      }
    }
  }

  #tooSlow(): string | undefined {
    const now = this.#clock.monotonic();
    if (this.#paused) return undefined;
    if (now >= this.#deadlineMs) return this.#answered ? 'stopped sending' : 'did not answer in time';
    const { bytes, windowMs } = this.#pace.minimum;
    if (!this.#answered || now - this.#windowStartMs < windowMs) return undefined;
    if (this.#windowBytes < bytes) return 'sends too slowly';
    this.#windowStartMs = now;
    this.#windowBytes = 0;
    return undefined;
  }
}
