import type { CacheObserver } from '../cache/cache-observer.ts';
import type { Digest } from '../oci/digest.ts';

export interface EndedFill {
  /** `passed`: its readers had it, and it is not stored. `given-up`: nobody wanted it any more. */
  readonly outcome: 'stored' | 'passed' | 'failed' | 'given-up';
  /** Responses that it was read for, from its beginning. */
  readonly readers: number;
}

/** What the pull-through tells whoever counts and logs. Calls must not throw. */
export interface PullThroughObserver extends CacheObserver {
  /** A broken transfer goes on where it broke. `cause` says what broke it, `request` which client's request began it. */
  fillResumed(digest: Digest, cause: unknown, request?: string): void;
  /** A fill ended without its content: nothing was cached. */
  fillFailed(digest: Digest, cause: unknown, request?: string): void;
  /** A blob in flight is so no longer, for whatever reason. */
  fillEnded(fill: EndedFill): void;
  /** The upstream moved a tag. */
  tagMoved(upstream: string, repository: string, tag: string, from: Digest, to: Digest): void;
}
