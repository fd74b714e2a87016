import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';
import type { RepositoryKey } from './repository-key.ts';
import type { StoredBlobs, ContentKind } from './stored-blobs.ts';
import type { StoredImages } from './stored-images.ts';

export type { RepositoryKey } from './repository-key.ts';

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

/** What a tag meant before it meant something else. */
export interface FormerTag {
  readonly digest: Digest;
  /** When the upstream first said otherwise, milliseconds since 1970. */
  readonly until: number;
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

/** Something that a manifest lists. */
export interface Listed {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly kind: ContentKind;
  /** Whether listing it proves that the repository has it. */
  readonly isHeld: boolean;
}

/** A manifest whose bytes were read as such. */
export interface NewManifest {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly mediaType: string;
  readonly isIndex: boolean;
  readonly children: readonly Listed[];
}

/** Where upkeep was, across restarts. */
export type MarkName = 'scrub-begun-at' | 'scrub-ended-at' | 'scrub-position' | 'index-lost';

export interface Marks {
  /** `undefined` until it is set. */
  mark(name: MarkName): Promise<number | undefined>;
  setMark(name: MarkName, value: number): Promise<void>;
}

/** What may be forgotten at once. Rows are numbered as they come; numbers only grow. */
export interface ForgettingSlice {
  /** Greatest numbers of contents and repositories that were looked at; both 0 for the first slice. */
  readonly after: ForgettingPlace;
  /** Nothing beyond these: what is newer may be on its way in. */
  readonly until: ForgettingPlace;
  /**
   * What a tag or a list that is not stored meant is kept when it was confirmed at this time or later. Milliseconds since
   * 1970.
   */
  readonly before: number;
}

export interface ForgettingPlace {
  readonly content: number;
  readonly repository: number;
}

/**
 * What is known about content: which blobs are stored, which repositories hold what, what tags meant. Knows no bytes.
 * Asynchronous, since a store shared by several processes will implement it too. All fail with MetadataError. Every
 * implementation passes test/metadata's contract suite.
 */
export interface MetadataStore extends Marks {
  readonly blobs: StoredBlobs;
  readonly images: StoredImages;
  /** Whether the last process on this index ended without closing it, or the index was lost: files and rows may differ. */
  readonly needsReconcile: boolean;
  /** Called when the index turned out damaged while it was used, was moved to `setAside` and begun anew. Must not throw. */
  onLost: ((setAside: string) => void) | undefined;

  holding(key: RepositoryKey, digest: Digest): Promise<Holding | undefined>;
  /** One transaction. A `manifestType` that is already known is kept when the new holding has none. */
  recordHoldings(key: RepositoryKey, holdings: readonly NewHolding[]): Promise<void>;
  /** That the repository holds a manifest, and those of its children of which that follows. Long lists in several transactions, the manifest last. */
  recordManifest(key: RepositoryKey, manifest: NewManifest): Promise<void>;
  /** What a manifest lists, whoever holds it: for files that were found without a row. */
  linkManifest(manifest: NewManifest): Promise<void>;
  /** Files and rows agree again. */
  reconciled(): Promise<void>;

  tag(key: TagKey): Promise<TagRow | undefined>;
  putTag(key: TagKey, row: TagRow): Promise<void>;
  /** What the tag meant before, to clients that take every type; the newest first, some at most. Forgotten with the tag. */
  tagHistory(key: RepositoryKey, tag: Tag): Promise<readonly FormerTag[]>;
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

  /**
   * Forgets some of what is neither stored nor pinned nor listed by anything stored: who held it, what it listed, which
   * tags meant it. When it is wanted again its upstream is asked. @returns where to go on; absent at the end
   */
  forgetUnstored(
    slice: ForgettingSlice,
  ): Promise<{ readonly forgotten: number; readonly next: ForgettingPlace | undefined }>;
  /** The greatest numbers that were given. */
  lastPlace(): Promise<ForgettingPlace>;

  /** Writes and reads a row. */
  probe(): Promise<void>;
  close(): Promise<void>;
}
