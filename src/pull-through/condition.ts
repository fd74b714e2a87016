import { abortable } from '../abortable.ts';
import { deferred } from '../deferred.ts';

/** Something to wait for that happens more than once. A wait that begins after a `notify` is for the next one. */
export class Condition {
  #next = deferred<void>();

  notify(): void {
    this.#next.resolve();
    this.#next = deferred<void>();
  }

  /** Rejects with the signal's reason when it aborts first. */
  async wait(signal?: AbortSignal): Promise<void> {
    await (signal === undefined ? this.#next.promise : abortable(this.#next.promise, signal));
  }
}
