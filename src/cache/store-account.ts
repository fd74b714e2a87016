import type { Totals } from '../metadata/stored-blobs.ts';

/** Above this share of its limit an account is drained in the background, down to the other, so that no fill waits. */
const HIGH_MARK = 0.95;
const LOW_MARK = 0.9;

/** What is held of some limit, by the whole store or for one upstream. Bytes are those on the disk. */
export class StoreAccount {
  storedBytes: number;
  storedBlobs: number;
  reservedBytes = 0;
  pinnedBytes = 0;
  /** Until then nothing is drained: there was nothing to give up. By the monotonic clock. */
  restsUntil = -Infinity;
  readonly #limitBytes: () => number;
  readonly #otherBytes: () => number;
  /** It was above the high mark, and is not yet down at the low one. */
  #isDraining = false;

  /**
   * @param limitBytes Infinity: none
   * @param otherBytes what counts besides, and cannot be evicted
   */
  constructor({ bytes, blobs }: Totals, limitBytes: () => number, otherBytes: () => number) {
    this.storedBytes = bytes;
    this.storedBlobs = blobs;
    this.#limitBytes = limitBytes;
    this.#otherBytes = otherBytes;
  }

  get limitBytes(): number {
    return Math.max(0, this.#limitBytes());
  }

  get evictableBytes(): number {
    return this.storedBytes - this.pinnedBytes;
  }

  /** Could so much be held, if all that can go went? */
  canHold(bytes: number): boolean {
    return bytes <= this.#limitBytes() - this.#otherBytes();
  }

  /** Bytes by which it is over its limit, if `more` are added. */
  excess(more: number): number {
    return this.#held + more - this.#limitBytes();
  }

  get isOverMark(): boolean {
    return this.storedBytes > 0 && this.#held > HIGH_MARK * this.limitBytes;
  }

  /** Bytes that are to go in the background. */
  drain(now: number): number {
    if (now < this.restsUntil) return 0;
    if (this.isOverMark) this.#isDraining = true;
    if (!this.#isDraining) return 0;
    const bytes = Math.min(this.#held - LOW_MARK * this.limitBytes, this.evictableBytes);
    this.#isDraining = bytes > 0;
    return Math.max(0, bytes);
  }

  get #held(): number {
    return this.storedBytes + this.reservedBytes + this.#otherBytes();
  }
}
