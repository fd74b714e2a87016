import type { SlabPool } from '../content/slabs.ts';
import type { ScrubSettings } from './scrub.ts';
import type { StoreLimits } from './store-budget.ts';

/** What of the cache may change while it is used. */
export interface CacheSettings {
  readonly limits: StoreLimits;
  /** Absent: nothing is scrubbed. */
  readonly scrub?: ScrubSettings | undefined;
  /** Present: whole blobs are hashed while they are read, in slabs of this pool. */
  readonly verifyOnRead?: SlabPool | undefined;
}
