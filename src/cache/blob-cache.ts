import type { Clock } from '../clock.ts';
import type { Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { Ingest } from '../content/ingest.ts';
import type { BlobRow } from '../metadata/stored-blobs.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { evictLeastRecentlyUsed } from './eviction.ts';
import type { CacheObserver } from './cache-observer.ts';
import { Generations } from './generations.ts';
import { KeyedLock } from './keyed-lock.ts';
import { LastUses } from './last-uses.ts';
import { StoredContent } from './stored-content.ts';
import {
  type VerifyEvent,
  type VerifyOptions,
  type VerifySelection,
  verifyStore,
} from './store-verification.ts';
import { Upkeep } from './upkeep.ts';
import { type Reservation, StoreBudget, type StoreUsage } from './store-budget.ts';

export interface BlobCacheParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly observer: CacheObserver;
  readonly limitBytes: number;
}

/**
 * Files and rows as one: the only place that commits or removes a blob, always in the order that invariant 2 asks for
 * (file, then row; row, then file), one at a time for each digest. The row is a hint and the file is the truth.
 */
export class BlobCache {
  readonly #parts: BlobCacheParts;
  readonly #budget: StoreBudget;
  readonly #stored: StoredContent;
  readonly #upkeep: Upkeep;
  readonly #generations = new Generations();
  readonly #locks = new KeyedLock<Digest>();
  readonly #uses: LastUses;
  #isSuspect = false;

  static async open(parts: BlobCacheParts): Promise<BlobCache> {
    return new BlobCache(parts, await parts.metadata.blobs.totals());
  }

  private constructor(parts: BlobCacheParts, stored: { bytes: number; blobs: number }) {
    this.#parts = parts;
    const { metadata, clock, observer } = parts;
    const onFailure = (cause: unknown) => observer.cacheFailure('metadata', cause);
    this.#uses = new LastUses({ blobs: metadata.blobs, clock, onFailure });
    this.#budget = new StoreBudget(parts.limitBytes, stored, (bytes) => this.#evict(bytes));
    const upkeepParts = {
      ...parts,
      locks: this.#locks,
      generations: this.#generations,
      condemn: (digest: Digest) => this.#condemnLocked(digest),
    };
    this.#stored = new StoredContent({ ...upkeepParts, onUse: (digest) => this.touch(digest) });
    this.#upkeep = new Upkeep(upkeepParts);
  }

  get usage(): StoreUsage {
    return this.#budget.usage;
  }

  /** The row only: says that a file was committed, not that it is still there. `undefined` also when the index fails. */
  row(digest: Digest): Promise<BlobRow | undefined> {
    return this.#stored.row(digest);
  }

  /**
   * Stored content, counted as used. Its first bytes are read before it counts as open: what is damaged is set aside,
   * what cannot be read just now is left alone, and `undefined` is the answer to both: a miss.
   * @param firstPosition where the reader will begin
   * @param firstLimitBytes what it will take there at most; absent = as much as an answer takes at a time
   */
  open(digest: Digest, firstPosition = 0, firstLimitBytes?: number): Promise<Content | undefined> {
    return this.#stored.open(digest, firstPosition, firstLimitBytes);
  }

  /** All of stored content that is no larger than `limitBytes`, its digest checked; otherwise like `open`. */
  readWhole(digest: Digest, limitBytes = Infinity): Promise<Buffer | undefined> {
    return this.#stored.readWhole(digest, limitBytes);
  }

  /** Counts a use of stored content that was served from memory. */
  touch(digest: Digest): void {
    this.#uses.add(digest);
  }

  /** Could a blob of this size ever be stored? */
  canEverHold(bytes: number): boolean {
    return this.#budget.canEverHold(bytes);
  }

  /** Room for a fill; `undefined` when there is none, and none can be made. */
  async reserve(bytes: number): Promise<Reservation | undefined> {
    return this.#budget.reserve(bytes);
  }

  /** The disk could not take what there was room for: before the next blob it is tried out, so that a bypass is known as one. */
  suspect(): void {
    this.#isSuspect = true;
  }

