import type { Chunk } from './content.ts';

/** What a read of a file takes while buffers are plentiful: fewer, larger reads cost a third of the CPU of 64 KiB ones. */
const LARGE_BYTES = 1024 * 1024;
/** What each further reader takes, so that memory stays bounded by the number of connections. */
const SMALL_BYTES = 128 * 1024;
/** Kept when nobody reads; beyond them each read has its memory made and unmade. */
const SMALL_KEPT = 256;

/** A buffer to read a file into. */
export interface ReadBuffer {
  readonly bytes: Buffer;
  /** The first `length` bytes as a chunk; its release gives the buffer back. */
  chunk(length: number): Chunk;
  release(): void;
}

/** Reused buffers for reading files: so many large ones, then small ones, of which some stay. Never waits. */
export class ReadBuffers {
  readonly #largeLimit: number;
  readonly #free: Buffer[] = [];
  readonly #freeSmall: Buffer[] = [];
  #large = 0;

  constructor(largeLimit: number) {
    this.#largeLimit = largeLimit;
  }

  /** At most `limitBytes` long. */
  take(limitBytes: number): ReadBuffer {
    const isLarge = limitBytes > SMALL_BYTES && (this.#free.length > 0 || this.#large < this.#largeLimit);
    const whole = isLarge ? this.#takeLarge() : this.#takeSmall(limitBytes);
    const bytes = whole.subarray(0, limitBytes);
    let isTaken = true;
    const release = () => {
      // Given back twice, two readers would have it.
      if (isTaken) this.#giveBack(whole);
      isTaken = false;
    };
    return { bytes, release, chunk: (length) => ({ bytes: bytes.subarray(0, length), release }) };
  }

  #takeLarge(): Buffer {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    this.#large += 1;
    return Buffer.allocUnsafeSlow(LARGE_BYTES);
  }

  #takeSmall(limitBytes: number): Buffer {
    return this.#freeSmall.pop() ?? Buffer.allocUnsafeSlow(Math.min(limitBytes, SMALL_BYTES));
  }

  #giveBack(whole: Buffer): void {
    if (whole.length === LARGE_BYTES) this.#free.push(whole);
    else if (whole.length === SMALL_BYTES && this.#freeSmall.length < SMALL_KEPT) this.#freeSmall.push(whole);
  }
}
