import type { Chunk } from '../content/content.ts';
import type { Slab } from '../content/slabs.ts';

interface HeldSlab {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
}

/** Slabs that are kept in memory, by the positions of the bytes in them. */
export class MemoryWindow {
  #held: HeldSlab[] = [];

  get count(): number {
    return this.#held.length;
  }

  /** Keeps the slab, whose first bytes are those of `[start, end)`. */
  add(slab: Slab, start: number, end: number): void {
    slab.retain();
    this.#held.push({ slab, start, end });
  }

  /** Up to `limitBytes` at `position`, without a copy; `undefined` when they are not here. */
  chunk(position: number, limitBytes: number): Chunk | undefined {
    const held = this.#held.findLast(({ start, end }) => start <= position && position < end);
    if (held === undefined) return undefined;
    const { slab, start, end } = held;
    slab.retain();
    const from = position - start;
    return {
      bytes: slab.bytes.subarray(from, Math.min(end - start, from + limitBytes)),
      release: () => slab.release(),
    };
  }

  /** Lets go of what `isDone` says of. @returns how many slabs went. */
  drop(isDone: (held: { readonly start: number; readonly end: number }) => boolean): number {
    const before = this.#held.length;
    this.#held = this.#held.filter((held) => {
      const goes = isDone(held);
      if (goes) held.slab.release();
      return !goes;
    });
    return before - this.#held.length;
  }

  /** Lets go of the oldest until no more than `count` are left. */
  keepNewest(count: number): void {
    while (this.#held.length > count) this.#held.shift()?.slab.release();
  }
}
