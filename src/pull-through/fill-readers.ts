import type { Interval, Intervals } from '../content/intervals.ts';
import type { FetchReader } from './fetch-reader.ts';

/** Who reads from one fill, or is about to. */
export class FillReaders {
  readonly #readers = new Set<FetchReader>();
  /** Promised, before the size is known. */
  #expectedCount = 0;
  #addedCount = 0;

  get count(): number {
    return this.#readers.size;
  }

  /** Those too that have gone. */
  get addedCount(): number {
    return this.#addedCount;
  }

  /** Those too that are only expected. */
  get isAny(): boolean {
    return this.#readers.size + this.#expectedCount > 0;
  }

  /** Where the slowest one is; Infinity without readers, -Infinity while one is expected that may begin anywhere. */
  get slowest(): number {
    if (this.#expectedCount > 0) return -Infinity;
    return Math.min(...[...this.#readers].map(({ position }) => position));
  }

  /** @returns to be called once, when it is there or will not come */
  expect(): () => void {
    this.#expectedCount += 1;
    return () => {
      this.#expectedCount -= 1;
    };
  }

  add(reader: FetchReader): void {
    this.#readers.add(reader);
    this.#addedCount += 1;
  }

  delete(reader: FetchReader): void {
    this.#readers.delete(reader);
  }

  wake(): void {
    for (const reader of this.#readers) reader.wake();
  }

  /** What those who wait need of what is not `available`. */
  demands(available: Intervals): readonly Interval[] {
    return [...this.#readers]
      .filter(({ isWaiting }) => isWaiting)
      .map(({ demand }) => demand)
      .filter(({ start, end }) => start < end && available.endAt(start) === start);
  }
}
