import { createHash, type Hash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { type Digest, digestFromHash } from '../oci/digest.ts';
import type { ByteSink, WrittenFile } from './byte-sink.ts';
import { OutputError, outputErrorFrom } from './output-error.ts';
import { PartialFile } from './partial-file.ts';

/** More would be a mistake in the size, and would not be in order where names are sorted. */
const COUNT_LIMIT = 999;

/** What the parts are, put together. */
export interface WholeOfParts {
  readonly sizeBytes: number;
  readonly parts: readonly { readonly path: string; readonly sizeBytes: number; readonly digest: Digest }[];
}

export interface PartsSinkOptions {
  /** Of the whole, which is never a file: parts are `PATH.001` and so on. */
  readonly path: string;
  /** At least 1. */
  readonly maxPartBytes: number;
  /** What is written beside the parts, after all of them are there: what is said of them. */
  readonly describe: (whole: WholeOfParts) => readonly { readonly path: string; readonly text: string }[];
}

/** How a part is called; numbers begin at 1. */
export function partPath(path: string, number: number): string {
  return `${path}.${String(number).padStart(3, '0')}`;
}

/** Files of at most so many bytes, one after the other. What is said of them comes under its name last, so that a set is whole when that is there. */
export class PartsSink implements ByteSink {
  readonly #options: PartsSinkOptions;
  readonly #parts: { readonly file: PartialFile; readonly digest: Digest }[] = [];
  #current: { readonly file: PartialFile; readonly hash: Hash } | undefined;
  #sizeBytes = 0;
  #isPublished = false;

  constructor(options: PartsSinkOptions) {
    this.#options = options;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      const { file, hash } = (this.#current ??= await this.#begin());
      const piece = bytes.subarray(done, done + this.#options.maxPartBytes - file.sizeBytes);
      hash.update(piece);
      await file.write(piece);
      done += piece.length;
      this.#sizeBytes += piece.length;
      if (file.sizeBytes === this.#options.maxPartBytes) await this.#end();
    }
  }

  async finish(): Promise<readonly WrittenFile[]> {
    await this.#end();
    const parts = this.#parts.map(({ file, digest }) => {
      return { path: file.path, sizeBytes: file.sizeBytes, digest };
    });
    const whole = { sizeBytes: this.#sizeBytes, parts };
    const documents = this.#options.describe(whole);
    const described: PartialFile[] = [];
    try {
      for (const { path, text } of documents) {
        // What was said of former parts is true no more.
        await rm(path, { force: true });
        const file = await PartialFile.create(path);
        described.push(file);
        await file.write(Buffer.from(text));
        await file.complete();
      }
      for (const { file } of this.#parts) await file.publish();
      await this.#removeFormer();
      for (const file of described) await file.publish();
    } catch (cause) {
      for (const file of described) await file.abandon();
      throw outputErrorFrom(cause, this.#options.path);
    }
    this.#isPublished = true;
    return [...parts, ...described.map(({ path, sizeBytes }) => ({ path, sizeBytes }))];
  }

  async abandon(): Promise<void> {
    if (this.#isPublished) return;
    await this.#current?.file.abandon();
    for (const { file } of this.#parts) await file.abandon();
  }

  async #begin(): Promise<{ readonly file: PartialFile; readonly hash: Hash }> {
    const number = this.#parts.length + 1;
    if (number > COUNT_LIMIT)
      throw new OutputError(
        'unwritable',
        `${this.#options.path}: more than ${COUNT_LIMIT} parts: --max-part-size is too small`,
      );
    const file = await PartialFile.create(partPath(this.#options.path, number));
    return { file, hash: createHash('sha256') };
  }

  async #end(): Promise<void> {
    if (this.#current === undefined) return;
    const { file, hash } = this.#current;
    await file.complete();
    this.#parts.push({ file, digest: digestFromHash('sha256', hash) });
    this.#current = undefined;
  }

  /** Those of a former export that had more. */
  async #removeFormer(): Promise<void> {
    for (let number = this.#parts.length + 1; number <= COUNT_LIMIT; number += 1) {
      try {
        await rm(partPath(this.#options.path, number));
      } catch (cause) {
        if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return;
        throw cause;
      }
    }
  }
}
