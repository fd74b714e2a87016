import type { Clock } from '../clock.ts';

/** Something that is done every so often, one time after the other, until it is closed. */
export class Rounds {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #round: (signal: AbortSignal) => Promise<void>;
  readonly #ending = new AbortController();
  #running: Promise<void> | undefined;

  /** @param round must not fail; its signal is aborted by `close` */
  constructor(clock: Clock, intervalMs: number, round: (signal: AbortSignal) => Promise<void>) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#round = round;
  }

  /** The first time comes after the interval. */
  begin(): void {
    this.#running ??= this.#run();
  }

  /** Waits until nothing runs any more. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await this.#clock.sleep(this.#intervalMs, signal).catch(() => undefined);
      if (!signal.aborted) await this.#round(signal);
    }
  }
}
