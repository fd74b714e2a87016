import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';
import type { Content } from './content.ts';
import { ContentError, contentErrorFrom, errorCode } from './content-error.ts';
import type { ContentStore, StoredFile, StoredSlice, StoreSpace } from './content-store.ts';
import { DiskIngest } from './disk-ingest.ts';
import { readExactly } from './exact-read.ts';
import { assertUnchanged, closeRead, FileContent, openFile } from './file-content.ts';
import { type FileHandle, type FileSystem, diskFileSystem } from './file-system.ts';
import { verifyFile } from './file-verification.ts';
import type { HashWorkers } from './hash-workers.ts';
import type { Ingest } from './ingest.ts';
import { removeLeftovers, setLeftoversAside } from './leftovers.ts';
import { ContentPaths } from './paths.ts';
import { Publisher } from './publisher.ts';
import { Quarantine, type QuarantineLimits } from './quarantine.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { SlabPool } from './slabs.ts';
import { StoredFiles } from './stored-files.ts';
import { Temporaries, type Temporary } from './temporaries.ts';

/** Network file systems call the size of their transfers a block, up to 1 MiB; nothing allocates in such pieces. */
const BLOCK_LIMIT_BYTES = 64 * 1024;
const USUAL_BLOCK_BYTES = 4096;

export interface DiskContentStoreParts {
  readonly hashes: HashWorkers;
  readonly slabs: SlabPool;
  readonly buffers: ReadBuffers;
  readonly fileSystem?: FileSystem;
  readonly quarantineLimits?: QuarantineLimits;
}

/** What opening finds out. */
interface Opened {
  readonly paths: ContentPaths;
  readonly fileSystem: FileSystem;
  readonly quarantine: Quarantine;
  readonly blockBytes: number;
  readonly leftovers: readonly string[];
}

/** Content as files, one per digest (see ContentPaths). The caller holds the data directory's lock. */
export class DiskContentStore implements ContentStore {
  readonly #paths: ContentPaths;
  readonly #parts: DiskContentStoreParts;
  readonly #fileSystem: FileSystem;
  readonly #publisher: Publisher;
  readonly #temporaries: Temporaries;
  readonly #files: StoredFiles;
  readonly #quarantine: Quarantine;
  readonly #blockBytes: number;
  readonly #ending = new AbortController();
  #sweeping: Promise<void> = Promise.resolve();

  /**
   * Makes the directories. What an earlier process left on its way in is removed in the background. A disk that is full
   * does not keep it from opening: what is stored can be served, and removed.
   * @throws ContentError
   */
  static async open(dataDir: string, parts: DiskContentStoreParts): Promise<DiskContentStore> {
    const paths = new ContentPaths(dataDir);
    const fileSystem = parts.fileSystem ?? diskFileSystem;
    try {
      await fileSystem.makeDirectory(paths.root);
      const leftovers = await setLeftoversAside(fileSystem, paths);
      await unlessFull(fileSystem.makeDirectory(paths.ingest));
      for (const directory of paths.ancestors) await fileSystem.syncDirectory(directory);
      const { blockBytes } = await fileSystem.space(paths.root);
      const quarantine = await Quarantine.open(fileSystem, paths.quarantine, parts.quarantineLimits);
      const store = new DiskContentStore(parts, { paths, fileSystem, quarantine, blockBytes, leftovers });
      await unlessFull(store.probe());
      store.#sweeping = removeLeftovers(fileSystem, leftovers, store.#ending.signal);
      return store;
    } catch (cause) {
      throw contentErrorFrom(cause, `preparing ${paths.root}`);
    }
  }

  private constructor(parts: DiskContentStoreParts, opened: Opened) {
    const { paths, fileSystem, quarantine, blockBytes } = opened;
    this.#paths = paths;
    this.#parts = parts;
    this.#fileSystem = fileSystem;
    this.#publisher = new Publisher(fileSystem, paths.root);
    this.#temporaries = new Temporaries(fileSystem, paths.ingest);
    this.#files = new StoredFiles(fileSystem, paths);
    this.#quarantine = quarantine;
    this.#blockBytes = blockBytes > 0 && blockBytes <= BLOCK_LIMIT_BYTES ? blockBytes : USUAL_BLOCK_BYTES;
  }

