import type { Clock } from '../clock.ts';

/** So often it is looked at whether clients still wait for transfers. */
const LOOK_MS = 100;

export interface CourtesyParts {
  readonly clock: Clock;
  /** Transfers of blobs from an upstream that clients wait for right now. */
  readonly clientFills: (upstream: string) => number;
}

/**
 * Clients come first: while any waits for a transfer from an upstream, no more than one is under way for warming, of all
 * its runs together. That one goes on, so that warming is never starved; what a client joins comes at its full pace.
 */
export class Courtesy {
  readonly #parts: CourtesyParts;
  readonly #running = new Map<string, number>();

  constructor(parts: CourtesyParts) {
    this.#parts = parts;
  }

  /** Waits its turn, and does the work. @throws what it throws; the signal's reason */
  async run<T>(upstream: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, clientFills } = this.#parts;
    signal.throwIfAborted();
    while (this.#count(upstream) > 0 && clientFills(upstream) > 0) await clock.sleep(LOOK_MS, signal);
    this.#running.set(upstream, this.#count(upstream) + 1);
    try {
      return await work();
    } finally {
      this.#running.set(upstream, this.#count(upstream) - 1);
    }
  }

  #count(upstream: string): number {
    return this.#running.get(upstream) ?? 0;
  }
}
