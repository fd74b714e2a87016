import type { Chunk } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { Ingest } from '../content/ingest.ts';
import { Intervals } from '../content/intervals.ts';
import type { Slab, SlabPool } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from '../cache/blob-cache.ts';
import type { Condition } from './condition.ts';
import type { OutcomeReason } from './outcome-reason.ts';
import { RecentSlabs } from './recent-slabs.ts';
import { firstGap } from './segment-plan.ts';
import type { Reservation } from '../cache/store-budget.ts';
import type { GiveBack, UnstoredBudget } from './unstored-budget.ts';
import { UnstoredBytes } from './unstored-bytes.ts';

export interface FillBytesParts {
  readonly digest: Digest;
  /** Who brings it. */
  readonly upstream: string;
  /** Ends what waits for room. */
  readonly signal: AbortSignal;
  readonly cache: BlobCache;
  readonly slabs: SlabPool;
  readonly unstoredBudget: UnstoredBudget;
  /** So many bytes pass by: they are neither stored nor hashed. Absent: all of the blob comes in, to be stored. */
  readonly passingBytes: number | undefined;
  /** What readers are not given before the end. */
  readonly heldBackBytes: number;
  /** Notified when bytes were let go of; whoever waits for room looks again. */
  readonly changed: Condition;
  /**
   * Where the slowest reader is: what lies before it may be let go of. Infinity without readers; -Infinity while one is
   * expected that may yet begin anywhere.
   */
  readonly slowestReader: () => number;
  /** Nothing (more) is stored: from here on bytes must come in order. Absent cause: there was never room. */
  readonly onUnstored: (cause: ContentError | undefined) => void;
}

/**
 * The bytes that a fill holds, wherever they are: in the file of its ingest, and those that could not be stored in
 * memory until every reader has had them. Owns the ingest and the room reserved for it.
 */
export class FillBytes {
  /** All that came in. */
  readonly available = new Intervals();
  readonly #parts: FillBytesParts;
  readonly #unstored: UnstoredBytes;
  readonly #recent: RecentSlabs;
  #opening: Promise<void> | undefined;
  #ingest: Ingest | undefined;
  #reservation: Reservation | undefined;
  #giveBack: GiveBack | undefined;
  #hasDropped = false;

  constructor(parts: FillBytesParts) {
    this.#parts = parts;
    this.#unstored = new UnstoredBytes(parts.heldBackBytes);
    this.#recent = new RecentSlabs(parts.slabs);
  }

  /** The first position that did not come in yet. */
  get front(): number {
    return firstGap(this.available.list);
  }

  /** False when what comes in cannot be cached. */
  get isStoring(): boolean {
    return !this.#isPassing && this.#ingest?.storeFailure === undefined;
  }

  /** Why not; absent while it can. */
  get unstoredReason(): OutcomeReason | undefined {
    if (this.isStoring) return undefined;
    const isFull = this.#isPassing || this.#ingest?.storeFailure?.reason === 'no-space';
    return isFull && this.#parts.cache.condition.isSound ? 'no-room' : 'store-trouble';
  }

