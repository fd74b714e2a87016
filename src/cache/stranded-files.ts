import type { Clock } from '../clock.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { StoredBlobs } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { KeyedLock } from './keyed-lock.ts';

/** How often it is tried at most to remove them, and how many at a time. */
const INTERVAL_MS = 5000;
const AT_ONCE = 16;

export interface StrandedFilesParts {
  readonly content: Pick<ContentStore, 'delete'>;
  readonly blobs: Pick<StoredBlobs, 'get'>;
  readonly locks: KeyedLock<Digest>;
  readonly clock: Clock;
  /** A file of this size belongs to no row. */
  readonly onStranded: (sizeBytes: number) => void;
  /** It does no more: it is gone, or has one. */
  readonly onSettled: (sizeBytes: number) => void;
}

/** Files that could not be removed when their rows were. They count until they can. */
export class StrandedFiles {
  readonly #parts: StrandedFilesParts;
  readonly #sizes = new Map<Digest, number>();
  #triedAt = -Infinity;

  constructor(parts: StrandedFilesParts) {
    this.#parts = parts;
  }

  /** Called under the digest's lock. */
  add(digest: Digest, sizeBytes: number): void {
    this.settled(digest);
    this.#sizes.set(digest, sizeBytes);
    this.#parts.onStranded(sizeBytes);
  }

  /** The file is another now, or has a row again. Called under the digest's lock. */
  settled(digest: Digest): void {
    const sizeBytes = this.#sizes.get(digest);
    if (!this.#sizes.delete(digest) || sizeBytes === undefined) return;
    this.#parts.onSettled(sizeBytes);
  }

  /** Tries some of them again, unless that was just done. Never fails. */
  async retry(): Promise<void> {
    const { clock, locks } = this.#parts;
    const now = clock.monotonic();
    if (this.#sizes.size === 0 || now - this.#triedAt < INTERVAL_MS) return;
    this.#triedAt = now;
    for (const digest of [...this.#sizes.keys()].slice(0, AT_ONCE))
      await locks.run(digest, () => this.#remove(digest)).catch(() => undefined);
  }

  async #remove(digest: Digest): Promise<void> {
    if (!this.#sizes.has(digest)) return;
    // Adopted meanwhile it is nobody's leftover.
    if ((await this.#parts.blobs.get(digest)) === undefined) await this.#parts.content.delete(digest);
    this.settled(digest);
  }
}
