import assert from 'node:assert/strict';
import { type Digest, digestAlgorithm } from '../oci/digest.ts';
import type { Chunk } from './content.ts';
import { ContentError, contentErrorFrom } from './content-error.ts';
import { readExactly } from './exact-read.ts';
import type { FileSystem } from './file-system.ts';
import type { HashJob } from './hash-workers.ts';
import type { Ingest } from './ingest.ts';
import { Intervals } from './intervals.ts';
import type { Publisher } from './publisher.ts';
import type { ReadBuffers } from './read-buffers.ts';
import { type Slab, SLAB_BYTES, type SlabPool } from './slabs.ts';
import type { Temporaries, Temporary } from './temporaries.ts';

/** Slabs that one ingest may leave waiting for its hash, so that slow hashing holds up this fill and no other. */
const HASH_BACKLOG_SLABS = 4;

export interface DiskIngestParts {
  readonly digest: Digest;
  /** Absent: nothing is stored, bytes are only hashed. */
  readonly temporary: Temporary | undefined;
  readonly target: string;
  readonly fileSystem: FileSystem;
  readonly hash: HashJob;
  readonly slabs: SlabPool;
  readonly buffers: ReadBuffers;
  readonly publisher: Publisher;
  readonly temporaries: Temporaries;
}

/** An ingest into a file beside its final place. */
export class DiskIngest implements Ingest {
  readonly stored = new Intervals();
  readonly #parts: DiskIngestParts;
  readonly #ending = new AbortController();
  /** All before this position was given to the hash. */
  #hashed = 0;
  #backlog = new Set<Promise<void>>();
  #catchUp: Promise<void> | undefined;
  #failure: ContentError | undefined;
  #storeFailure: ContentError | undefined;
  /** Bytes on their way to the disk, or to the hash when the disk does not take them. */
  readonly #writes = new Set<Promise<void>>();
  #isCommitted = false;

  constructor(parts: DiskIngestParts) {
    this.#parts = parts;
    if (parts.temporary === undefined)
      this.#storeFailure = new ContentError('no-space', 'there is no room to store it');
  }

  get storeFailure(): ContentError | undefined {
    return this.#storeFailure;
  }

  stopStoring(reason: ContentError): void {
    this.#storeFailure ??= reason;
  }

  async write(slab: Slab, length: number, position: number): Promise<boolean> {
    const isFront = position === this.#hashed && this.#catchUp === undefined;
    if (isFront) this.#hash(slab, length);
    const keeping = this.#keep(slab, length, position, isFront);
    const over = (): void => void this.#writes.delete(write);
    const write = keeping.then(over, over);
    this.#writes.add(write);
    const isStored = await keeping;
    this.#startCatchUp();
    while (this.#backlog.size >= HASH_BACKLOG_SLABS) await Promise.race(this.#backlog);
    if (this.#failure !== undefined) throw this.#failure;
    return isStored;
  }

  async #keep(slab: Slab, length: number, position: number, isHashed: boolean): Promise<boolean> {
    const isStored = this.#storeFailure === undefined && (await this.#store(slab, length, position));
    if (!isStored && !isHashed) await this.#hashInOrder(slab, length, position);
    return isStored;
  }

  async #store(slab: Slab, length: number, position: number): Promise<boolean> {
    const { temporary, fileSystem } = this.#parts;
    if (temporary === undefined) return false;
    slab.retain();
    try {
      for (let done = 0; done < length;) {
        const rest = done === 0 ? slab.bytes : slab.bytes.subarray(done);
        const written = await fileSystem.write(temporary.file, rest, length - done, position + done);
        if (written === 0) throw new ContentError('io', 'a write wrote nothing');
        done += written;
      }
      this.stored.add(position, position + length);
      return true;
    } catch (cause) {
      // Whatever the disk's trouble is, the pull goes on: readers get these bytes from memory.
      this.#storeFailure ??= contentErrorFrom(cause, 'storing content');
      return false;
    } finally {
      slab.release();
    }
  }

