import type { Evicted } from '../metrics-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ConditionChange } from './store-condition.ts';

/** In a fill; when opening or reading a file; in a manifest; when files are looked through, by whom. */
export type IntegrityFailurePlace = 'fill' | 'open' | 'read' | 'manifest' | 'scrub' | 'verify' | 'reconcile';

/** What the cache tells whoever counts and logs. Calls must not throw. */
export interface CacheObserver {
  /** Wrong or missing bytes. */
  integrityFailure(where: IntegrityFailurePlace, digest: Digest, cause: unknown): void;
  /** Something was served uncached because the store or the index could not do its part. */
  cacheFailure(where: 'content' | 'metadata', cause: unknown): void;
  /** Told of some at a time. */
  evicted(evicted: Evicted): void;
  /** The store can no longer do its work, or can again. Once for each change. */
  conditionChanged(change: ConditionChange): void;
}
