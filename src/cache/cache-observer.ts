import type { Digest } from '../oci/digest.ts';

/** What the cache tells whoever counts and logs. Calls must not throw. */
export interface CacheObserver {
  /** Wrong or missing bytes: in a fill, when opening or reading a file, in a manifest. */
  integrityFailure(where: 'fill' | 'open' | 'read' | 'manifest', digest: Digest, cause: unknown): void;
  /** Something was served uncached because the store or the index could not do its part. */
  cacheFailure(where: 'content' | 'metadata', cause: unknown): void;
  evicted(blobs: number, bytes: number): void;
}
