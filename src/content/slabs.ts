/** Bytes in one slab: the size of a read or write that is worth a system call. */
export const SLAB_BYTES = 1024 * 1024;

/**
 * A piece of shared memory that one upstream chunk run lands in, and from which it is written, hashed (in a worker
 * thread) and sent to readers at the tip, without a copy. Counted: the last `release` gives it back to its pool.
 */
export class Slab {
  readonly id: number;
  readonly memory: SharedArrayBuffer;
  readonly bytes: Uint8Array;
  #holders = 0;
  readonly #giveBack: (slab: Slab) => void;

  constructor(id: number, giveBack: (slab: Slab) => void) {
    this.id = id;
    this.memory = new SharedArrayBuffer(SLAB_BYTES);
    this.bytes = Buffer.from(this.memory);
    this.#giveBack = giveBack;
  }

  retain(): void {
    this.#holders += 1;
  }

  release(): void {
    this.#holders -= 1;
    if (this.#holders === 0) this.#giveBack(this);
  }
}

interface Waiter {
  readonly resolve: (slab: Slab) => void;
}

/**
 * A bounded number of slabs, made when first needed and kept. Whoever acquires waits its turn; nobody holds a slab
 * while waiting for an upstream or (but for `ample` ones) for a client, so the wait is a matter of disk and hashing.
 */
export class SlabPool {
  readonly #capacity: number;
  readonly #free: Slab[] = [];
  readonly #waiters = new Set<Waiter>();
  #made = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** True while more than half of the slabs are unused: only then may readers keep some beyond their first use. */
  get ample(): boolean {
    return this.#free.length + this.#capacity - this.#made > this.#capacity / 2;
  }

  /** A slab held once by the caller. Rejects with the signal's reason when it aborts first. */
  async acquire(signal: AbortSignal): Promise<Slab> {
    signal.throwIfAborted();
    const slab = this.#free.pop() ?? this.#make();
    if (slab !== undefined) {
      slab.retain();
      return slab;
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiters.delete(waiter);
        reject(signal.reason as Error);
      };
      const waiter: Waiter = {
        resolve: (given) => {
          signal.removeEventListener('abort', onAbort);
          given.retain();
          resolve(given);
        },
      };
      this.#waiters.add(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #make(): Slab | undefined {
    if (this.#made === this.#capacity) return undefined;
    this.#made += 1;
    return new Slab(this.#made, (slab) => this.#giveBack(slab));
  }

  #giveBack(slab: Slab): void {
    const [waiter] = this.#waiters;
    if (waiter === undefined) {
      this.#free.push(slab);
      return;
    }
    this.#waiters.delete(waiter);
    waiter.resolve(slab);
  }
}
