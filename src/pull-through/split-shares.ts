import type { Clock } from '../clock.ts';

/** Lines change: what was found out is tried again after this. */
const KNOWN_FOR_MS = 10 * 60_000;

/** What all fills from one upstream share: how many transfers run, and how many of one blob turned out to be worth it. */
export class SplitShare {
  readonly #clock: Clock;
  readonly #limit: () => number;
  #running = 0;
  #found: { readonly count: number; readonly atMs: number } | undefined;

  /** @param limit transfers of blobs from this upstream that splitting may lead to; 1: nothing is split */
  constructor(clock: Clock, limit: () => number) {
    this.#clock = clock;
    this.#limit = limit;
  }

  get limit(): number {
    return this.#limit();
  }

  /** How many more may be begun only to be faster. */
  get spare(): number {
    return Math.max(0, this.limit - this.#running);
  }

  /** How many of one blob were best, as found out lately. */
  get known(): number | undefined {
    if (this.#found === undefined || this.#clock.monotonic() - this.#found.atMs > KNOWN_FOR_MS)
      return undefined;
    return this.#found.count;
  }

  learned(count: number): void {
    this.#found = { count, atMs: this.#clock.monotonic() };
  }

  begun(): void {
    this.#running += 1;
  }

  ended(): void {
    this.#running -= 1;
  }
}
