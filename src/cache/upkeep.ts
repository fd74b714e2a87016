import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { BlobRow } from '../metadata/stored-blobs.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { CacheObserver } from './cache-observer.ts';
import { isDamage } from './damage.ts';
import type { Generation, Generations } from './generations.ts';
import type { KeyedLock } from './keyed-lock.ts';

/**
 * What a look at a stored blob found.
 * - `sound`: its bytes are those that its digest names;
 * - `damaged`: they are not, or are gone: the row was dropped, the file set aside;
 * - `gone`: it was removed or replaced meanwhile;
 * - `unreadable`: the disk could not be asked just now; nothing was changed.
 */
export type Finding = 'sound' | 'damaged' | 'gone' | 'unreadable';

export interface UpkeepParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly observer: CacheObserver;
  readonly locks: KeyedLock<Digest>;
  readonly generations: Generations;
  /** Takes a blob out whose file turned out bad. Called under the digest's lock. */
  readonly condemn: (digest: Digest) => Promise<void>;
}

export interface Examination {
  /** Who looks, for the count of what was found. */
  readonly where: 'scrub' | 'verify' | 'reconcile';
  readonly signal: AbortSignal;
  /** Told of bytes as they are read; the next are read when it has settled. */
  readonly onBytes?: (bytes: number) => Promise<void> | void;
}

/** Looks at blobs at rest while they are served, committed and removed, and takes out what is bad. */
export class Upkeep {
  readonly #parts: UpkeepParts;

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** Reads all of a blob. @throws the signal's reason, MetadataError */
  async examine({ digest, sizeBytes }: BlobRow, examination: Examination): Promise<Finding> {
    const { content, observer, generations } = this.#parts;
    const { where, signal, onBytes } = examination;
    const generation = generations.enter(digest);
    try {
      await content.verify(digest, sizeBytes, signal, onBytes);
      return 'sound';
    } catch (cause) {
      if (!(cause instanceof ContentError)) throw cause;
      if (isDamage(cause)) return await this.#condemn(digest, generation, where, cause);
      observer.cacheFailure('content', cause);
      return 'unreadable';
    } finally {
      generation.leave();
    }
  }

  async #condemn(
    digest: Digest,
    generation: Generation,
    where: Examination['where'],
    cause: ContentError,
  ): Promise<Finding> {
    const { metadata, locks, observer } = this.#parts;
    return locks.run(digest, async () => {
      if (generation.isOver || (await metadata.blobs.get(digest)) === undefined) return 'gone';
      observer.integrityFailure(where, digest, cause);
      await this.#parts.condemn(digest);
      return 'damaged';
    });
  }
}
