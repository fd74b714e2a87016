import type { Digest } from '../oci/digest.ts';
import type { Content } from './content.ts';
import type { Ingest } from './ingest.ts';

/** Bytes at rest by digest. Knows no repository and no limits. Every implementation passes test/content's contract suite. */
export interface ContentStore {
  /**
   * Opens committed content, and finds out before any byte is served whether it is there whole.
   * @returns `undefined` when there is none.
   * @throws ContentError `damaged` when its size is not `sizeBytes`; `io`.
   */
  open(digest: Digest, sizeBytes: number): Promise<Content | undefined>;

  /** All bytes of small content; as `open` otherwise. */
  readWhole(digest: Digest, sizeBytes: number): Promise<Buffer | undefined>;

  /**
   * Begins to take content in. Nothing of it can be opened before its commit.
   * @param sizeBytes of the whole, when known
   * @throws ContentError
   */
  ingest(digest: Digest, sizeBytes: number | undefined): Promise<Ingest>;

  /** Like `ingest`, for bytes that cannot be stored: they are hashed, and kept nowhere. Never fails. */
  ingestNowhere(digest: Digest, sizeBytes: number | undefined): Ingest;

  /** Takes in small content that is at hand whole and already known to have this digest. As durable as a commit. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;

  /** @returns false when there was none. Content that is open stays readable. */
  delete(digest: Digest): Promise<boolean>;

  /** Bytes that the store may hold by the size of what it lies on: used by limits that are a share. */
  capacityBytes(): Promise<number>;

  /** Writes, reads and removes a file. @throws ContentError when the store cannot do its work. */
  probe(): Promise<void>;

  /** Content that is open or on its way in must have been closed before. */
  close(): Promise<void>;
}
