import type { Item } from './catalogue.ts';
import { Queue } from './queue.ts';
import type { SimulatedCache } from './replay.ts';

/** What the policies of several queues have in common. They follow their papers, with bytes in place of pages. */
abstract class QueueCache implements SimulatedCache {
  protected readonly capacityBytes: number;
  readonly #items: readonly Item[];

  constructor(items: readonly Item[], capacityBytes: number) {
    this.#items = items;
    this.capacityBytes = capacityBytes;
  }

  abstract has(item: number): boolean;
  abstract use(item: number): void;
  protected abstract store(item: number, sizeBytes: number): void;

  add(item: number): void {
    const sizeBytes = this.sizeOf(item);
    if (sizeBytes <= this.capacityBytes) this.store(item, sizeBytes);
  }

  protected sizeOf(item: number): number {
    return this.#items[item]?.sizeBytes ?? 0;
  }
}

/** New ones on probation; a second use makes them protected, up to 80 % of the bytes. */
export class SegmentedLru extends QueueCache {
  readonly #probation = new Queue();
  readonly #protected = new Queue();

  has(item: number): boolean {
    return this.#probation.has(item) || this.#protected.has(item);
  }

  use(item: number): void {
    this.#probation.delete(item);
    this.#protected.push(item, this.sizeOf(item));
    while (this.#protected.bytes > 0.8 * this.capacityBytes) this.demote();
  }

  get bytes(): number {
    return this.#probation.bytes + this.#protected.bytes;
  }

  get count(): number {
    return this.#probation.count + this.#protected.count;
  }

  victim(): number | undefined {
    return this.#probation.first() ?? this.#protected.first();
  }

  evict(): void {
    if (this.#probation.shift() === undefined) this.#protected.shift();
  }

  store(item: number, sizeBytes: number): void {
    while (this.bytes + sizeBytes > this.capacityBytes) this.evict();
    this.#probation.push(item, sizeBytes);
  }

  private demote(): void {
    const item = this.#protected.shift();
    if (item !== undefined) this.#probation.push(item, this.sizeOf(item));
  }
}

/** 2Q: a FIFO of 25 % for new ones; who comes back after it (remembered for 50 %) goes to the LRU. */
export class TwoQueues extends QueueCache {
  readonly #in = new Queue();
  readonly #out = new Queue();
  readonly #main = new Queue();

  has(item: number): boolean {
    return this.#in.has(item) || this.#main.has(item);
  }

  use(item: number): void {
    if (this.#main.has(item)) this.#main.push(item, this.sizeOf(item));
  }

  protected store(item: number, sizeBytes: number): void {
    while (this.#in.bytes + this.#main.bytes + sizeBytes > this.capacityBytes) this.evict();
    (this.#out.delete(item) ? this.#main : this.#in).push(item, sizeBytes);
  }

  private evict(): void {
    if (this.#main.bytes > 0 && this.#in.bytes <= 0.25 * this.capacityBytes) return void this.#main.shift();
    const item = this.#in.shift();
    if (item !== undefined) this.#out.push(item, this.sizeOf(item));
    while (this.#out.bytes > 0.5 * this.capacityBytes) this.#out.shift();
  }
}

/** S3-FIFO: a small FIFO of 10 %, a main one with second chances, and a memory of what left the small one. */
export class S3Fifo extends QueueCache {
  readonly #small = new Queue();
  readonly #main = new Queue();
  readonly #ghosts = new Queue();
  readonly #uses = new Map<number, number>();

  has(item: number): boolean {
    return this.#small.has(item) || this.#main.has(item);
  }

  use(item: number): void {
    this.#uses.set(item, Math.min(3, (this.#uses.get(item) ?? 0) + 1));
  }

  protected store(item: number, sizeBytes: number): void {
    while (this.#small.bytes + this.#main.bytes + sizeBytes > this.capacityBytes) this.evict();
    (this.#ghosts.delete(item) ? this.#main : this.#small).push(item, sizeBytes);
    this.#uses.set(item, 0);
  }

  private evict(): void {
    const fromSmall = this.#small.bytes > 0.1 * this.capacityBytes || this.#main.bytes === 0;
    const item = (fromSmall ? this.#small : this.#main).shift();
    if (item === undefined) return;
    const uses = this.#uses.get(item) ?? 0;
    if (uses > (fromSmall ? 1 : 0)) {
      this.#main.push(item, this.sizeOf(item));
      this.#uses.set(item, fromSmall ? 0 : uses - 1);
      return;
    }
    this.#uses.delete(item);
    if (!fromSmall) return;
    this.#ghosts.push(item, this.sizeOf(item));
    while (this.#ghosts.bytes > 0.9 * this.capacityBytes) this.#ghosts.shift();
  }
}

/** W-TinyLFU with exact counts, halved now and then, where the original has a sketch: a window of 1 %, then an SLRU. */
export class WindowTinyLfu extends QueueCache {
  readonly #window = new Queue();
  readonly #main: SegmentedLru;
  readonly #counts = new Map<number, number>();
  #sample = 0;

  constructor(items: readonly Item[], capacityBytes: number) {
    super(items, capacityBytes);
    this.#main = new SegmentedLru(items, 0.99 * capacityBytes);
  }

  has(item: number): boolean {
    return this.#window.has(item) || this.#main.has(item);
  }

  use(item: number): void {
    this.count(item);
    if (this.#main.has(item)) this.#main.use(item);
    else this.#window.push(item, this.sizeOf(item));
  }

  protected store(item: number, sizeBytes: number): void {
    this.count(item);
    this.#window.push(item, sizeBytes);
    while (this.#window.bytes > 0.01 * this.capacityBytes) {
      const candidate = this.#window.shift();
      if (candidate !== undefined) this.admit(candidate);
    }
  }

  private admit(candidate: number): void {
    const sizeBytes = this.sizeOf(candidate);
    while (this.#main.bytes + sizeBytes > 0.99 * this.capacityBytes) {
      const victim = this.#main.victim();
      if (victim === undefined) return;
      if ((this.#counts.get(candidate) ?? 0) <= (this.#counts.get(victim) ?? 0)) return;
      this.#main.evict();
    }
    this.#main.store(candidate, sizeBytes);
  }

  private count(item: number): void {
    this.#counts.set(item, Math.min(15, (this.#counts.get(item) ?? 0) + 1));
    this.#sample += 1;
    if (this.#sample < 10 * Math.max(this.#main.count, 1000)) return;
    this.#sample = 0;
    for (const [seen, count] of this.#counts) {
      if (count > 1) this.#counts.set(seen, count >> 1);
      else this.#counts.delete(seen);
    }
  }
}
