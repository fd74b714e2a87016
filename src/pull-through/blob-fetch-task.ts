import type { Allowance } from './bandwidth.ts';
import type { Clock } from '../clock.ts';
import type { SlabPool } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from '../cache/blob-cache.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';
import type { BlobSource } from './segment.ts';
import type { SplitShare } from './split-shares.ts';
import type { UnstoredBudget } from './unstored-budget.ts';

/** What all fetches share. */
export interface BlobFetchParts {
  readonly clock: Clock;
  readonly cache: BlobCache;
  readonly slabs: SlabPool;
  readonly observer: PullThroughObserver;
  readonly unstoredBudget: UnstoredBudget;
  /** Read by each fill when it asks; may change while it runs. */
  readonly settings: FillSettings;
}

/** What becomes of a fill that nobody reads any more. */
export interface FillSettings {
  /** It goes on when no more than this is missing. */
  readonly finishFillBytes: number;
  /** How long it goes on before that is looked at. */
  readonly lingerMs: number;
}

/** What one fetch is for. */
export interface BlobFetchTask {
  readonly digest: Digest;
  /**
   * The size as a manifest or the upstream's HEAD says it, if known. Only a hint while the whole is fetched: the answer's
   * own length counts for more.
   */
  readonly expectedBytes: number | undefined;
  readonly source: BlobSource;
  /** Of its upstream. */
  readonly share: SplitShare;
  readonly allowance: Allowance;
  /**
   * Only what readers ask for is fetched, so many bytes, and passes by: neither stored nor verified. For probes, and
   * without room. Absent: all of the blob is fetched.
   */
  readonly passingBytes: number | undefined;
}
