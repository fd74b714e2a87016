import type { Digest } from '../oci/digest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import type { Totals } from './stored-blobs.ts';
import type { RepositoryKey } from './repository-key.ts';

/** A stored manifest or index of a repository that has a tag there, or that no other one of the repository lists. */
export interface ImageRow extends RepositoryKey {
  readonly digest: Digest;
  readonly mediaType: string;
  /** In lexical order. */
  readonly tags: readonly string[];
  /** When the upstream last said so, of each of `tags`, milliseconds since 1970. */
  readonly checkedAt: readonly number[];
  /** Of its manifest, milliseconds since 1970. */
  readonly usedAt: number;
}

export interface ImageFilter {
  readonly upstream?: string | undefined;
  readonly repository?: RepositoryName | undefined;
}

export interface ImagePage {
  readonly images: readonly ImageRow[];
  /** Where the next page begins; absent at the end. */
  readonly next: string | undefined;
}

export interface ImageSizes {
  /** Of all that is stored of it. */
  readonly bytes: number;
  /** Of what nothing else here uses: what purging it would free. */
  readonly exclusiveBytes: number;
  readonly blobs: number;
}

/** What became unreachable: no repository holds it any more. */
export interface Forgotten {
  /** Manifests and blobs that the repository no longer holds. */
  readonly holdings: number;
  /** Stored content among them that no repository holds: its files can go. */
  readonly unheld: readonly Digest[];
}

export interface RepositoryRow extends RepositoryKey {
  /** Grows. For paging. */
  readonly number: number;
}

export interface DigestPage {
  readonly digests: readonly Digest[];
  /** Where the next page begins; absent at the end. */
  readonly next: number | undefined;
}

/** Images as a whole: what lists what, sizes, pins, forgetting. Every call is short; all fail with MetadataError. */
export interface StoredImages {
  /** May be short of `limit`, even empty, and not be the last. @param after `next` of the page before; absent for the first */
  page(filter: ImageFilter, after: string | undefined, limit: number): Promise<ImagePage>;
  /** The one that a tag last meant, or a digest names, in this repository. `undefined` also when it is not stored. */
  find(key: RepositoryKey, reference: Reference): Promise<ImageRow | undefined>;
  sizes(digest: Digest): Promise<ImageSizes>;
  repositories(filter: ImageFilter, after: number, limit: number): Promise<readonly RepositoryRow[]>;
  /** The greatest number of any; 0 when there is none. */
  lastRepository(): Promise<number>;

  /**
   * Forgets a tag, or all tags of a digest, and what of the image no other image of the repository uses.
   * An image that has other tags keeps everything but the tag.
   */
  forgetImage(key: RepositoryKey, reference: Reference): Promise<Forgotten | undefined>;
  /** What `forgetImage` would forget; nothing is changed. */
  wouldForget(key: RepositoryKey, reference: Reference): Promise<Forgotten | undefined>;
  /**
   * Of what is stored and only repositories of the filter hold, some thousands of rows at a time: what forgetting all of
   * them would free. @param after 0 to begin
   */
  heldOnlyBy(filter: ImageFilter, after: number): Promise<Totals & { readonly next: number | undefined }>;
  /** Some repositories that were seen to hold it. */
  holders(digest: Digest, limit: number): Promise<readonly RepositoryKey[]>;
  /** Forgets up to `limit` of what the repository holds; the repository itself when nothing was left. Call until 0. */
  forgetRepository(key: RepositoryKey, limit: number): Promise<Forgotten>;

  /** Texts as they were given to `addPin`, in lexical order. */
  pins(): Promise<readonly string[]>;
  /** @returns false when it was there */
  addPin(pattern: string): Promise<boolean>;
  /** @returns false when it was not there */
  removePin(pattern: string): Promise<boolean>;
  /** What `tag` rows and digests a repository has, for pins. Distinct pairs. */
  tagged(key: RepositoryKey): Promise<readonly { readonly tag: string; readonly digest: Digest }[]>;
  /** What is stored of an image: of its manifest all that it lists, at any depth. Some thousands at most. */
  contents(digest: Digest): Promise<readonly Digest[]>;
  /** What a repository was seen to hold and is stored. @param after 0 for the first page */
  held(key: RepositoryKey, after: number, limit: number): Promise<DigestPage>;
  /** What a repository was seen to hold as a manifest or index, stored here or not. @param after 0 for the first page */
  manifests(key: RepositoryKey, after: number, limit: number): Promise<DigestPage>;
  /** From now on these and all that they list are pinned, and nothing else is. @returns what of it is stored */
  setPinned(roots: readonly Digest[]): Promise<Totals>;
  /** Counts changes of what tags mean, of manifests and of pins: while it stays, what is pinned stays. */
  readonly changes: number;
  /** Whether a tag or manifest of this repository may be pinned: what happens in others is no change. Absent: it may. */
  concerns: ((key: RepositoryKey) => boolean) | undefined;
}
