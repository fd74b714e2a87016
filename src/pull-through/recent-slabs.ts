import type { Chunk } from '../content/content.ts';
import type { Slab, SlabPool } from '../content/slabs.ts';

/** Stored ones that are kept: as many as a reader close behind the tip may fall back without having to read the file. */
const LIMIT = 4;

interface HeldSlab {
  readonly slab: Slab;
  readonly start: number;
  readonly end: number;
  isStored: boolean;
}

/**
 * The slabs whose bytes arrived last, on their way to the disk or just stored, so that readers at the tip are served
 * from memory and wait for no disk. Lent, and kept after they are stored, only while the pool has slabs to spare: a
 * client that takes its time must not keep other fills short.
 */
export class RecentSlabs {
  readonly #pool: SlabPool;
  #held: HeldSlab[] = [];

  constructor(pool: SlabPool) {
    this.#pool = pool;
  }

  /** Keeps the slab, whose first bytes are those of `[start, end)`, until `stored` or `forget` of them. */
  arrived(slab: Slab, start: number, end: number): void {
    slab.retain();
    this.#held.push({ slab, start, end, isStored: false });
  }

  /** The bytes from `start` on are in the file now: their slab is kept only for speed. */
  stored(start: number): void {
    const held = this.#held.find((each) => each.start === start);
    if (held !== undefined) held.isStored = true;
    this.#keep(this.#pool.ample ? LIMIT : 0);
  }

  /** The bytes from `start` on are kept elsewhere. */
  forget(start: number): void {
    this.#drop((held) => held.start === start);
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
    this.#drop(() => true);
  }

  #keep(count: number): void {
    const stored = this.#held.filter(({ isStored }) => isStored);
    const old = new Set(stored.slice(0, Math.max(0, stored.length - count)));
    if (old.size > 0) this.#drop((held) => old.has(held));
  }

  #drop(goes: (held: HeldSlab) => boolean): void {
    this.#held = this.#held.filter((held) => {
      if (!goes(held)) return true;
      held.slab.release();
      return false;
    });
  }
}
