import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/reference.ts';

/** A repository of one upstream: what access is decided by. */
export interface RepositoryKey {
  readonly upstream: string;
  readonly repository: RepositoryName;
}

/** A blob whose file is committed. */
export interface BlobRow {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** That a repository was seen to hold some content, stored here or not. */
export interface Holding {
  readonly sizeBytes: number;
  /** Set when the bytes were read there as a manifest of this type; absent for what was only listed or announced. */
  readonly manifestType: string | undefined;
}

export interface NewHolding {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly manifestType?: string | undefined;
}

/** What a tag meant when the upstream was last asked. */
export interface TagRow {
  readonly digest: Digest;
  /** Wall time of that answer, milliseconds since 1970. */
  readonly checkedAt: number;
}

/** Which tag, and for which set of accepted manifest types: '' for all that entrepot knows. */
export interface TagKey extends RepositoryKey {
  readonly tag: Tag;
  readonly accept: string;
}

/** An upstream's list as it was last answered. */
export interface Listing<T> {
  readonly items: readonly T[];
  readonly checkedAt: number;
}

export interface StoreTotals {
  readonly bytes: number;
  readonly blobs: number;
}

/**
 * What is known about content: which blobs are stored, which repositories hold what, what tags meant. Knows no bytes.
 * Asynchronous, since a store shared by several processes will implement it too. All fail with MetadataError. Every
 * implementation passes test/metadata's contract suite.
 */
export interface MetadataStore {
  blob(digest: Digest): Promise<BlobRow | undefined>;
  /** Only after the file is committed. Replaces a row of the same digest. `usedAt` in milliseconds since 1970. */
  putBlob(row: BlobRow, usedAt: number): Promise<void>;
  /** @returns the row that was there. The file goes after it, never before. */
  deleteBlob(digest: Digest): Promise<BlobRow | undefined>;
  totals(): Promise<StoreTotals>;
  /** Stored blobs, least recently used first. */
  leastRecentlyUsed(limit: number): Promise<readonly BlobRow[]>;
  /** Last uses, gathered by the caller. Digests that are not stored are passed over. */
  touch(uses: ReadonlyMap<Digest, number>): Promise<void>;

  holding(key: RepositoryKey, digest: Digest): Promise<Holding | undefined>;
  /** One transaction. A `manifestType` that is already known is kept when the new holding has none. */
  recordHoldings(key: RepositoryKey, holdings: readonly NewHolding[]): Promise<void>;

  tag(key: TagKey): Promise<TagRow | undefined>;
  putTag(key: TagKey, row: TagRow): Promise<void>;
  /** Forgets the tag for one set of types; for every set when `accept` is absent. */
  deleteTag(key: RepositoryKey, tag: Tag, accept?: string): Promise<void>;
  /** The tags that are known here, in lexical order. */
  knownTags(key: RepositoryKey): Promise<readonly string[]>;

  tagList(key: RepositoryKey): Promise<Listing<string> | undefined>;
  putTagList(key: RepositoryKey, listing: Listing<string>): Promise<void>;
  deleteTagList(key: RepositoryKey): Promise<void>;
  referrers(key: RepositoryKey, subject: Digest): Promise<Listing<Record<string, unknown>> | undefined>;
  /** An empty list takes away the one that was there, and is not kept: clients ask for subjects as they like. */
  putReferrers(key: RepositoryKey, subject: Digest, listing: Listing<Record<string, unknown>>): Promise<void>;

  /** Writes and reads a row. */
  probe(): Promise<void>;
  close(): Promise<void>;
}
