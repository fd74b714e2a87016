import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';

/**
 * Manifests and small blobs by digest, verified, those that were asked for last; bounded in bytes. Says nothing of who
 * may have them, nor of what is stored.
 */
export class ContentMemory {
  readonly #bytes: LRUCache<Digest, Buffer>;

  constructor(limitBytes: number) {
    this.#bytes = new LRUCache({ maxSize: limitBytes, sizeCalculation: (bytes) => bytes.length + 256 });
  }

  get(digest: Digest): Buffer | undefined {
    return this.#bytes.get(digest);
  }

  has(digest: Digest): boolean {
    return this.#bytes.has(digest);
  }

  put(digest: Digest, bytes: Buffer): void {
    this.#bytes.set(digest, bytes);
  }

  forget(digest: Digest): void {
    this.#bytes.delete(digest);
  }
}
