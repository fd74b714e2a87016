import { abortable } from './single-flight.ts';

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

export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A promise and its ends. (Node 20 has no `Promise.withResolvers`.) */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = ignore;
  let reject: (error: unknown) => void = ignore;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

function ignore(): void {
  // Replaced before anyone can call it.
}
