import type { Chunk } from '../content/content.ts';
import type { Slab, SlabPool } from '../content/slabs.ts';

/** As many as a reader close behind the tip may fall back without having to read the file. */
const LIMIT = 4;

/**
 * The slabs that were stored last, so that readers at the tip are served from memory. Only while the pool has slabs to
 * spare, both for keeping them here and for lending them: a client that takes its time must not keep other fills short.
 */
export class RecentSlabs {
  readonly #pool: SlabPool;
  #held: { readonly slab: Slab; readonly start: number; readonly end: number }[] = [];

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Keeps the slab, whose first bytes are those of `[start, end)`. */
  add(slab: Slab, start: number, end: number): void {
    if (!this.#pool.ample) return;
    slab.retain();
    this.#held.push({ slab, start, end });
    while (this.#held.length > LIMIT) this.#held.shift()?.slab.release();
  }

  /** Up to `limitBytes` at `position`, without a copy; `undefined` when they are not here or not to be lent. */
  chunk(position: number, limitBytes: number): Chunk | undefined {
    if (!this.#pool.ample) return undefined;
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

  clear(): void {
    for (const { slab } of this.#held) slab.release();
    this.#held = [];
  }
}
