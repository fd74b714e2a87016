import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { OutputError, outputErrorFrom } from './output-error.ts';
import { partialName, publish } from './partial-name.ts';

/** Two of them: one is filled while the other is written. */
const BUFFER_BYTES = 1024 * 1024;

/** A file that grows under another name. */
export class PartialFile {
  readonly path: string;
  readonly #writtenAs: string;
  readonly #handle: FileHandle;
  #filling = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #spare = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #filled = 0;
  #written = 0;
  #writing: Promise<void> = Promise.resolve();
  #isOver = false;

  /** @param writtenAs until it is published @throws OutputError */
  static async create(path: string, writtenAs = partialName(path)): Promise<PartialFile> {
    try {
      return new PartialFile(path, writtenAs, await open(writtenAs, 'wx', 0o644));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
        throw new OutputError('exists', `${writtenAs}: another export writes it`, { cause });
      throw outputErrorFrom(cause, path);
    }
  }

  private constructor(path: string, writtenAs: string, handle: FileHandle) {
    this.path = path;
    this.#writtenAs = writtenAs;
    this.#handle = handle;
  }

  get sizeBytes(): number {
    return this.#written + this.#filled;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const piece = bytes.subarray(done, done + BUFFER_BYTES - this.#filled);
      this.#filling.set(piece, this.#filled);
      this.#filled += piece.length;
      done += piece.length;
      if (this.#filled === BUFFER_BYTES) await this.#flush();
    }
  }

  /** All of it is on the disk, under the name that it had. */
  async complete(): Promise<void> {
    await this.#flush();
    await this.#guarded(async () => {
      await this.#writing;
      await this.#handle.sync();
      // A run that took this one for an interrupted one took its file away.
      const named = await stat(this.#writtenAs).catch(() => undefined);
      const own = await this.#handle.stat();
      await this.#handle.close();
      this.#isOver = true;
      if (own.ino !== named?.ino)
        throw new OutputError('exists', `${this.#writtenAs}: another export has written it`);
    });
  }

  /** After `complete`. */
  publish(): Promise<void> {
    return this.#guarded(() => publish(this.#writtenAs, this.path));
  }

  /** Until `publish`. Never fails. */
  async abandon(): Promise<void> {
    await this.#writing.catch(() => undefined);
    if (!this.#isOver) await this.#handle.close().catch(() => undefined);
    this.#isOver = true;
    await rm(this.#writtenAs, { force: true }).catch(() => undefined);
  }

  async #flush(): Promise<void> {
    await this.#guarded(() => this.#writing);
    const full = this.#filling.subarray(0, this.#filled);
    const position = this.#written;
    this.#written += full.length;
    this.#filled = 0;
    [this.#filling, this.#spare] = [this.#spare, this.#filling];
    this.#writing = this.#put(full, position);
    // It is awaited before the next; until then a failure must not count as unhandled.
    this.#writing.catch(() => undefined);
  }

  async #put(bytes: Buffer, position: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
      done += bytesWritten;
    }
  }

  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      throw outputErrorFrom(cause, this.path);
    }
  }
}
