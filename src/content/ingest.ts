import type { Digest } from '../oci/digest.ts';
import type { Chunk } from './content.ts';
import type { ContentError } from './content-error.ts';
import type { Intervals } from './intervals.ts';
import type { Slab } from './slabs.ts';

/**
 * Content on its way in: takes writes at positions, hashes the contiguous front as it grows, becomes visible by
 * `commit`. One owner (the fill); it alone writes, and nothing is written twice.
 */
export interface Ingest {
  /** Positions whose bytes can be read here. */
  readonly stored: Intervals;

  /** Why bytes could not be stored, once so: from then on writes must come in order and are only hashed. */
  readonly storeFailure: ContentError | undefined;

  /**
   * Takes the slab's first `length` bytes to `position`; holds the slab while it needs it. Resolves when they are
   * readable (`true`), or when they could not be stored and are only hashed (`false`).
   * @throws ContentError when even that is impossible: bytes out of order that have no place to wait.
   */
  write(slab: Slab, length: number, position: number): Promise<boolean>;

  /** Stores nothing more, for `reason`; hashing goes on. */
  stopStoring(reason: ContentError): void;

  /** Reads back stored bytes, which must lie in one interval of `stored`. */
  read(position: number, limitBytes: number): Promise<Chunk>;

  /** The digest of the first `sizeBytes` bytes, all of which must have been written. Waits for the hashing to catch up. */
  verify(sizeBytes: number): Promise<Digest>;

  /**
   * Publishes the content under the digest it was begun for: fsync, rename, fsync of the directory. Only after a
   * `verify` that gave this digest, and when all writes have ended. A failed fsync is never tried again: the content is gone then.
   * @throws ContentError
   */
  commit(): Promise<void>;

  /** Must be called once, when nobody reads any more. What was not committed is removed. */
  close(): Promise<void>;
}
