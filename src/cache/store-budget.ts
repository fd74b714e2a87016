import pLimit from 'p-limit';

/** Room that a fill has been promised. */
export interface Reservation {
  readonly bytes: number;
  /** @returns false when there is no room for so much; what was promised before stays promised. */
  growTo(bytes: number): Promise<boolean>;
  /** Gives back what is left of it. Harmless when repeated. */
  release(): void;
}

export interface StoreUsage {
  /** Sum of the sizes of committed blobs. */
  readonly storedBytes: number;
  readonly storedBlobs: number;
  /** Promised to fills. */
  readonly reservedBytes: number;
  readonly limitBytes: number;
}

/**
 * Counts what the store holds and what is promised to fills, so that both together stay within the limit. Asks for
 * evictions when there is no room; never lets a fill's own promise be the victim.
 */
export class StoreBudget {
  readonly #limitBytes: number;
  readonly #evict: (bytes: number) => Promise<void>;
  readonly #turn = pLimit(1);
  #storedBytes: number;
  #storedBlobs: number;
  #reservedBytes = 0;
  #removedCount = 0;

  /** @param evict makes room for so many bytes, if it can, and reports each removal by `removed`. One call at a time. */
  constructor(
    limitBytes: number,
    stored: { readonly bytes: number; readonly blobs: number },
    evict: (bytes: number) => Promise<void>,
  ) {
    this.#limitBytes = limitBytes;
    this.#storedBytes = stored.bytes;
    this.#storedBlobs = stored.blobs;
    this.#evict = evict;
  }

  get usage(): StoreUsage {
    return {
      storedBytes: this.#storedBytes,
      storedBlobs: this.#storedBlobs,
      reservedBytes: this.#reservedBytes,
      limitBytes: this.#limitBytes,
    };
  }

  /** Bytes by which the store and the promises are over the limit, if `more` are added. */
  excess(more: number): number {
    return this.#storedBytes + this.#reservedBytes + more - this.#limitBytes;
  }

  /** Could so much be held at all? */
  canEverHold(bytes: number): boolean {
    return bytes <= this.#limitBytes;
  }

  /** `undefined` when there is no room, and none could be made. */
  async reserve(bytes: number): Promise<Reservation | undefined> {
    if (!(await this.#claim(bytes))) return undefined;
    let promised = bytes;
    return {
      get bytes() {
        return promised;
      },
      growTo: async (wanted) => {
        if (wanted <= promised) return true;
        // In steps, so that a blob of unknown size does not ask for each chunk; but nothing is evicted, or given up, for
        // bytes that it may never have.
        const needed = wanted - promised;
        const ample = Math.max(needed, GROWTH_STEP_BYTES);
        const step = this.excess(ample) > 0 ? needed : ample;
        if (!(await this.#claim(step))) return false;
        promised += step;
        return true;
      },
      release: () => {
        this.#reservedBytes -= promised;
        promised = 0;
      },
    };
  }

  added(bytes: number): void {
    this.#storedBytes += bytes;
    this.#storedBlobs += 1;
  }

  removed(bytes: number): void {
    this.#storedBytes -= bytes;
    this.#storedBlobs -= 1;
    this.#removedCount += 1;
  }

  /** Whoever waits for evictions is first to what they free: later claims queue behind, however small. */
  async #claim(bytes: number): Promise<boolean> {
    const isNobodyWaiting = this.#turn.activeCount + this.#turn.pendingCount === 0;
    if (!isNobodyWaiting || this.excess(bytes) > 0) {
      if (!this.canEverHold(bytes)) return false;
      return this.#turn(() => this.#claimByEvicting(bytes));
    }
    this.#reservedBytes += bytes;
    return true;
  }

  async #claimByEvicting(bytes: number): Promise<boolean> {
    for (let excess = this.excess(bytes); excess > 0; excess = this.excess(bytes)) {
      // What is promised cannot be evicted: then nothing need go in vain.
      if (excess > this.#storedBytes) return false;
      const removedBefore = this.#removedCount;
      await this.#evict(excess);
      if (this.#removedCount === removedBefore && this.excess(bytes) > 0) return false;
    }
    this.#reservedBytes += bytes;
    return true;
  }
}

const GROWTH_STEP_BYTES = 16 * 1024 * 1024;
