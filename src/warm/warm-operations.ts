import type { Platform } from '../oci/platform.ts';
import type { Reference, RepositoryName } from '../oci/reference.ts';
import type { WarmEvent } from './warm-events.ts';

/** What is to be warmed: an image, or those tags of a repository that a text selects. */
export type WarmTarget = {
  /** An upstream's name. */
  readonly upstream: string;
  readonly repository: RepositoryName;
  /** Where it was named (`FILE:LINE`), for messages. Absent: by the caller itself. */
  readonly place?: string | undefined;
} & (
  | { readonly reference: Reference }
  /** A regular expression or a range of versions (oci/tag-selection). */
  | { readonly tags: string }
);

export interface WarmRequest {
  /** `TARGET_LIMIT` at most. What is named twice is warmed once. */
  readonly targets: readonly WarmTarget[];
  /** Empty: all. */
  readonly platforms: readonly Platform[];
  /** Signatures, SBOMs and attestations too: by the referrers API and by cosign's tags. */
  readonly withReferrers: boolean;
  /** Only says what is missing; asks upstreams by HEAD alone, which costs no pull. */
  readonly dryRun: boolean;
  /** Blobs that are fetched at the same time, 1 to `CONCURRENCY_LIMIT`. Absent: `DEFAULT_CONCURRENCY`. */
  readonly concurrency?: number | undefined;
}

export const TARGET_LIMIT = 20_000;
export const DEFAULT_CONCURRENCY = 3;
export const CONCURRENCY_LIMIT = 32;

/**
 * Fills the cache before anybody asks, in this process (LocalWarming) or in the server that holds the directory.
 */
export interface WarmOperations {
  /**
   * Has all that images consist of stored. What is here and fresh is not asked for again, so running it again goes on
   * where it stopped. What fails is told of, and the rest is done; the last event is `done`. Fails as a whole with
   * StoreOperationError (the request is not one, the server cannot be reached), or with the signal's reason: what was
   * stored until then stays. Several at once are independent of each other.
   */
  warm(request: WarmRequest, signal: AbortSignal): AsyncIterable<WarmEvent>;
}