  get #isPassing(): boolean {
    return this.#parts.passingBytes !== undefined;
  }

  /** True once bytes are gone that a new reader would need. */
  get hasDropped(): boolean {
    return this.#hasDropped;
  }

  /**
   * Waits until there is memory for what passes by. To be called before anything is asked for.
   * @throws ContentError `no-space` when that takes too long; the signal's reason
   */
  async admit(signal: AbortSignal): Promise<void> {
    const { passingBytes, unstoredBudget } = this.#parts;
    if (passingBytes !== undefined) this.#giveBack = await unstoredBudget.takeInTurn(passingBytes, signal);
  }

  /**
   * Reserves room and opens the ingest, once; the first call's size counts. Without room it only hashes, and waits its
   * turn for memory to pass the bytes on: nothing has come in yet that anybody could be waiting for.
   * @throws ContentError `no-space` when that takes too long; the signal's reason
   */
  async open(sizeBytes: number | undefined): Promise<void> {
    this.#opening ??= this.#begin(sizeBytes);
    await this.#opening;
  }

  async #begin(sizeBytes: number | undefined): Promise<void> {
    const { cache, digest, upstream, signal } = this.#parts;
    if (!this.#isPassing) {
      this.#reservation = await cache.reserve(sizeBytes ?? 0, upstream, signal);
      this.#ingest = await cache.ingest(digest, sizeBytes, this.#reservation !== undefined);
    }
    if (this.isStoring || this.#giveBack !== undefined) return;
    this.#parts.onUnstored(undefined);
    this.#giveBack = await this.#parts.unstoredBudget.takeInTurn(sizeBytes ?? Infinity, signal);
  }

  /** In the middle of it. */
  #passOn(cause: ContentError | undefined): void {
    this.#parts.onUnstored(cause);
    this.#giveBack ??= this.#parts.unstoredBudget.take();
  }

  /** Makes room for a blob of unknown size that has come to `bytes`; storing ends when there is none. */
  async growTo(bytes: number): Promise<void> {
    if (this.#reservation === undefined || (await this.#reservation.growTo(bytes))) return;
    const cause = new ContentError('no-space', 'there is no room for a blob of this size');
    this.#ingest?.stopStoring(cause);
    this.#passOn(cause);
  }

  /**
   * Brings the slab's first `length` bytes to the disk, or at least to the hash.
   * @returns whether they are stored; `undefined` when they can be kept nowhere, and must be fetched again
   * @throws ContentError when the fill cannot go on
   */
  async store(slab: Slab, length: number, start: number): Promise<boolean | undefined> {
    if (this.#isPassing || this.#ingest === undefined) return false;
    const wasStoring = this.isStoring;
    const isAhead = start > this.front;
    let isStored: boolean | undefined;
    try {
      isStored = await this.#ingest.write(slab, length, start);
      if (isStored) this.#reservation?.wrote(length);
    } catch (error) {
      if (this.isStoring || !isAhead) throw error;
    }
    if (wasStoring && !this.isStoring) {
      // Storing may also have been ended meanwhile, for want of room: then these bytes came there.
      if (isStored !== true) this.#parts.cache.storeFailed(this.#ingest.storeFailure);
      this.#passOn(this.#ingest.storeFailure);
    }
    return isStored;
  }

  /** Makes bytes known that are on their way to the disk. `settled` follows when they have come there, or not. */
  arrived(slab: Slab, { start, end }: { readonly start: number; readonly end: number }): void {
    this.#recent.arrived(slab, start, end);
    this.available.add(start, end);
  }

  /** What became of bytes that arrived: those that are not stored stay in memory. */
  settled(
    slab: Slab,
    { start, end }: { readonly start: number; readonly end: number },
    isStored: boolean,
  ): void {
    if (isStored) {
      this.#recent.stored(start);
    } else {
      this.#unstored.add(start, slab.bytes.subarray(0, end - start));
      this.#recent.forget(start);
    }
  }

  /** Up to `limitBytes` at `position`; `undefined` when they are not available, or not to be had before they are stored. */
  read(position: number, limitBytes: number): Promise<Chunk> | Chunk | undefined {
    const limit = Math.min(this.available.endAt(position) - position, limitBytes);
    if (limit <= 0) return undefined;
    const inMemory = this.#unstored.chunk(position, limit) ?? this.#recent.chunk(position, limit);
    if (inMemory !== undefined) return inMemory;
    const isStored = this.#ingest !== undefined && this.#ingest.stored.endAt(position) > position;
    return isStored ? this.#ingest?.read(position, limit) : undefined;
  }

  /** Lets go of unstored bytes that every reader has had. */
  dropConsumed(): void {
    if (this.#unstored.isEmpty || !this.#unstored.dropBefore(this.#parts.slowestReader())) return;
    this.#hasDropped = true;
    this.#parts.changed.notify();
  }

  /**
   * Waits until more unstored bytes may be kept.
   * @param isSizeKnown without it there can be no reader to make room
   */
  async room(isSizeKnown: boolean, signal: AbortSignal): Promise<void> {
    this.dropConsumed();
    while (this.#unstored.isFull) {
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

  /** Publishes verified bytes, if they were stored. Never fails. @returns whether they are */
  async commit(sizeBytes: number): Promise<boolean> {
    if (this.#ingest === undefined || this.#reservation === undefined || !this.isStoring) return false;
    const { cache, digest, upstream } = this.#parts;
    return cache.commit(this.#ingest, { digest, sizeBytes, upstream }, this.#reservation);
  }

  /** Nothing more comes in or is on its way: gives back what is only kept for speed. Readers go on. */
  end(): void {
    this.#recent.clear();
  }

  /** When nobody reads any more: the file goes, if it was not committed, and its room with it. */
  async close(): Promise<void> {
    this.#recent.clear();
    this.#unstored.clear();
    this.#giveBack?.();
    await this.#ingest?.close();
    this.#reservation?.release();
  }
}
