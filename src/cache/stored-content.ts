import type { Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { SlabPool } from '../content/slabs.ts';
import type { BlobRow } from '../metadata/stored-blobs.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import type { CacheObserver } from './cache-observer.ts';
import { isDamage } from './damage.ts';
import type { Generation, Generations } from './generations.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { readAhead } from './read-ahead.ts';
import { VerifiedContent } from './verified-content.ts';

export interface StoredContentParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly observer: CacheObserver;
  readonly locks: KeyedLock<Digest>;
  readonly generations: Generations;
  /** Takes a blob out whose file turned out bad. Called under the digest's lock. */
  readonly condemn: (digest: Digest) => Promise<void>;
  /** Looks for a file without a row, while there may be such. Never fails. @returns whether it has a row now */
  readonly adopt: (digest: Digest) => Promise<boolean>;
  /** Something: whole blobs are hashed while they are read. */
  readonly verifyOnRead: () => SlabPool | undefined;
  readonly onUse: (digest: Digest) => void;
}

/** The reading half of the cache: what is opened is whole as far as can be seen, and what turns out bad is taken out. */
export class StoredContent {
  readonly #parts: StoredContentParts;

  constructor(parts: StoredContentParts) {
    this.#parts = parts;
  }

  /** As `BlobCache.row`. */
  async row(digest: Digest): Promise<BlobRow | undefined> {
    const { metadata, adopt } = this.#parts;
    try {
      const row = await metadata.blobs.get(digest);
      if (row !== undefined) return row;
      return (await adopt(digest)) ? await metadata.blobs.get(digest) : undefined;
    } catch (cause) {
      this.#parts.observer.cacheFailure('metadata', cause);
      return undefined;
    }
  }

  /**
   * As `BlobCache.open`.
   * @param slabs whole blobs are hashed in them; absent: as configured
   * @param isUse false: it is only looked at
   */
  async open(
    digest: Digest,
    firstPosition: number,
    firstLimitBytes?: number,
    slabs = this.#parts.verifyOnRead(),
    isUse = true,
  ): Promise<Content | undefined> {
    const generation = this.#parts.generations.enter(digest);
    const openIt = async ({ sizeBytes }: BlobRow): Promise<Content | undefined> => {
      const opened = await this.#parts.content.open(digest, sizeBytes);
      if (opened === undefined) return undefined;
      const isWhole = firstPosition === 0 && firstLimitBytes === undefined;
      return readAhead(
        isWhole ? this.#verified(opened, digest, slabs) : opened,
        firstPosition,
        firstLimitBytes,
      );
    };
    const content = await this.#guarded(digest, openIt, isUse);
    if (content === undefined) generation.leave();
    return content && this.#watched(content, digest, generation);
  }

  #verified(opened: Content, digest: Digest, slabs: SlabPool | undefined): Content {
    const { content } = this.#parts;
    if (slabs === undefined) return opened;
    return new VerifiedContent(opened, digest, content.ingestNowhere(digest, opened.sizeBytes), slabs);
  }

  /** As `BlobCache.readWhole`. */
  async readWhole(digest: Digest, limitBytes: number): Promise<Buffer | undefined> {
    const row = await this.row(digest);
    if (row === undefined || row.sizeBytes > limitBytes) return undefined;
    return this.#guarded(digest, async ({ sizeBytes }) => {
      const bytes = await this.#parts.content.readWhole(digest, sizeBytes);
      if (bytes !== undefined && digestOf(bytes, digestAlgorithm(digest)) !== digest) {
        throw new ContentError('damaged', 'the file holds other bytes than its digest names');
      }
      return bytes;
    });
  }

  async #guarded<T>(
    digest: Digest,
    open: (row: BlobRow) => Promise<T | undefined>,
    isUse = true,
  ): Promise<T | undefined> {
    const row = await this.row(digest);
    if (row === undefined) return undefined;
    try {
      // Between the row and the file an eviction may have come, or a new fill: what does not fit is looked at again
      // while nothing can.
      const opened = (await unlessUnfit(() => open(row))) ?? (await this.#openLocked(digest, open));
      if (opened !== undefined && isUse) this.#parts.onUse(digest);
      return opened;
    } catch (cause) {
      this.#fail(cause);
      return undefined;
    }
  }

  async #openLocked<T>(
    digest: Digest,
    open: (row: BlobRow) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { locks, metadata } = this.#parts;
    return locks.run(digest, async () => {
      const row = await metadata.blobs.get(digest);
      if (row === undefined) return undefined;
      let cause: unknown = new ContentError('missing', 'the file is gone');
      try {
        const opened = await open(row);
        if (opened !== undefined) return opened;
      } catch (failure) {
        if (!isDamage(failure)) throw failure;
        cause = failure;
      }
      this.#parts.observer.integrityFailure('open', digest, cause);
      await this.#parts.condemn(digest);
      return undefined;
    });
  }

  /** After a failed read in the middle of an answer. */
  async #condemnRead(digest: Digest, generation: Generation, cause: ContentError): Promise<void> {
    const { metadata, observer, locks } = this.#parts;
    try {
      await locks.run(digest, async () => {
        if (generation.isOver || (await metadata.blobs.get(digest)) === undefined) return;
        observer.integrityFailure('read', digest, cause);
        await this.#parts.condemn(digest);
      });
    } catch (failure) {
      this.#fail(failure);
    }
  }

  /** Content that takes itself out of the cache when it turns out damaged while it is read. */
  #watched(content: Content, digest: Digest, generation: Generation): Content {
    return {
      sizeBytes: content.sizeBytes,
      atRest: () => content.atRest?.(),
      close: () => {
        generation.leave();
        content.close();
      },
      read: async (position, limitBytes, signal) => {
        try {
          return await content.read(position, limitBytes, signal);
        } catch (cause) {
          if (isDamage(cause)) await this.#condemnRead(digest, generation, cause);
          else if (cause instanceof ContentError) this.#fail(cause);
          throw cause;
        }
      },
    };
  }

  #fail(cause: unknown): void {
    this.#parts.observer.cacheFailure(cause instanceof ContentError ? 'content' : 'metadata', cause);
  }
}

/** `undefined` also for what is damaged. */
async function unlessUnfit<T>(open: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await open();
  } catch (cause) {
    if (isDamage(cause)) return undefined;
    throw cause;
  }
}
