import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * libuv accepts one connection in each turn of the event loop (since 1.45). When many clients come at once, the last of
 * them would wait for as many turns as there are clients, each as long as it takes to move a piece of every body. So
 * bodies, in and out, stand back for as long as every turn brings somebody new: long enough for some hundred to come in,
 * and then not again for as long, since arriving must not starve them.
 */
const STAND_BACK_MS = 150;
const THEN_NOT_FOR_MS = 150;

/** Who comes in, and who stands back for them. */
export class Newcomers {
  readonly #nowMs: () => number;
  #count = 0;
  #untilMs = -Infinity;
  #againFromMs = -Infinity;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** To be called for each connection that a listener accepts. */
  arrived(): void {
    this.#count += 1;
    const nowMs = this.#nowMs();
    if (nowMs < this.#againFromMs) return;
    this.#untilMs = nowMs + STAND_BACK_MS;
    this.#againFromMs = this.#untilMs + THEN_NOT_FOR_MS;
  }

  /** Resolves in another turn of the event loop: the next one or, while connections come in, one that brings none. */
  async turnWithout(): Promise<void> {
    let seen: number;
    do {
      seen = this.#count;
      await nextTurn();
    } while (this.#count !== seen && this.#nowMs() < this.#untilMs);
  }
}

/** There is one event loop in the process. */
export const newcomers = new Newcomers(() => performance.now());