  /** Begins to take a blob in; one that only hashes when nothing can be stored. Never fails. */
  async ingest(digest: Digest, sizeBytes: number | undefined, hasRoom: boolean): Promise<Ingest> {
    const { content, observer } = this.#parts;
    if (hasRoom) {
      try {
        if (this.#isSuspect) await content.probe();
        this.#isSuspect = false;
        return await content.ingest(digest, sizeBytes);
      } catch (cause) {
        observer.cacheFailure('content', cause);
      }
    }
    return content.ingestNowhere(digest, sizeBytes);
  }

  /** Publishes a verified ingest. What fails is reported, and leaves the blob uncached; nobody waits for it. */
  async commit(ingest: Ingest, row: BlobRow, reservation: Reservation | undefined): Promise<void> {
    await this.#publish(row, () => ingest.commit(), reservation);
  }

  /** Stores small content that is verified and at hand. @returns false when it could not be stored. */
  async put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const reservation = await this.#budget.reserve(bytes.length);
    if (reservation === undefined) return false;
    const row = { digest, sizeBytes: bytes.length };
    return this.#publish(row, () => this.#parts.content.put(digest, bytes), reservation);
  }

  async #publish(
    row: BlobRow,
    store: () => Promise<void>,
    reservation: Reservation | undefined,
  ): Promise<boolean> {
    const { metadata, clock, observer } = this.#parts;
    let where: 'content' | 'metadata' = 'metadata';
    try {
      await this.#locks.run(row.digest, async () => {
        const known = await metadata.blobs.get(row.digest);
        try {
          where = 'content';
          await store();
          this.#generations.end(row.digest);
          where = 'metadata';
          await metadata.blobs.put(row, clock.now());
        } catch (cause) {
          // A file without a row would be counted by nobody, and evicted never. A commit that failed may have left one.
          if (known === undefined) await this.#discard(row.digest);
          throw cause;
        }
        if (known !== undefined) this.#budget.removed(known.sizeBytes);
        this.#budget.added(row.sizeBytes);
      });
      return true;
    } catch (cause) {
      observer.cacheFailure(where, cause);
      return false;
    } finally {
      reservation?.release();
    }
  }

  async #discard(digest: Digest): Promise<void> {
    try {
      await this.#parts.content.delete(digest);
    } catch (cause) {
      this.#parts.observer.cacheFailure('content', cause);
    }
  }

  /** Row first, then file. @returns the bytes that went; 0 when there was no such blob. */
  async remove(digest: Digest): Promise<number> {
    return this.#locks.run(digest, () => this.#removeLocked(digest));
  }

  async #removeLocked(digest: Digest): Promise<number> {
    const row = await this.#dropRow(digest);
    if (row !== undefined) await this.#parts.content.delete(digest);
    return row?.sizeBytes ?? 0;
  }

  /** As `#removeLocked`, of what is bad: its file is kept aside. One that cannot be moved is in nobody's way. */
  async #condemnLocked(digest: Digest): Promise<void> {
    await this.#dropRow(digest);
    try {
      await this.#parts.content.quarantine(digest);
    } catch (cause) {
      this.#parts.observer.cacheFailure('content', cause);
    }
  }

  /** Totals are those of the rows, whatever becomes of the file. */
  async #dropRow(digest: Digest): Promise<BlobRow | undefined> {
    const row = await this.#parts.metadata.blobs.delete(digest);
    this.#generations.end(digest);
    if (row === undefined) return undefined;
    this.#uses.forget(digest);
    this.#budget.removed(row.sizeBytes);
    return row;
  }

  /** Looks at what is stored, and takes out what is bad: see `verifyStore`. */
  verify(selection: VerifySelection, options: VerifyOptions): AsyncIterable<VerifyEvent> {
    const { metadata, clock } = this.#parts;
    return verifyStore({ metadata, clock, upkeep: this.#upkeep }, selection, options);
  }

  /** Writes down what was gathered. Fills must have ended. */
  async close(): Promise<void> {
    await this.#uses.close();
  }

  async #evict(bytes: number): Promise<void> {
    const { metadata, observer } = this.#parts;
    try {
      await this.#uses.write();
      const evicted = await evictLeastRecentlyUsed(metadata, (digest) => this.remove(digest), bytes);
      if (evicted.blobs > 0) observer.evicted(evicted.blobs, evicted.bytes);
    } catch (cause) {
      observer.cacheFailure(cause instanceof ContentError ? 'content' : 'metadata', cause);
    }
  }
}
