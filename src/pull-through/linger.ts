import type { Clock } from '../clock.ts';

/** A time of grace that can be called off, and begin anew. */
export class Linger {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onOver: () => void;
  #running: AbortController | undefined;

  /** @param onOver called when a time of grace is over that was not called off */
  constructor(clock: Clock, ms: number, onOver: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onOver = onOver;
  }

  /** From now on, in place of what was running. */
  begin(): void {
    this.end();
    this.#running = new AbortController();
    void this.#run(this.#running.signal);
  }

  end(): void {
    this.#running?.abort();
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(this.#ms, signal);
    } catch {
      return;
    }
    this.#onOver();
  }
}
