import type { Chunk } from '../content/content.ts';

/**
 * What one fill may keep beyond what its readers are not yet allowed to take, before it takes no more from the upstream
 * (but for the slabs that are being handed over).
 */
export const WINDOW_BYTES = 2 * 1024 * 1024;

/**
 * Bytes that could not be stored, in memory of their own (never in a slab: those are everybody's), until every reader
 * has had them.
 */
export class UnstoredBytes {
  readonly #heldBackBytes: number;
  #pieces: { readonly start: number; readonly bytes: Buffer }[] = [];
  #total = 0;

  /** @param heldBackBytes what readers may not take before the end, and so can never make room by taking */
  constructor(heldBackBytes: number) {
    this.#heldBackBytes = heldBackBytes;
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** True when more should wait for readers. They can always take something then. */
  get isFull(): boolean {
    return this.#total > WINDOW_BYTES + this.#heldBackBytes;
  }

  /** Keeps a copy. */
  add(start: number, bytes: Uint8Array): void {
    this.#pieces.push({ start, bytes: Buffer.from(bytes) });
    this.#total += bytes.length;
  }

  chunk(position: number, limitBytes: number): Chunk | undefined {
    const piece = this.#pieces.find(
      ({ start, bytes }) => start <= position && position < start + bytes.length,
    );
    if (piece === undefined) return undefined;
    const from = position - piece.start;
    // The copy is garbage when nobody refers to it any more.
    return { bytes: piece.bytes.subarray(from, from + limitBytes), release: () => undefined };
  }

  /** Lets go of what lies before `position`. @returns whether anything went. */
  dropBefore(position: number): boolean {
    const before = this.#pieces.length;
    this.#pieces = this.#pieces.filter(({ start, bytes }) => {
      const goes = start + bytes.length <= position;
      if (goes) this.#total -= bytes.length;
      return !goes;
    });
    return this.#pieces.length < before;
  }

  clear(): void {
    this.#pieces = [];
    this.#total = 0;
  }
}
