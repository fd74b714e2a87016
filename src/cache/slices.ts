import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Clock } from '../clock.ts';

/** Longer nobody else has to wait for the event loop. */
const SLICE_MS = 4;

/** Long work on the event loop, in slices: `if (slices.isOver) await slices.rest();` at every step. */
export class Slices {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #signal: AbortSignal;
  readonly #restMs: number;
  #endsAt: number;

  /** @param restMs left to others between slices, beside what they need: 0 where somebody waits */
  constructor(clock: Pick<Clock, 'monotonic'>, signal: AbortSignal, restMs = 0) {
    this.#clock = clock;
    this.#signal = signal;
    this.#restMs = restMs;
    this.#endsAt = clock.monotonic() + SLICE_MS;
  }

  get isOver(): boolean {
    return this.#clock.monotonic() >= this.#endsAt;
  }

  /** @throws the signal's reason */
  async rest(): Promise<void> {
    if (this.#restMs > 0) await pause(this.#restMs);
    await nextTurn();
    this.#signal.throwIfAborted();
    this.#endsAt = this.#clock.monotonic() + SLICE_MS;
  }
}
