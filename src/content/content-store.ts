import type { Digest } from '../oci/digest.ts';
import type { Content } from './content.ts';
import type { Ingest } from './ingest.ts';

/** A committed file as the directory tells of it: its bytes were not looked at. */
export interface StoredFile {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Milliseconds since 1970: when its last byte was written, so about when it was stored. */
  readonly modifiedAt: number;
}

/** A part of what the store holds, small enough to be dealt with at once. */
export interface StoredSlice {
  readonly files: readonly StoredFile[];
  /** What lies where content is kept and is none, as paths below the store's root: see `quarantineStray`. */
  readonly strays: readonly string[];
}

export interface StoreSpace {
  readonly totalBytes: number;
  /** What may still be written there by anybody without privileges. */
  readonly freeBytes: number;
}

/** Bytes at rest by digest. Knows no repository and no limits. Every implementation passes test/content's contract suite. */
export interface ContentStore {
  /**
   * Opens committed content, and finds out before any byte is served whether it is there whole. A reader that gets to
   * the last byte is told `damaged` when the file changed since it was opened.
   * @returns `undefined` when there is none.
   * @throws ContentError `damaged` when its size is not `sizeBytes`; `exhausted`, `io`.
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

  /**
   * Everything that is committed, in slices and in no order. What is stored or removed meanwhile may be in it or not.
   * @throws ContentError when any part cannot be listed, so that nothing counts as absent that was not looked for
   */
  list(signal: AbortSignal): AsyncIterable<StoredSlice>;

  /** @returns `undefined` when there is none. @throws ContentError `damaged` when what is there is no file; `exhausted`, `io`. */
  find(digest: Digest): Promise<StoredFile | undefined>;

  /**
   * Reads all of it and compares the digest.
   * @param onBytes told how many bytes were read since the last call; the next are read when it has settled
   * @throws ContentError `missing`, `damaged`, `exhausted`, `io`
   */
  verify(
    digest: Digest,
    sizeBytes: number,
    signal: AbortSignal,
    onBytes?: (bytes: number) => Promise<void> | void,
  ): Promise<void>;

  /**
   * Sets committed content aside, for who wants to look into it: it can be opened no more. Only so much is kept aside,
   * the oldest goes first. Content that is open stays readable.
   * @returns false when there was none. @throws ContentError
   */
  quarantine(digest: Digest): Promise<boolean>;

  /** The same for a stray of `list`. */
  quarantineStray(stray: string): Promise<boolean>;

  /** Removes the oldest of what was set aside until at most so many bytes are. @throws ContentError */
  trimQuarantine(limitBytes: number): Promise<void>;

  /** What was set aside takes of the disk; part of what the store holds. */
  readonly quarantinedBytes: number;

  /** What content of this size takes of the disk. */
  allocatedBytes(sizeBytes: number): number;

  /** Of what the store lies on. @throws ContentError */
  space(): Promise<StoreSpace>;

  /** Bytes that the store may hold by the size of what it lies on: used by limits that are a share. */
  capacityBytes(): Promise<number>;

  /** Writes, reads and removes a file. @throws ContentError when the store cannot do its work. */
  probe(): Promise<void>;

  /**
   * Makes durable what was removed: until then a power cut may bring it back. Content that is open or on its way in must
   * have been closed before.
   * @throws ContentError when that cannot be done
   */
  close(): Promise<void>;
}
