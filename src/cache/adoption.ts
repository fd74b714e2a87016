import { ContentError } from '../content/content-error.ts';
import type { ContentStore, StoredFile } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { MANIFEST_SIZE_LIMIT } from '../oci/manifest.ts';
import type { CacheObserver } from './cache-observer.ts';
import { isDamage } from './damage.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { newManifest } from './new-manifest.ts';
import { recognizedManifest } from './recognized-manifest.ts';

/**
 * What became of a file that no row told of.
 * - `adopted`: its bytes are right, and it has its row;
 * - `known`: it has a row already;
 * - `quarantined`: its bytes are not those of its name;
 * - `gone`: it was removed or replaced meanwhile;
 * - `unreadable`: the disk could not be asked just now; nothing was changed.
 */
export type AdoptionOutcome = 'adopted' | 'known' | 'quarantined' | 'gone' | 'unreadable';

export interface AdoptionParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly observer: CacheObserver;
  readonly locks: KeyedLock<Digest>;
  /** Called under the digest's lock when it has a row: its bytes count as stored. */
  readonly onAdopted: (sizeBytes: number) => void;
  /** Use time (see useClock): a file counts as used when it was written, but never in the future. */
  readonly useNow: () => number;
}

/** Gives files that no row tells of their rows again, after reading all of them. Deletes nothing. */
export class Adoption {
  readonly #parts: AdoptionParts;

  constructor(parts: AdoptionParts) {
    this.#parts = parts;
  }

  /**
   * @param onBytes told of bytes as they are read; the next are read when it has settled
   * @throws the signal's reason, MetadataError
   */
  async adopt(
    file: StoredFile,
    signal: AbortSignal,
    onBytes?: (bytes: number) => Promise<void> | void,
  ): Promise<AdoptionOutcome> {
    const { content, locks, observer } = this.#parts;
    try {
      const damage = await damageOf(() => content.verify(file.digest, file.sizeBytes, signal, onBytes));
      return await locks.run(file.digest, () => this.#adoptLocked(file, damage));
    } catch (cause) {
      if (!(cause instanceof ContentError)) throw cause;
      observer.cacheFailure('content', cause);
      return 'unreadable';
    }
  }

  async #adoptLocked(file: StoredFile, damage: ContentError | undefined): Promise<AdoptionOutcome> {
    const { content, metadata, observer, onAdopted } = this.#parts;
    const { digest, sizeBytes, modifiedAt } = file;
    // A commit renames and writes its row under this lock: what has no row now is nobody's.
    if ((await metadata.blobs.get(digest)) !== undefined) return 'known';
    const now = await content.find(digest);
    if (now === undefined || now.sizeBytes !== sizeBytes || now.modifiedAt !== modifiedAt) return 'gone';
    if (damage !== undefined) {
      observer.integrityFailure('reconcile', digest, damage);
      await content.quarantine(digest);
      return 'quarantined';
    }
    await this.#link(digest, sizeBytes);
    await metadata.blobs.put({ digest, sizeBytes }, Math.min(modifiedAt, this.#parts.useNow()));
    onAdopted(sizeBytes);
    return 'adopted';
  }

  /** What a manifest lists, so that the image is given up as one. It gives no repository access to anything. */
  async #link(digest: Digest, sizeBytes: number): Promise<void> {
    const { content, metadata } = this.#parts;
    if (sizeBytes > MANIFEST_SIZE_LIMIT) return;
    const bytes = await content.readWhole(digest, sizeBytes);
    const facts = bytes && recognizedManifest(bytes);
    if (facts !== undefined) await metadata.linkManifest(newManifest(digest, sizeBytes, facts));
  }
}

/** `undefined` when there is none. @throws what is no damage */
async function damageOf(verify: () => Promise<void>): Promise<ContentError | undefined> {
  try {
    await verify();
    return undefined;
  } catch (cause) {
    if (isDamage(cause)) return cause;
    throw cause;
  }
}