  async open(digest: Digest, sizeBytes: number): Promise<Content | undefined> {
    const file = await openFile(this.#fileSystem, this.#paths.file(digest), sizeBytes);
    return file && new FileContent(file, this.#fileSystem, this.#parts.buffers);
  }

  async readWhole(digest: Digest, sizeBytes: number): Promise<Buffer | undefined> {
    const file = await openFile(this.#fileSystem, this.#paths.file(digest), sizeBytes);
    if (file === undefined) return undefined;
    try {
      const bytes = Buffer.allocUnsafeSlow(sizeBytes);
      await readExactly(this.#fileSystem, file.handle, bytes, sizeBytes, 0);
      await assertUnchanged(this.#fileSystem, file);
      return bytes;
    } catch (cause) {
      throw contentErrorFrom(cause, 'reading content');
    } finally {
      await closeRead(this.#fileSystem, file.handle);
    }
  }

  async ingest(digest: Digest, sizeBytes: number | undefined): Promise<Ingest> {
    try {
      return this.#newIngest(digest, sizeBytes, await this.#temporaries.create());
    } catch (cause) {
      throw contentErrorFrom(cause, 'beginning to store content');
    }
  }

  ingestNowhere(digest: Digest, sizeBytes: number | undefined): Ingest {
    return this.#newIngest(digest, sizeBytes, undefined);
  }

  #newIngest(digest: Digest, sizeBytes: number | undefined, temporary: Temporary | undefined): Ingest {
    const { hashes, slabs, buffers } = this.#parts;
    return new DiskIngest({
      digest,
      temporary,
      target: this.#paths.file(digest),
      fileSystem: this.#fileSystem,
      hash: hashes.start(digestAlgorithm(digest), sizeBytes),
      slabs,
      buffers,
      publisher: this.#publisher,
      temporaries: this.#temporaries,
    });
  }

  async put(digest: Digest, bytes: Uint8Array): Promise<void> {
    const target = this.#paths.file(digest);
    await this.#withTemporary('storing content', bytes, async (file, path) => {
      await this.#publisher.publish(file, path, target);
      return 'moved';
    });
  }

  async probe(): Promise<void> {
    const written = Buffer.from(randomUUID());
    await this.#withTemporary('probing the content store', written, async (file) => {
      await this.#publisher.sync(file);
      const read = Buffer.alloc(written.length);
      await readExactly(this.#fileSystem, file, read, read.length, 0);
      if (!read.equals(written)) throw new ContentError('damaged', 'a file read back otherwise than written');
      return 'stayed';
    });
  }

  /** Makes a file, and removes it unless it was moved. */
  async #withTemporary(
    doing: string,
    bytes: Uint8Array,
    use: (file: FileHandle, path: string) => Promise<'moved' | 'stayed'>,
  ): Promise<void> {
    try {
      const { file, path } = await this.#temporaries.create();
      let place: 'moved' | 'stayed' = 'stayed';
      try {
        await this.#writeWhole(file, bytes);
        place = await use(file, path);
      } finally {
        try {
          await this.#fileSystem.close(file);
        } finally {
          if (place === 'stayed') await this.#temporaries.remove(path);
        }
      }
    } catch (cause) {
      throw contentErrorFrom(cause, doing);
    }
  }

  async #writeWhole(file: FileHandle, bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.subarray(done);
      const written = await this.#fileSystem.write(file, rest, rest.length, done);
      if (written === 0) throw new ContentError('io', 'a write wrote nothing');
      done += written;
    }
  }

  async delete(digest: Digest): Promise<boolean> {
    const path = this.#paths.file(digest);
    try {
      await this.#fileSystem.unlink(path);
      this.#publisher.removed(path);
      return true;
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') {
        this.#publisher.resolved(path);
        return false;
      }
      this.#publisher.notRemoved(path);
      throw contentErrorFrom(cause, 'deleting content');
    }
  }

  list(signal: AbortSignal): AsyncIterable<StoredSlice> {
    return this.#files.list(signal);
  }

  find(digest: Digest): Promise<StoredFile | undefined> {
    return this.#files.find(digest);
  }

  async verify(
    digest: Digest,
    sizeBytes: number,
    signal: AbortSignal,
    onBytes?: (bytes: number) => Promise<void> | void,
  ): Promise<void> {
    const parts = { ...this.#parts, fileSystem: this.#fileSystem };
    const path = this.#paths.file(digest);
    await verifyFile(parts, { path, digest, sizeBytes }, signal, onBytes);
    // Whoever reads all of it has a row for it, or is about to write one.
    this.#publisher.resolved(path);
  }

  async quarantine(digest: Digest): Promise<boolean> {
    const label = `${digestAlgorithm(digest)}-${digestHex(digest)}`;
    const path = this.#paths.file(digest);
    try {
      const isMoved = await this.#setAside(path, label);
      if (!isMoved) this.#publisher.resolved(path);
      return isMoved;
    } catch (cause) {
      this.#publisher.notRemoved(path);
      throw cause;
    }
  }

  async quarantineStray(stray: string): Promise<boolean> {
    return this.#setAside(join(this.#paths.root, stray), 'stray');
  }

  async #setAside(path: string, label: string): Promise<boolean> {
    const isMoved = await this.#quarantine.add(path, label);
    if (isMoved) this.#publisher.removed(path);
    return isMoved;
  }

  async trimQuarantine(limitBytes: number): Promise<void> {
    await this.#quarantine.trim(limitBytes);
  }

  get quarantinedBytes(): number {
    return this.#quarantine.heldBytes;
  }

  allocatedBytes(sizeBytes: number): number {
    return Math.ceil(sizeBytes / this.#blockBytes) * this.#blockBytes;
  }

  async space(): Promise<StoreSpace> {
    try {
      const { totalBytes, freeBytes } = await this.#fileSystem.space(this.#paths.root);
      return { totalBytes, freeBytes };
    } catch (cause) {
      throw contentErrorFrom(cause, 'asking how much room there is');
    }
  }

  async capacityBytes(): Promise<number> {
    return (await this.space()).totalBytes;
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#sweeping;
    try {
      // The index is about to say that files and rows agree: what was removed must not come back after a power cut.
      await this.#publisher.settle();
    } catch (cause) {
      throw contentErrorFrom(cause, 'closing the content store');
    }
  }
}

async function unlessFull(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (cause) {
    const failure = contentErrorFrom(cause, 'preparing');
    if (failure.reason !== 'no-space') throw failure;
  }
}