  async #hashInOrder(slab: Slab, length: number, position: number): Promise<void> {
    slab.retain();
    try {
      this.#startCatchUp();
      await this.#catchUp;
      if (position !== this.#hashed)
        throw new ContentError('no-space', 'bytes out of order cannot be stored');
      this.#hash(slab, length);
    } finally {
      slab.release();
    }
  }

  #hash(slab: Slab, length: number): void {
    this.#hashed += length;
    const work = this.#parts.hash.update(slab, length).then(
      () => void this.#backlog.delete(work),
      (cause: unknown) => {
        this.#backlog.delete(work);
        this.#failure ??= new ContentError('io', 'hashing failed', { cause });
      },
    );
    this.#backlog.add(work);
  }

  /** Reads back what landed ahead of the front, once the front has reached it. */
  #startCatchUp(): void {
    if (this.#catchUp !== undefined || this.stored.endAt(this.#hashed) === this.#hashed) return;
    this.#catchUp = this.#runCatchUp()
      .catch((cause: unknown) => {
        this.#failure ??= contentErrorFrom(cause, 'reading back for the hash');
      })
      .finally(() => {
        this.#catchUp = undefined;
      });
  }

  async #runCatchUp(): Promise<void> {
    const { temporary, fileSystem, slabs } = this.#parts;
    if (temporary === undefined) return;
    for (;;) {
      const length = Math.min(this.stored.endAt(this.#hashed) - this.#hashed, SLAB_BYTES);
      if (length === 0) return;
      const slab = await slabs.acquire(this.#ending.signal);
      try {
        await readExactly(fileSystem, temporary.file, slab.bytes, length, this.#hashed);
        this.#hash(slab, length);
      } finally {
        slab.release();
      }
      while (this.#backlog.size >= HASH_BACKLOG_SLABS) await Promise.race(this.#backlog);
    }
  }

  async read(position: number, limitBytes: number): Promise<Chunk> {
    const { temporary, fileSystem, buffers } = this.#parts;
    const available = Math.min(this.stored.endAt(position) - position, limitBytes);
    if (temporary === undefined || available <= 0)
      throw new ContentError('missing', 'these bytes are not stored');
    const buffer = buffers.take(available);
    try {
      await readExactly(fileSystem, temporary.file, buffer.bytes, buffer.bytes.length, position);
      return buffer.chunk(buffer.bytes.length);
    } catch (cause) {
      buffer.release();
      throw contentErrorFrom(cause, 'reading content on its way in');
    }
  }

  async verify(sizeBytes: number): Promise<Digest> {
    while (this.#hashed < sizeBytes && this.#failure === undefined) {
      this.#startCatchUp();
      if (this.#catchUp !== undefined) await this.#catchUp;
      // Readers have bytes at the front before the disk has: it may take longer than the hash to come there.
      else if (this.#writes.size > 0) await Promise.race(this.#writes);
      else throw new ContentError('damaged', 'not all bytes were written');
    }
    await Promise.all(this.#backlog);
    if (this.#failure !== undefined) throw this.#failure;
    const { digest, hash } = this.#parts;
    return `${digestAlgorithm(digest)}:${await hash.digest()}` as Digest;
  }

  async commit(): Promise<void> {
    const { temporary, target, publisher } = this.#parts;
    if (temporary === undefined || this.#storeFailure !== undefined) {
      throw this.#storeFailure ?? new ContentError('no-space', 'nothing was stored');
    }
    assert.equal(this.#writes.size, 0, 'an ingest is committed only when all its writes have ended');
    try {
      await publisher.publish(temporary.file, temporary.path, target);
      this.#isCommitted = true;
    } catch (cause) {
      this.#storeFailure = contentErrorFrom(cause, 'committing content');
      throw this.#storeFailure;
    }
  }

  async close(): Promise<void> {
    const { temporary, temporaries, fileSystem, hash } = this.#parts;
    this.#ending.abort(new ContentError('io', 'the ingest was closed'));
    await this.#catchUp;
    hash.drop();
    if (temporary === undefined) return;
    await fileSystem.close(temporary.file).catch(() => undefined);
    if (!this.#isCommitted) await temporaries.remove(temporary.path);
  }
}
