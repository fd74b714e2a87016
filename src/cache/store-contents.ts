import type { RepositoryKey } from '../metadata/repository-key.ts';
import type { Digest } from '../oci/digest.ts';
import type { Tag } from '../oci/reference.ts';

/** What some content is called and how large it is. */
export interface ContentEntry {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

/** Bytes of stored content, once. */
export interface ContentBody {
  readonly sizeBytes: number;
  /**
   * In order. A chunk stays as it is only until the next is asked for. Must be read to its end or returned (`for await`
   * does both), also after the signal.
   */
  readonly body: AsyncIterable<Uint8Array>;
}

/** Content that comes from elsewhere. `upstream`: whose share of the store it is charged to. */
export interface NewContent extends ContentEntry {
  readonly upstream: string;
}

/** Content of a repository, as a client would ask for it. */
export interface WantedContent {
  readonly digest: Digest;
  /** Asked for as a manifest or index, not as a blob. */
  readonly isManifest: boolean;
}

/** An image as an upstream's repository has it. */
export interface NewImage extends RepositoryKey {
  /** Those that mean it; none for what is known by its digest alone. */
  readonly tags: readonly Tag[];
  readonly digest: Digest;
  readonly mediaType: string;
  /** When its upstream said so, milliseconds since 1970. */
  readonly checkedAt: number;
  /** Only the manifest itself: of those that it lists nothing is said. Absent: of all of them that are here. */
  readonly isAlone?: boolean | undefined;
}

/**
 * The bytes and images of a store, for carrying them from one to another: whether it is open here (LocalContents) or a
 * server holds it (RemoteContents). All fail with StoreOperationError, or with the signal's reason; concurrent calls are
 * independent. Every implementation passes test/cache's contract suite.
 */
export interface StoreContents {
  /**
   * Stored content, byte for byte, counted as used unless it is only looked at; `undefined`: not here. Its last bytes are not given out when its
   * digest turned out wrong: it fails instead (`failed`), and the store sets the file aside.
   */
  read(
    digest: Digest,
    signal: AbortSignal,
    options?: { readonly isUse: boolean },
  ): Promise<ContentBody | undefined>;
  /** All that is stored, in no order. What comes or goes meanwhile may be in it or not. */
  list(signal: AbortSignal): AsyncIterable<ContentEntry>;
  /** Those of `digests` that are not stored, in their order. */
  lacking(digests: readonly Digest[], signal: AbortSignal): Promise<readonly Digest[]>;
  /**
   * Those of `wanted` that clients of this repository are not given without its upstream's word, in their order: not
   * stored, or not known to be the repository's (of a manifest, to be one there).
   */
  withheld(
    key: RepositoryKey,
    wanted: readonly WantedContent[],
    signal: AbortSignal,
  ): Promise<readonly Digest[]>;
  /** Descriptors of the referrers of a subject, as its repository's upstream last listed them; none when it was not asked. */
  referrers(
    key: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]>;
  /**
   * Takes content in; it is verified before it can be seen. `present`: it was here, and the body was not read.
   * No room: an error that says how much is missing.
   */
  add(
    content: NewContent,
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<'added' | 'present'>;
  /**
   * That a repository holds an image whose manifest is stored, what it lists (see `isAlone`), and what its tags mean as of
   * `checkedAt`: a tag that its upstream was asked for later here stays. A manifest with a subject joins the subject's referrers.
   */
  addImage(image: NewImage, signal: AbortSignal): Promise<'added' | 'present'>;
}
