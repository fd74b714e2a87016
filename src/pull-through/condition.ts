import { abortable } from '../abortable.ts';
import { type Deferred, deferred } from '../deferred.ts';

/** Something to wait for that happens more than once. A wait that begins after a `notify` is for the next one. */
export class Condition {
  /** Absent while nobody waits: most notifications find nobody, and cost nothing. */
  #next: Deferred<void> | undefined;

  notify(): void {
    this.#next?.resolve();
    this.#next = undefined;
  }

  /** Rejects with the signal's reason when it aborts first. */
  async wait(signal?: AbortSignal): Promise<void> {
    const next = (this.#next ??= deferred<void>());
    await (signal === undefined ? next.promise : abortable(next.promise, signal));
  }
}
