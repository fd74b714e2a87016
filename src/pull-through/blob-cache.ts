import type { Clock } from '../clock.ts';
import type { Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { Ingest } from '../content/ingest.ts';
import type { BlobRow, MetadataStore } from '../metadata/metadata-store.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { evictLeastRecentlyUsed } from './eviction.ts';
import { KeyedLock } from './keyed-lock.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';
import { type Reservation, StoreBudget, type StoreUsage } from './store-budget.ts';

/** Last uses are gathered this long, or until there are so many; losing them is harmless. */
const TOUCH_INTERVAL_MS = 5000;
const TOUCH_LIMIT = 10_000;

export interface BlobCacheParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly observer: PullThroughObserver;
  readonly limitBytes: number;
}

/**
 * Files and rows as one: the only place that commits or removes a blob, always in the order that invariant 2 asks for
 * (file, then row; row, then file), one at a time for each digest. The row is a hint and the file is the truth.
 */
export class BlobCache {
  readonly #parts: BlobCacheParts;
  readonly #budget: StoreBudget;
  readonly #locks = new KeyedLock<Digest>();
  readonly #uses = new Map<Digest, number>();
  readonly #ending = new AbortController();
  #flushing: Promise<void> | undefined;

  static async open(parts: BlobCacheParts): Promise<BlobCache> {
    return new BlobCache(parts, await parts.metadata.totals());
  }

  private constructor(parts: BlobCacheParts, stored: { bytes: number; blobs: number }) {
    this.#parts = parts;
    this.#budget = new StoreBudget(parts.limitBytes, stored, (bytes) => this.#evict(bytes));
  }

  get usage(): StoreUsage {
    return this.#budget.usage;
  }

  /** The row only: says that a file was committed, not that it is still there. `undefined` also when the index fails. */
  async row(digest: Digest): Promise<BlobRow | undefined> {
    try {
      return await this.#parts.metadata.blob(digest);
    } catch (cause) {
      this.#parts.observer.cacheFailure('metadata', cause);
      return undefined;
    }
  }

  /** Stored content, counted as used. What turns out damaged is removed, and `undefined` is the answer: a miss. */
  async open(digest: Digest): Promise<Content | undefined> {
    const row = await this.row(digest);
    const content = row && (await this.#guarded(row, () => this.#parts.content.open(digest, row.sizeBytes)));
    return content && this.#watched(content, digest);
  }

  /** All of small stored content, its digest checked; otherwise like `open`. */
  async readWhole(digest: Digest): Promise<Buffer | undefined> {
    const row = await this.row(digest);
    return (
      row &&
      (await this.#guarded(row, async () => {
        const bytes = await this.#parts.content.readWhole(digest, row.sizeBytes);
        if (bytes !== undefined && digestOf(bytes, digestAlgorithm(digest)) !== digest) {
          throw new ContentError('damaged', 'the file holds other bytes than its digest names');
        }
        return bytes;
      }))
    );
  }

  /** Counts a use of stored content that was served from memory. */
  touch(digest: Digest): void {
    this.#uses.set(digest, this.#parts.clock.now());
    if (this.#uses.size >= TOUCH_LIMIT) void this.#flushUses();
    else this.#flushing ??= this.#flushLater();
  }

  /** Could a blob of this size ever be stored? */
  canEverHold(bytes: number): boolean {
    return this.#budget.canEverHold(bytes);
  }

  /** Room for a fill; `undefined` when there is none, and none can be made. */
  async reserve(bytes: number): Promise<Reservation | undefined> {
    return this.#budget.reserve(bytes);
  }

  /** Begins to take a blob in; one that only hashes when nothing can be stored. Never fails. */
  async ingest(digest: Digest, sizeBytes: number | undefined, hasRoom: boolean): Promise<Ingest> {
    const { content, observer } = this.#parts;
    if (hasRoom) {
      try {
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
    let where: 'content' | 'metadata' = 'content';
    try {
      await this.#locks.run(row.digest, async () => {
        await store();
        where = 'metadata';
        const known = await metadata.blob(row.digest);
        await metadata.putBlob(row, clock.now());
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

  /** Row first, then file. @returns the bytes that went; 0 when there was no such blob. */
  async remove(digest: Digest): Promise<number> {
    return this.#locks.run(digest, async () => {
      const row = await this.#parts.metadata.deleteBlob(digest);
      if (row === undefined) return 0;
      this.#uses.delete(digest);
      await this.#parts.content.delete(digest);
      this.#budget.removed(row.sizeBytes);
      return row.sizeBytes;
    });
  }

  /** Writes down what was gathered. Fills must have ended. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#flushing;
    await this.#flushUses();
  }

  async #guarded<T>(row: BlobRow, open: () => Promise<T | undefined>): Promise<T | undefined> {
    const { observer } = this.#parts;
    try {
      const opened = await open();
      if (opened !== undefined) {
        this.touch(row.digest);
        return opened;
      }
      await this.#dropDamaged('open', row.digest, new ContentError('missing', 'the file is gone'));
    } catch (cause) {
      if (cause instanceof ContentError && cause.reason === 'damaged') {
        await this.#dropDamaged('open', row.digest, cause);
      } else {
        observer.cacheFailure('content', cause);
      }
    }
    return undefined;
  }

  async #dropDamaged(where: 'open' | 'read', digest: Digest, cause: unknown): Promise<void> {
    this.#parts.observer.integrityFailure(where, digest, cause);
    try {
      await this.remove(digest);
    } catch (failure) {
      this.#parts.observer.cacheFailure('content', failure);
    }
  }

  /** Content that takes itself out of the cache when it turns out damaged while it is read. */
  #watched(content: Content, digest: Digest): Content {
    return {
      sizeBytes: content.sizeBytes,
      close: () => content.close(),
      read: async (position, limitBytes, signal) => {
        try {
          return await content.read(position, limitBytes, signal);
        } catch (cause) {
          if (cause instanceof ContentError) await this.#dropDamaged('read', digest, cause);
          throw cause;
        }
      },
    };
  }

  async #evict(bytes: number): Promise<void> {
    const { metadata, observer } = this.#parts;
    try {
      await this.#flushUses();
      const evicted = await evictLeastRecentlyUsed(metadata, (digest) => this.remove(digest), bytes);
      if (evicted.blobs > 0) observer.evicted(evicted.blobs, evicted.bytes);
    } catch (cause) {
      observer.cacheFailure('metadata', cause);
    }
  }

  async #flushLater(): Promise<void> {
    await this.#parts.clock.sleep(TOUCH_INTERVAL_MS, this.#ending.signal).catch(() => undefined);
    this.#flushing = undefined;
    await this.#flushUses();
  }

  async #flushUses(): Promise<void> {
    if (this.#uses.size === 0) return;
    const uses = new Map(this.#uses);
    this.#uses.clear();
    try {
      await this.#parts.metadata.touch(uses);
    } catch (cause) {
      this.#parts.observer.cacheFailure('metadata', cause);
    }
  }
}
