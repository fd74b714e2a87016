/** The item of lowest rank. A rank that is replaced stays behind, and is passed over when it comes up. */
export class RankHeap {
  readonly #ranks: Float64Array;
  /** A binary heap of (rank, item), ordered by rank. */
  readonly #heap: { readonly rank: number; readonly item: number }[] = [];

  constructor(itemCount: number) {
    this.#ranks = new Float64Array(itemCount).fill(Number.NaN);
  }

  has(item: number): boolean {
    return !Number.isNaN(this.#ranks[item]);
  }

  set(item: number, rank: number): void {
    if (this.#ranks[item] === rank) return;
    this.#ranks[item] = rank;
    const entry = { rank, item };
    let at = this.#heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#heap[parent];
      if (above === undefined || above.rank <= rank) break;
      this.#heap[at] = above;
      at = parent;
    }
    this.#heap[at] = entry;
  }

  takeLowest(): { readonly rank: number; readonly item: number } | undefined {
    for (;;) {
      const lowest = this.#takeTop();
      if (lowest === undefined) return undefined;
      if (this.#ranks[lowest.item] !== lowest.rank) continue;
      this.#ranks[lowest.item] = Number.NaN;
      return lowest;
    }
  }

  #takeTop(): { readonly rank: number; readonly item: number } | undefined {
    const heap = this.#heap;
    const [top, last] = [heap[0], heap.pop()];
    if (last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const child = (heap[left + 1]?.rank ?? Infinity) < (heap[left]?.rank ?? Infinity) ? left + 1 : left;
      const below = heap[child];
      if (below === undefined || below.rank >= last.rank) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return top;
  }
}
