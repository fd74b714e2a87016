import type { Chunk, Content } from './content.ts';
import { ContentError, contentErrorFrom, errorCode } from './content-error.ts';
import { readExactly } from './exact-read.ts';
import type { FileFacts, FileHandle, FileSystem } from './file-system.ts';
import type { ReadBuffers } from './read-buffers.ts';
import type { RestingFile } from './resting-file.ts';

/** A file that is being read, and what it was when that began. */
export interface OpenedFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly facts: FileFacts;
}

/** `undefined` when there is none. @throws ContentError `damaged` when it is not a file of this size */
export async function openFile(
  fileSystem: FileSystem,
  path: string,
  sizeBytes: number,
): Promise<OpenedFile | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await fileSystem.open(path, 'r');
    const facts = await fileSystem.statFile(handle);
    if (facts.kind !== 'file') throw new ContentError('damaged', 'there is no file but something else');
    if (facts.sizeBytes !== sizeBytes)
      throw new ContentError('damaged', 'the file has another size than the index says');
    return { path, handle, facts };
  } catch (cause) {
    if (handle !== undefined) await closeRead(fileSystem, handle);
    if (errorCode(cause) === 'ENOENT') return undefined;
    throw contentErrorFrom(cause, 'opening content');
  }
}

/** Closing a file that was only read has nothing to tell. */
export async function closeRead(fileSystem: FileSystem, handle: FileHandle): Promise<void> {
  await fileSystem.close(handle).catch(() => undefined);
}

/**
 * To be asked after the last byte was read: whoever writes into a file, or cuts it, while it is read, or puts back an
 * older state of it, leaves it with another size or time.
 * @throws ContentError `damaged`
 */
export async function assertUnchanged(fileSystem: FileSystem, { handle, facts }: OpenedFile): Promise<void> {
  const now = await fileSystem.statFile(handle);
  if (now.sizeBytes !== facts.sizeBytes || now.modifiedAt !== facts.modifiedAt)
    throw new ContentError('damaged', 'the file was changed while it was read');
}

/** Content at rest in a file. */
export class FileContent implements Content {
  readonly sizeBytes: number;
  readonly #file: OpenedFile;
  readonly #fileSystem: FileSystem;
  readonly #buffers: ReadBuffers;

  /** Takes the file over. */
  constructor(file: OpenedFile, fileSystem: FileSystem, buffers: ReadBuffers) {
    this.#file = file;
    this.sizeBytes = file.facts.sizeBytes;
    this.#fileSystem = fileSystem;
    this.#buffers = buffers;
  }

  async read(position: number, limitBytes: number, signal: AbortSignal): Promise<Chunk> {
    signal.throwIfAborted();
    const buffer = this.#buffers.take(Math.min(limitBytes, this.sizeBytes - position));
    const { length } = buffer.bytes;
    try {
      await readExactly(this.#fileSystem, this.#file.handle, buffer.bytes, length, position);
      if (position + length === this.sizeBytes) await assertUnchanged(this.#fileSystem, this.#file);
      return buffer.chunk(length);
    } catch (cause) {
      buffer.release();
      throw contentErrorFrom(cause, 'reading content');
    }
  }

  atRest(): RestingFile {
    const { path, facts } = this.#file;
    return { path, sizeBytes: this.sizeBytes, modifiedAt: facts.modifiedAt };
  }

  close(): void {
    void closeRead(this.#fileSystem, this.#file.handle);
  }
}
