import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';

/** Hot manifests by digest, bounded in bytes. Says nothing of who may have them. */
export class ManifestMemory {
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
