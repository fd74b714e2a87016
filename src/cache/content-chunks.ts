import type { Chunk, Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import { SLAB_BYTES } from '../content/slabs.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { StoreOperationError } from './store-operation-error.ts';

export interface ContentChunksParts {
  /** Closed when all of it was read, reading failed, or it is wanted no more. */
  readonly content: Content;
  readonly digest: Digest;
  readonly signal: AbortSignal;
  /** Called once. */
  readonly onClose: () => void;
}

/** Open content, a slab's length at a time. A chunk is lent until the next is asked for. */
export class ContentChunks implements AsyncIterableIterator<Uint8Array> {
  readonly #parts: ContentChunksParts;
  readonly #leave = (): void => {
    if (!this.#isBegun) this.#close();
  };
  #lent: Chunk | undefined;
  #position = 0;
  #isBegun = false;
  #isClosed = false;

  constructor(parts: ContentChunksParts) {
    this.#parts = parts;
    // Whoever asked for it and then left may never begin.
    parts.signal.addEventListener('abort', this.#leave, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const { content, signal } = this.#parts;
    this.#isBegun = true;
    this.#release();
    try {
      signal.throwIfAborted();
      if (this.#isClosed) return { done: true, value: undefined };
      if (this.#position === content.sizeBytes) {
        this.#assertNotMissed();
        this.#close();
        return { done: true, value: undefined };
      }
      const read = await content.read(this.#position, SLAB_BYTES, signal);
      if (this.#isClosed) {
        // Nobody is there any more to whom it could be lent.
        read.release();
        return { done: true, value: undefined };
      }
      this.#lent = read;
      this.#position += this.#lent.bytes.length;
      return { done: false, value: this.#lent.bytes };
    } catch (cause) {
      this.#close();
      signal.throwIfAborted();
      if (!(cause instanceof ContentError)) throw cause;
      throw new StoreOperationError('failed', `${this.#parts.digest}: ${cause.message}`, { cause });
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#close();
    return { done: true, value: undefined };
  }

  #close(): void {
    this.#release();
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { content, signal, onClose } = this.#parts;
    signal.removeEventListener('abort', this.#leave);
    content.close();
    onClose();
  }

  #release(): void {
    this.#lent?.release();
    this.#lent = undefined;
  }

  /** Of an empty file nothing is read, so nothing was hashed. */
  #assertNotMissed(): void {
    const { content, digest } = this.#parts;
    if (content.sizeBytes > 0 || digestOf(new Uint8Array(), digestAlgorithm(digest)) === digest) return;
    throw new StoreOperationError('failed', `${digest}: the file is empty`);
  }
}
