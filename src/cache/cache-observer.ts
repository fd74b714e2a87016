import { ContentError } from '../content/content-error.ts';
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

/** What fails while something is read may be about that file alone; `onGeneral` is told of what is everybody's. */
export function readingObserver(observer: CacheObserver, onGeneral: (cause: unknown) => void): CacheObserver {
  return {
    ...observer,
    cacheFailure: (where, cause) => {
      observer.cacheFailure(where, cause);
      const isGeneral = cause instanceof ContentError && cause.reason === 'exhausted';
      if (where === 'metadata' || isGeneral) onGeneral(cause);
    },
  };
}
