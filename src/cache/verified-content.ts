import type { Chunk, Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { Ingest } from '../content/ingest.ts';
import { SLAB_BYTES, type SlabPool } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';

/**
 * Stored content that is hashed as it is read from its beginning to its end. The bytes with the last one among them are
 * not given out before the digest is right. What is read again is not hashed again.
 */
export class VerifiedContent implements Content {
  readonly sizeBytes: number;
  readonly #content: Content;
  readonly #digest: Digest;
  readonly #hash: Ingest;
  readonly #slabs: SlabPool;
  #hashed = 0;
  #verified: Promise<void> | undefined;

  /** Takes `content` and `hash` over; the latter only hashes. */
  constructor(content: Content, digest: Digest, hash: Ingest, slabs: SlabPool) {
    this.sizeBytes = content.sizeBytes;
    this.#content = content;
    this.#digest = digest;
    this.#hash = hash;
    this.#slabs = slabs;
  }

  /** @throws ContentError `damaged` in place of the last bytes when those of the whole are not what its digest names */
  async read(position: number, limitBytes: number, signal: AbortSignal): Promise<Chunk> {
    const chunk = await this.#content.read(position, limitBytes, signal);
    try {
      const end = position + chunk.bytes.length;
      if (position <= this.#hashed && this.#hashed < end)
        await this.#add(chunk.bytes.subarray(this.#hashed - position), signal);
      if (end === this.sizeBytes) await this.#assertDigest();
      return chunk;
    } catch (error) {
      chunk.release();
      throw error;
    }
  }

  close(): void {
    this.#content.close();
    void this.#hash.close();
  }

  async #add(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const piece = bytes.subarray(done, done + SLAB_BYTES);
      const slab = await this.#slabs.acquire(signal);
      try {
        slab.bytes.set(piece);
        await this.#hash.write(slab, piece.length, this.#hashed);
      } finally {
        slab.release();
      }
      done += piece.length;
      this.#hashed += piece.length;
    }
  }

  #assertDigest(): Promise<void> {
    this.#verified ??= this.#verify();
    return this.#verified;
  }

  async #verify(): Promise<void> {
    if (this.#hashed !== this.sizeBytes) throw new ContentError('io', 'content was not read in order');
    if ((await this.#hash.verify(this.sizeBytes)) !== this.#digest)
      throw new ContentError('damaged', 'the file holds other bytes than its digest names');
  }
}
