import type { CacheObserver } from '../cache/cache-observer.ts';
import type { Digest } from '../oci/digest.ts';

/** What the pull-through tells whoever counts and logs. Calls must not throw. */
export interface PullThroughObserver extends CacheObserver {
  /** A broken transfer goes on where it broke. `cause` says what broke it. */
  fillResumed(digest: Digest, cause: unknown): void;
  /** A fill ended without its content: nothing was cached. */
  fillFailed(digest: Digest, cause: unknown): void;
  /** The upstream moved a tag. */
  tagMoved(upstream: string, repository: string, tag: string, from: Digest, to: Digest): void;
}
