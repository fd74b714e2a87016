import type { Uses } from '../../../src/cache/eviction-policy.ts';
import type { Item } from './catalogue.ts';
import { RankHeap } from './rank-heap.ts';
import type { SimulatedCache } from './replay.ts';

/** A policy that is one number for each item, written when it is used. The lowest goes first. */
export interface RankPolicy {
  /** `count` is that of the uses since it was stored, `floor` the rank of the last one that went. */
  rankOf(uses: Uses, item: Item, count: number, floor: number): number;
  /** Absent: every use counts. */
  nextUse?(previous: Uses, now: number): Uses;
  /** What else a use of a manifest is a use of: what it lists, or also what that lists. */
  readonly imageUse?: 'listed' | 'all below';
  /** When the last manifest that lists an item goes. Absent: nothing happens. */
  orphanedRank?(uses: Uses): number;
}

export class RankCache implements SimulatedCache {
  readonly #items: readonly Item[];
  readonly #capacityBytes: number;
  readonly #policy: RankPolicy;
  readonly #heap: RankHeap;
  readonly #uses = new Map<number, { readonly uses: Uses; readonly count: number }>();
  #bytes = 0;
  #floor = 0;

  constructor(items: readonly Item[], capacityBytes: number, policy: RankPolicy) {
    this.#items = items;
    this.#capacityBytes = capacityBytes;
    this.#policy = policy;
    this.#heap = new RankHeap(items.length);
  }

  has(item: number): boolean {
    return this.#heap.has(item);
  }

  use(item: number, at: number): void {
    this.#useOne(item, at);
    if (this.#policy.imageUse !== undefined) this.#useListed(item, at);
  }

  add(item: number, at: number): void {
    const size = this.#items[item]?.sizeBytes ?? 0;
    if (size > this.#capacityBytes) return;
    // Room first, so that nothing is its own victim.
    while (this.#bytes + size > this.#capacityBytes && this.#evict());
    this.#bytes += size;
    this.use(item, at);
  }

  #useOne(item: number, at: number): void {
    const about = this.#items[item];
    if (about === undefined) return;
    const known = this.#uses.get(item);
    const previous = known?.uses;
    const uses = previous ? this.#next(previous, at) : { usedAt: at, earlierAt: undefined };
    if (uses === previous) return;
    const count = (known?.count ?? 0) + 1;
    this.#uses.set(item, { uses, count });
    this.#heap.set(item, this.#policy.rankOf(uses, about, count, this.#floor));
  }

  #next(previous: Uses, at: number): Uses {
    return this.#policy.nextUse?.(previous, at) ?? { usedAt: at, earlierAt: previous.usedAt };
  }

  #useListed(item: number, at: number): void {
    for (const child of this.#items[item]?.lists ?? []) {
      if (!this.has(child)) continue;
      this.#useOne(child, at);
      if (this.#policy.imageUse === 'all below') this.#useListed(child, at);
    }
  }

  #evict(): boolean {
    const victim = this.#heap.takeLowest();
    if (victim === undefined) return false;
    if (victim.rank >= 0) this.#floor = victim.rank;
    this.#uses.delete(victim.item);
    const { sizeBytes = 0, lists = [] } = this.#items[victim.item] ?? {};
    this.#bytes -= sizeBytes;
    for (const child of lists) this.#orphan(child);
    return true;
  }

  #orphan(item: number): void {
    const known = this.#uses.get(item);
    if (this.#policy.orphanedRank === undefined || known === undefined) return;
    if (this.#items[item]?.listedBy.some((parent) => this.has(parent)) === true) return;
    this.#heap.set(item, this.#policy.orphanedRank(known.uses));
  }
}
