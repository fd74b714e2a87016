import { type Deferred, deferred } from '../deferred.ts';

/** What happens, for one who reads it at a pace of their own. Whoever fills it bounds it. */
export class EventQueue<T> implements AsyncIterable<T> {
  #items: T[] = [];
  #wake: Deferred<void> | undefined;
  #end: { readonly error?: unknown } | undefined;

  /** Nobody has taken what came last: what only says how far it is may be left out. */
  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#wake?.resolve();
  }

  end(): void {
    this.#finish({});
  }

  /** The reader gets what is waiting, and then this. */
  fail(error: unknown): void {
    this.#finish({ error });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const items = this.#items;
      this.#items = [];
      yield* items;
      if (this.#items.length > 0) continue;
      if (this.#end !== undefined) {
        if ('error' in this.#end) throw this.#end.error;
        return;
      }
      this.#wake = deferred();
      await this.#wake.promise;
    }
  }

  #finish(end: { readonly error?: unknown }): void {
    this.#end ??= end;
    this.#wake?.resolve();
  }
}
