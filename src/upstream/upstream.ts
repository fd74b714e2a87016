import type { Readable } from 'node:stream';
import type { Digest } from '../oci/digest.ts';
import type { ManifestFacts } from '../oci/manifest.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';

/** What an upstream says of a manifest without sending it. */
export interface ManifestHead {
  /** Absent when the upstream names none (some registries do not): then only a GET can tell. */
  readonly digest: Digest | undefined;
  readonly mediaType: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** A manifest, its digest computed from its bytes and checked against what was asked and what the header said. */
export interface ManifestDocument {
  readonly digest: Digest;
  readonly bytes: Buffer;
  readonly facts: ManifestFacts;
}

/** One response body that carries (part of) a blob. Nothing of it is verified but the framing. */
export interface BlobTransfer {
  /** Position in the blob of the body's first byte: what was asked, or 0 when the upstream ignored the range. */
  readonly start: number;
  /** Size of the whole blob, when the upstream said. */
  readonly sizeBytes: number | undefined;
  /** A strong entity tag, to be sent back as `If-Range`. */
  readonly etag: string | undefined;
  /**
   * Raw bytes in paused mode. The taker owns it: it must be read to the end or destroyed. It is destroyed with an
   * UpstreamError when the connection breaks, idles too long, or the signal given to `getBlob` aborts.
   */
  readonly body: Readable;
  /** May be called with a chunk of the body, once, when nobody looks at it any more: its memory is used again. */
  readonly giveBack: (chunk: Buffer) => void;
}

export interface BlobRange {
  readonly start: number;
  /** Exclusive; absent = to the end. */
  readonly end?: number | undefined;
  /** The size of the whole blob as far as it is known: what contradicts it is passed over where there is a choice. */
  readonly expectedBytes?: number | undefined;
  /** True: it is only asked for to be faster. One try, and a refusal (429) keeps nothing else from being asked. */
  readonly isOptional?: boolean | undefined;
  /** Sent as `If-Range`, so that a changed blob comes whole instead of in part. */
  readonly etag?: string | undefined;
}

/** How long an operation may wait out an upstream's short trouble (5xx, 429, resets) before it fails. */
export interface Patience {
  /** Default `DEFAULT_PATIENCE_MS`; 0 = one try. */
  readonly patienceMs?: number;
}

export interface ManifestOptions extends Patience {
  /** The manifest types to ask for. */
  readonly accept: readonly string[];
}

/**
 * The client side of the distribution API of one registry. Every method takes an AbortSignal, has deadlines of its own
 * besides, follows redirects, signs in and retries within its patience; all fail with UpstreamError (or the signal's
 * reason). Concurrent calls are independent: sharing equal ones is the caller's business; only tokens are shared.
 */
export interface Upstream {
  readonly name: string;

  headManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead>;

  getManifest(
    repository: RepositoryName,
    reference: Reference,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestDocument>;

  /**
   * Says that the repository holds the blob, and its size: by HEAD, or by a one-byte ranged GET where HEAD is refused or
   * has no length. `undefined`: it holds it, and does not tell the size.
   */
  headBlob(repository: RepositoryName, digest: Digest, signal: AbortSignal): Promise<number | undefined>;

  /** Resolves when the headers are there. One call = one transfer: resuming a broken body is the caller's business. */
  getBlob(
    repository: RepositoryName,
    digest: Digest,
    range: BlobRange,
    signal: AbortSignal,
  ): Promise<BlobTransfer>;

  /** Every tag, all pages, as the upstream orders them. Bounded in pages, bytes and count (`protocol` beyond). */
  listTags(repository: RepositoryName, options: Patience, signal: AbortSignal): Promise<readonly string[]>;

  /** Descriptors of all referrers, unfiltered, all pages. `not-found` when the upstream has no referrers API. */
  listReferrers(
    repository: RepositoryName,
    digest: Digest,
    options: Patience,
    signal: AbortSignal,
  ): Promise<readonly Record<string, unknown>[]>;

  /** Told when the bytes that came for this digest turned out to have another one: whoever sent them is not to be asked again soon, where there is a choice. */
  blobWasWrong(digest: Digest): void;

  /** Ends all connections. Calls in flight fail. */
  close(): Promise<void>;
}
