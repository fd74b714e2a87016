import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { errorCode } from './content-error.ts';
import type { FileHandle, FileSystem } from './file-system.ts';

/** Removals that failed and are tried again with one new file. */
const AGAIN_AT_ONCE = 16;

export interface Temporary {
  readonly file: FileHandle;
  readonly path: string;
}

/** The files on their way in. */
export class Temporaries {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  /** Paths that could not be removed: they take room that nobody counts. */
  readonly #left = new Set<string>();

  constructor(fileSystem: FileSystem, directory: string) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
  }

  /** @throws what the file system throws */
  async create(): Promise<Temporary> {
    await this.#removeLeft();
    const path = join(this.#directory, randomUUID());
    return { file: await this.#open(path), path };
  }

  /** Its directory may be missing: taken away by somebody, or never made since the disk was full. */
  async #open(path: string): Promise<FileHandle> {
    try {
      return await this.#fileSystem.open(path, 'wx+', 0o600);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT') throw cause;
    }
    await this.#fileSystem.makeDirectory(this.#directory);
    return this.#fileSystem.open(path, 'wx+', 0o600);
  }

  /** Never rejects: what cannot be removed now is tried again with later files, and at the next start. */
  async remove(path: string): Promise<void> {
    try {
      await this.#fileSystem.unlink(path);
      this.#left.delete(path);
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') this.#left.delete(path);
      else this.#left.add(path);
    }
  }

  async #removeLeft(): Promise<void> {
    for (const path of [...this.#left].slice(0, AGAIN_AT_ONCE)) await this.remove(path);
  }
}
