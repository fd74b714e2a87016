import type { Clock } from './clock.ts';

const INTERVAL_MS = 250;
/** Of the last five seconds. */
const SAMPLES = 20;

/**
 * How late the event loop is: how much longer a short sleep takes than it should. One long turn is no trouble, so what
 * counts is the median of the last five seconds.
 */
export class LoopDelay {
  readonly #clock: Clock;
  readonly #ending = new AbortController();
  readonly #late: number[] = [];
  #running: Promise<void> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(): void {
    this.#running ??= this.#run();
  }

  /** Milliseconds. */
  get medianMs(): number {
    const sorted = this.#late.toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? 0;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      const begun = this.#clock.monotonic();
      await this.#clock.sleep(INTERVAL_MS, signal).catch(() => undefined);
      if (signal.aborted) return;
      this.#late.push(Math.max(0, this.#clock.monotonic() - begun - INTERVAL_MS));
      if (this.#late.length > SAMPLES) this.#late.shift();
    }
  }
}
