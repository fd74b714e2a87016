import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';

/** Victims asked for at a time. */
const BATCH = 64;

export interface Evicted {
  readonly blobs: number;
  readonly bytes: number;
}

/** Removes what was used least recently until at least `bytes` are freed or nothing is left. */
export async function evictLeastRecentlyUsed(
  metadata: MetadataStore,
  remove: (digest: Digest) => Promise<number>,
  bytes: number,
): Promise<Evicted> {
  const evicted = { blobs: 0, bytes: 0 };
  for (;;) {
    const victims = await metadata.blobs.victims({ limit: BATCH });
    let removed = 0;
    for (const { digest } of victims) {
      if (evicted.bytes >= bytes) return evicted;
      const freed = await remove(digest);
      if (freed > 0) removed += 1;
      evicted.blobs += freed > 0 ? 1 : 0;
      evicted.bytes += freed;
    }
    if (removed === 0) return evicted;
  }
}
