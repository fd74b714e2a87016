import type { Digest } from '../oci/digest.ts';

/** Which part of an image some content is. What no manifest that was seen here lists otherwise is a layer. */
export type ContentKind = 'layer' | 'config' | 'manifest' | 'index';

/** A blob whose file is committed. */
export interface BlobRow {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface NewBlob extends BlobRow {
  /** Who brought it; its share of the store is charged. Absent: nobody in particular. */
  readonly upstream?: string | undefined;
}

/** What eviction goes by. Times in milliseconds since 1970. */
export interface BlobUse {
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  readonly usedAt: number;
  /** The use before that, if it was not part of the same pull. */
  readonly earlierAt: number | undefined;
}

export interface StoredBlob extends BlobRow, BlobUse {
  readonly upstream: string | undefined;
}

/** The order in which blobs are given up, as a number for each that changes only when the blob or its image is used. Pure. */
export interface Ranking {
  /** The uses of a blob after one more. */
  nextUse(
    previous: BlobUse,
    now: number,
  ): { readonly usedAt: number; readonly earlierAt: number | undefined };
  /**
   * The least goes first. A safe integer. `floor`: the last rank of 0 or more at which a blob was given up; before that
   * the lowest there is, or `usedAt` when there is none.
   */
  rankOf(use: BlobUse, floor: number): number;
  /** Of what only a manifest used that was given up. */
  orphanedRank(use: BlobUse): number;
}

export interface Totals {
  readonly bytes: number;
  readonly blobs: number;
}

export interface StoreTotals extends Totals {
  readonly byUpstream: ReadonlyMap<string, Totals>;
}

export interface VictimQuery {
  readonly limit: number;
  /** Only what this upstream brought. */
  readonly upstream?: string | undefined;
}

export interface VictimPage {
  readonly blobs: readonly StoredBlob[];
  /** Where the next page begins; absent at the end. */
  readonly next: string | undefined;
}

/** Some rows in the order of their numbers, and where the next begin; `undefined` at the end. */
export interface BlobPage {
  readonly blobs: readonly StoredBlob[];
  readonly next: number | undefined;
}

/** Milliseconds since 1970, absent without rows; and where the next begin, `undefined` at the end. */
export interface OldestUse {
  readonly usedAt: number | undefined;
  readonly next: number | undefined;
}

/** What some blobs take, and what they would take if each stored manifest that lists one had its own. */
export interface SharingPage {
  readonly bytes: number;
  readonly unsharedBytes: number;
  /** Where the next page begins; absent at the end. */
  readonly next: number | undefined;
}

/** Which blobs are stored, and when they were used. Each call is one transaction; all fail with MetadataError. */
export interface StoredBlobs {
  get(digest: Digest): Promise<BlobRow | undefined>;
  /** As `get`, with all that is known. */
  describe(digest: Digest): Promise<StoredBlob | undefined>;
  /** Only after the file is committed. Replaces a row of the same digest. `usedAt` in milliseconds since 1970. */
  put(blob: NewBlob, usedAt: number): Promise<void>;
  /** @returns the row that was there. The file goes after it, never before. */
  delete(digest: Digest): Promise<StoredBlob | undefined>;
  /** As `delete`, of what is given up for room: what only this manifest listed comes next. */
  evict(digest: Digest): Promise<StoredBlob | undefined>;
  /** @param blockBytes sizes are rounded up to multiples of it; absent = as they are */
  totals(blockBytes?: number): Promise<StoreTotals>;
  /** Of what is pinned. Counts no more than some thousands of blobs: a lower bound, then. */
  pinnedTotals(blockBytes?: number): Promise<StoreTotals>;
  isPinned(digest: Digest): Promise<boolean>;
  /** In the order in which they are to be given up; what is pinned is passed over. */
  victims(query: VictimQuery): Promise<readonly StoredBlob[]>;
  /** As `victims`, to be looked through from one to the next without removing any. @param after `next` of the page before */
  victimPage(after: string | undefined, limit: number): Promise<VictimPage>;
  /**
   * Last uses, gathered by the caller, who hands over few at a time. The use of a manifest is one of all that it lists
   * itself. Digests that are not stored are passed over.
   */
  touch(uses: ReadonlyMap<Digest, number>): Promise<void>;
  /** The latest use that was ever written down; `undefined` before the first. Also of what is stored no longer. */
  latestUse(): Promise<number | undefined>;
  /** The earliest last use of some rows, in the order of their numbers. @param after 0 for the first of them */
  oldestUse(after: number, limit: number): Promise<OldestUse>;
  /** Some rows in the order of their numbers, summed up. @param after 0 for the first page */
  sharing(after: number, limit: number): Promise<SharingPage>;
  /** Rows in the order of their numbers, which only grow. @param after 0 for the first page */
  page(after: number, limit: number): Promise<BlobPage>;
}
