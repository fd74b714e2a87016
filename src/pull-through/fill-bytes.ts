import type { Chunk } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { Ingest } from '../content/ingest.ts';
import { Intervals } from '../content/intervals.ts';
import type { Slab } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from './blob-cache.ts';
import type { Condition } from './condition.ts';
import { MemoryWindow } from './memory-window.ts';
import { firstGap } from './segment-plan.ts';
import type { Reservation } from './store-budget.ts';

/** Slabs kept for readers close behind the tip, so that they need not read the file; only while slabs are ample. */
const RECENT_SLABS = 4;
/** Slabs of bytes that could not be stored and that some reader has not had yet; then the upstream has to wait. */
const WINDOW_SLABS = 8;

export interface FillBytesParts {
  readonly digest: Digest;
  readonly cache: BlobCache;
  /** Bytes pass by: they are neither stored nor hashed. */
  readonly isPassing: boolean;
  /** Notified when bytes were let go of; whoever waits for room looks again. */
  readonly changed: Condition;
  /** Are slabs plentiful, so that some may be kept beyond their use? */
  readonly isAmple: () => boolean;
  /**
   * Where the slowest reader is: what lies before it may be let go of. Infinity without readers; -Infinity while one is
   * expected that may yet begin anywhere.
   */
  readonly slowestReader: () => number;
  /** Storing has come to its end for `cause`: from here on bytes must come in order. */
  readonly onStoreFailure: (cause: ContentError) => void;
}

/**
 * The bytes that a fill holds, wherever they are: in the file of its ingest, and those that could not be stored in
 * memory until every reader has had them. Owns the ingest and the room reserved for it.
 */
export class FillBytes {
  /** All that came in. */
  readonly available = new Intervals();
  readonly #parts: FillBytesParts;
  readonly #window = new MemoryWindow();
  readonly #recent = new MemoryWindow();
  #opening: Promise<void> | undefined;
  #ingest: Ingest | undefined;
  #reservation: Reservation | undefined;
  #hasDropped = false;

  constructor(parts: FillBytesParts) {
    this.#parts = parts;
  }

  /** The first position that did not come in yet. */
  get front(): number {
    return firstGap(this.available.list);
  }

  /** False when what comes in cannot be cached. */
  get isStoring(): boolean {
    return !this.#parts.isPassing && this.#ingest?.storeFailure === undefined;
  }

  /** True once bytes are gone that a new reader would need. */
  get hasDropped(): boolean {
    return this.#hasDropped;
  }

  /** Reserves room and opens the ingest, once; the first call's size counts. Never fails: without room it only hashes. */
  async open(sizeBytes: number | undefined): Promise<void> {
    if (this.#parts.isPassing) return;
    this.#opening ??= this.#begin(sizeBytes);
    await this.#opening;
  }

  async #begin(sizeBytes: number | undefined): Promise<void> {
    const { cache, digest } = this.#parts;
    this.#reservation = await cache.reserve(sizeBytes ?? 0);
    this.#ingest = await cache.ingest(digest, sizeBytes, this.#reservation !== undefined);
  }

  /** Makes room for a blob of unknown size that has come to `bytes`; storing ends when there is none. */
  async growTo(bytes: number): Promise<void> {
    if (this.#reservation === undefined || (await this.#reservation.growTo(bytes))) return;
    this.#ingest?.stopStoring(new ContentError('no-space', 'there is no room for a blob of this size'));
  }

  /**
   * Brings the slab's first `length` bytes to the disk, or at least to the hash.
   * @returns whether they are stored; `undefined` when they can be kept nowhere, and must be fetched again
   * @throws ContentError when the fill cannot go on
   */
  async store(slab: Slab, length: number, start: number): Promise<boolean | undefined> {
    if (this.#parts.isPassing || this.#ingest === undefined) return false;
    const wasStoring = this.#ingest.storeFailure === undefined;
    const isAhead = start > this.front;
    try {
      return await this.#ingest.write(slab, length, start);
    } catch (error) {
      if (this.#ingest.storeFailure === undefined || !isAhead) throw error;
      return undefined;
    } finally {
      const failure = this.#ingest.storeFailure;
      if (wasStoring && failure !== undefined) this.#parts.onStoreFailure(failure);
    }
  }

  /** Makes bytes known that `store` took; those that are not stored stay in memory. */
  add(slab: Slab, { start, end }: { readonly start: number; readonly end: number }, isStored: boolean): void {
    this.available.add(start, end);
    if (!isStored) {
      this.#window.add(slab, start, end);
    } else if (this.#parts.isAmple()) {
      this.#recent.add(slab, start, end);
      this.#recent.keepNewest(RECENT_SLABS);
    }
  }

  /** Up to `limitBytes` at `position`, which must be available. */
  read(position: number, limitBytes: number): Promise<Chunk> | Chunk | undefined {
    const inMemory = this.#window.chunk(position, limitBytes) ?? this.#recent.chunk(position, limitBytes);
    return inMemory ?? this.#ingest?.read(position, limitBytes);
  }

  /** Lets go of unstored bytes that every reader has had. */
  dropConsumed(): void {
    if (this.#window.count === 0) return;
    const slowest = this.#parts.slowestReader();
    if (this.#window.drop(({ end }) => end <= slowest) === 0) return;
    this.#hasDropped = true;
    this.#parts.changed.notify();
  }

  /**
   * Waits until another unstored slab may be kept.
   * @param isSizeKnown without it there can be no reader to make room
   */
  async room(isSizeKnown: boolean, signal: AbortSignal): Promise<void> {
    this.dropConsumed();
    while (this.#window.count >= WINDOW_SLABS) {
      if (!isSizeKnown) {
        throw new ContentError('no-space', 'a blob of unknown size cannot be sent without storing it');
      }
      await this.#parts.changed.wait(signal);
      this.dropConsumed();
    }
  }

  /** The digest of all bytes. */
  async verify(sizeBytes: number): Promise<Digest | undefined> {
    await this.open(sizeBytes);
    return this.#ingest?.verify(sizeBytes);
  }

  /** Publishes verified bytes, if they were stored. Never fails. */
  async commit(sizeBytes: number): Promise<void> {
    if (this.#ingest === undefined || this.#ingest.storeFailure !== undefined) return;
    await this.#parts.cache.commit(
      this.#ingest,
      { digest: this.#parts.digest, sizeBytes },
      this.#reservation,
    );
  }

  /** Nothing more comes in: gives back the room, and memory that is only kept for speed. Readers go on. */
  settle(): void {
    this.#reservation?.release();
    this.#recent.keepNewest(0);
  }

  /** When nobody reads any more. */
  async close(): Promise<void> {
    this.#window.keepNewest(0);
    this.#recent.keepNewest(0);
    await this.#ingest?.close();
  }
}
