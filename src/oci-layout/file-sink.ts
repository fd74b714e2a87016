import type { ByteSink, WrittenFile } from './byte-sink.ts';
import { PartialFile } from './partial-file.ts';

/** One file. */
export class FileSink implements ByteSink {
  readonly #file: PartialFile;
  #isPublished = false;

  /** @throws OutputError */
  static async open(path: string): Promise<FileSink> {
    return new FileSink(await PartialFile.create(path));
  }

  private constructor(file: PartialFile) {
    this.#file = file;
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#file.write(bytes);
  }

  async finish(): Promise<readonly WrittenFile[]> {
    const { path, sizeBytes } = this.#file;
    await this.#file.complete();
    await this.#file.publish();
    this.#isPublished = true;
    return [{ path, sizeBytes }];
  }

  async abandon(): Promise<void> {
    if (!this.#isPublished) await this.#file.abandon();
  }
}
