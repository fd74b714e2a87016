import type { Digest } from '../oci/digest.ts';

/** What the pull-through tells whoever counts and logs. Calls must not throw. */
export interface PullThroughObserver {
  /** A broken transfer goes on where it broke. `cause` says what broke it. */
  fillResumed(digest: Digest, cause: unknown): void;
  /** A fill ended without its content: nothing was cached. */
  fillFailed(digest: Digest, cause: unknown): void;
  /** Wrong or missing bytes: in a fill, when opening or reading a file, in a manifest. */
  integrityFailure(where: 'fill' | 'open' | 'read' | 'manifest', digest: Digest, cause: unknown): void;
  /** Something was served uncached because the store or the index could not do its part. */
  cacheFailure(where: 'content' | 'metadata', cause: unknown): void;
  evicted(blobs: number, bytes: number): void;
  /** The upstream moved a tag. */
  tagMoved(upstream: string, repository: string, tag: string, from: Digest, to: Digest): void;
}
