import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { type Digest, digestAlgorithm } from '../oci/digest.ts';
import type { Content } from './content.ts';
import { ContentError, contentErrorFrom, errorCode } from './content-error.ts';
import type { ContentStore } from './content-store.ts';
import { DiskIngest, publish, readExactly } from './disk-ingest.ts';
import { diskFileSystem, type FileHandle, type FileSystem } from './file-system.ts';
import type { HashWorkers } from './hash-workers.ts';
import type { Ingest } from './ingest.ts';
import { ContentPaths } from './paths.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SlabPool } from './slabs.ts';

/** More fsyncs at once would take every thread of the pool that all file I/O shares, and the disk is no faster for it. */
const CONCURRENT_SYNCS = 2;

export interface DiskContentStoreParts {
  readonly hashes: HashWorkers;
  readonly slabs: SlabPool;
  readonly buffers: ReadBuffers;
  readonly fileSystem?: FileSystem;
}

/** Content as files, one per digest (see ContentPaths). The caller holds the data directory's lock. */
export class DiskContentStore implements ContentStore {
  readonly #paths: ContentPaths;
  readonly #parts: DiskContentStoreParts;
  readonly #fileSystem: FileSystem;
  readonly #syncs = pLimit(CONCURRENT_SYNCS);

  /** Makes the directories, and removes what an earlier process left on its way in. @throws ContentError */
  static async open(dataDir: string, parts: DiskContentStoreParts): Promise<DiskContentStore> {
    const store = new DiskContentStore(dataDir, parts);
    try {
      await store.#fileSystem.removeTree(store.#paths.ingest);
      await store.#fileSystem.makeDirectory(store.#paths.ingest);
      await store.probe();
    } catch (cause) {
      throw contentErrorFrom(cause, `preparing ${store.#paths.root}`);
    }
    return store;
  }

  private constructor(dataDir: string, parts: DiskContentStoreParts) {
    this.#paths = new ContentPaths(dataDir);
    this.#parts = parts;
    this.#fileSystem = parts.fileSystem ?? diskFileSystem;
  }

  async open(digest: Digest, sizeBytes: number): Promise<Content | undefined> {
    const file = await this.#openFile(digest, sizeBytes);
    return file && new FileContent(file, sizeBytes, this.#fileSystem, this.#parts.buffers);
  }

  async readWhole(digest: Digest, sizeBytes: number): Promise<Buffer | undefined> {
    const file = await this.#openFile(digest, sizeBytes);
    if (file === undefined) return undefined;
    try {
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      await readExactly(this.#fileSystem, file, bytes, sizeBytes, 0);
      return bytes;
    } catch (cause) {
      throw contentErrorFrom(cause, 'reading content');
    } finally {
      await file.close();
    }
  }

  async #openFile(digest: Digest, sizeBytes: number): Promise<FileHandle | undefined> {
    let file: FileHandle | undefined;
    try {
      file = await this.#fileSystem.open(this.#paths.file(digest), 'r');
      const facts = await file.stat();
      if (facts.isFile() && facts.size === sizeBytes) return file;
    } catch (cause) {
      await file?.close();
      if (errorCode(cause) === 'ENOENT') return undefined;
      throw contentErrorFrom(cause, 'opening content');
    }
    await file.close();
    throw new ContentError('damaged', 'the file has another size than the index says');
  }

  async ingest(digest: Digest, sizeBytes: number | undefined): Promise<Ingest> {
    const path = join(this.#paths.ingest, randomUUID());
    try {
      const file = await this.#fileSystem.open(path, 'wx+', 0o600);
      return this.#newIngest(digest, sizeBytes, { file, path });
    } catch (cause) {
      throw contentErrorFrom(cause, 'beginning to store content');
    }
  }

  ingestNowhere(digest: Digest, sizeBytes: number | undefined): Ingest {
    return this.#newIngest(digest, sizeBytes, undefined);
  }

  #newIngest(
    digest: Digest,
    sizeBytes: number | undefined,
    temporary: { file: FileHandle; path: string } | undefined,
  ): Ingest {
    const { hashes, slabs, buffers } = this.#parts;
    return new DiskIngest({
      digest,
      temporary,
      target: this.#paths.file(digest),
      fileSystem: this.#fileSystem,
      hash: hashes.start(digestAlgorithm(digest), sizeBytes),
      slabs,
      buffers,
      syncs: this.#syncs,
    });
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const path = join(this.#paths.ingest, randomUUID());
    try {
      await this.#writeWhole(path, bytes);
      await publish(this.#fileSystem, path, this.#paths.file(digest));
    } catch (cause) {
      await this.#fileSystem.unlink(path).catch(() => undefined);
      throw contentErrorFrom(cause, 'storing content');
    }
  }

  async #writeWhole(path: string, bytes: Uint8Array): Promise<void> {
    const file = await this.#fileSystem.open(path, 'wx+', 0o600);
    try {
      for (let done = 0; done < bytes.length;) {
        const rest = bytes.subarray(done);
        const written = await this.#fileSystem.write(file, rest, rest.length, done);
        if (written === 0) throw new ContentError('io', 'a write wrote nothing');
        done += written;
      }
      await this.#syncs(() => this.#fileSystem.sync(file));
    } finally {
      await file.close();
    }
  }

  async delete(digest: Digest): Promise<boolean> {
    try {
      await this.#fileSystem.unlink(this.#paths.file(digest));
      return true;
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return false;
      throw contentErrorFrom(cause, 'deleting content');
    }
  }

  async capacityBytes(): Promise<number> {
    return this.#fileSystem.capacityBytes(this.#paths.root);
  }

  async probe(): Promise<void> {
    const path = join(this.#paths.ingest, `probe-${randomUUID()}`);
    const written = Buffer.from(path);
    try {
      await this.#writeWhole(path, written);
      const file = await this.#fileSystem.open(path, 'r');
      try {
        const read = Buffer.alloc(written.length);
        await readExactly(this.#fileSystem, file, read, read.length, 0);
        if (!read.equals(written))
          throw new ContentError('damaged', 'a file read back otherwise than written');
      } finally {
        await file.close();
      }
    } catch (cause) {
      throw contentErrorFrom(cause, 'probing the content store');
    } finally {
      await this.#fileSystem.unlink(path).catch(() => undefined);
    }
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class FileContent implements Content {
  readonly sizeBytes: number;
  readonly #file: FileHandle;
  readonly #fileSystem: FileSystem;
  readonly #buffers: ReadBuffers;

  constructor(file: FileHandle, sizeBytes: number, fileSystem: FileSystem, buffers: ReadBuffers) {
    this.#file = file;
    this.sizeBytes = sizeBytes;
    this.#fileSystem = fileSystem;
    this.#buffers = buffers;
  }

  async read(position: number, limitBytes: number, signal: AbortSignal) {
    signal.throwIfAborted();
    const buffer = this.#buffers.take(Math.min(limitBytes, this.sizeBytes - position));
    try {
      await readExactly(this.#fileSystem, this.#file, buffer.bytes, buffer.bytes.length, position);
      return buffer.chunk(buffer.bytes.length);
    } catch (cause) {
      buffer.release();
      throw contentErrorFrom(cause, 'reading content');
    }
  }

  close(): void {
    // Closing a file that was only read has nothing to tell.
    this.#file.close().catch(() => undefined);
  }
}
