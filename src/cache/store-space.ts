import type { Clock } from '../clock.ts';

/** The disk is looked at again after this long, or when so much was promised since. */
const LOOK_INTERVAL_MS = 1000;
const LOOK_AFTER_BYTES = 64 * 1024 * 1024;

export interface StoreSpaceParts {
  readonly clock: Clock;
  readonly freeBytes: () => Promise<number>;
  /** Asked at each look. */
  readonly minFreeBytes: () => number;
}

/** What the disk lets the store hold, as it was last seen: what the store has of it, and what is free but for a part. */
export class StoreSpace {
  readonly #parts: StoreSpaceParts;
  #limitBytes = Infinity;
  #lookedAt = -Infinity;
  #grantedBytes = 0;
  #looking: Promise<void> | undefined;

  constructor(parts: StoreSpaceParts) {
    this.#parts = parts;
  }

  /** May be negative while others use too much of the disk. Infinity until it was looked at. */
  get limitBytes(): number {
    return this.#limitBytes;
  }

  get isStale(): boolean {
    const age = this.#parts.clock.monotonic() - this.#lookedAt;
    // Who asks while it is being looked at needs that answer, too.
    return this.#looking !== undefined || age >= LOOK_INTERVAL_MS || this.#grantedBytes >= LOOK_AFTER_BYTES;
  }

  /** So much was promised to fills, which will take it from what is free. */
  granted(bytes: number): void {
    this.#grantedBytes += bytes;
  }

  /** One look at a time. A disk that does not tell leaves the last answer in place. */
  look(heldBytes: () => number): Promise<void> {
    this.#looking ??= this.#look(heldBytes).finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #look(heldBytes: () => number): Promise<void> {
    const { clock, freeBytes, minFreeBytes } = this.#parts;
    this.#grantedBytes = 0;
    this.#lookedAt = clock.monotonic();
    try {
      const free = await freeBytes();
      this.#limitBytes = heldBytes() + free - minFreeBytes();
    } catch {
      // Whatever is wrong with the disk shows where it is used.
    }
  }
}
