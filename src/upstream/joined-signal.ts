import { inheritCause } from '../request-cause.ts';

/**
 * An AbortSignal that aborts with whichever of the given ones does first. Written out instead of `AbortSignal.any`,
 * which in Node 20 keeps every derived signal alive as long as a long-lived parent. Whoever makes one must `leave` it.
 */
export class JoinedSignal {
  readonly #controller = new AbortController();
  readonly #parents: readonly AbortSignal[];

  constructor(...parents: readonly AbortSignal[]) {
    this.#parents = parents;
    inheritCause(this.#controller.signal, ...parents);
    for (const parent of parents) {
      if (parent.aborted) this.#forward();
      else parent.addEventListener('abort', this.#forward, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts it without its parents. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  /** Lets go of the parents, which abort it no more. Idempotent. */
  leave(): void {
    for (const parent of this.#parents) parent.removeEventListener('abort', this.#forward);
  }

  readonly #forward = (): void => {
    const aborted = this.#parents.find((parent) => parent.aborted);
    this.#controller.abort(aborted?.reason);
    this.leave();
  };
}
