import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { WrittenFile } from './byte-sink.ts';
import type { LayoutFile, LayoutSink } from './layout-sink.ts';
import { LAYOUT_FILES } from './layout-names.ts';
import { isThere } from './file-facts.ts';
import { OutputError, outputErrorFrom } from './output-error.ts';
import { PartialFile } from './partial-file.ts';
import { partialName, syncDirectory } from './partial-name.ts';

/** A layout as a directory, which has its name once all is in it. */
export class DirectoryLayout implements LayoutSink {
  readonly #path: string;
  readonly #made = new Set<string>();
  #sizeBytes = 0;
  #isPublished = false;

  /** @throws OutputError */
  static async open(path: string): Promise<DirectoryLayout> {
    try {
      await mkdir(partialName(path));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')
        throw new OutputError('exists', `${partialName(path)}: another export writes it`, { cause });
      throw outputErrorFrom(cause, path);
    }
    return new DirectoryLayout(path);
  }

  private constructor(path: string) {
    this.#path = path;
  }

  async add(file: LayoutFile, body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    const path = join(partialName(this.#path), file.name);
    await this.#makeDirectory(dirname(path));
    const written = await PartialFile.create(path, path);
    try {
      for await (const chunk of body) await written.write(chunk);
      if (written.sizeBytes !== file.sizeBytes)
        throw new Error(`${file.name} has another length than was announced`);
      await written.complete();
    } catch (error) {
      await written.abandon();
      throw error;
    }
    this.#sizeBytes += file.sizeBytes;
  }

  /** What has the name already is taken away once this one can take its place. */
  async finish(): Promise<readonly WrittenFile[]> {
    const partial = partialName(this.#path);
    const former = formerName(this.#path);
    try {
      for (const directory of this.#made) await syncDirectory(directory);
      await rm(former, { recursive: true, force: true });
      if (await isThere(this.#path)) await rename(this.#path, former);
      await rename(partial, this.#path);
      await syncDirectory(dirname(this.#path));
      this.#isPublished = true;
      await rm(former, { recursive: true, force: true });
    } catch (cause) {
      throw outputErrorFrom(cause, this.#path);
    }
    return [{ path: this.#path, sizeBytes: this.#sizeBytes }];
  }

  async abandon(): Promise<void> {
    if (this.#isPublished) return;
    await rm(partialName(this.#path), { recursive: true, force: true }).catch(() => undefined);
  }

  async #makeDirectory(path: string): Promise<void> {
    if (this.#made.has(path)) return;
    try {
      await mkdir(path, { recursive: true });
    } catch (cause) {
      throw outputErrorFrom(cause, path);
    }
    this.#made.add(path);
  }
}

/** What has the name already is called so until it is gone; a run that was interrupted there leaves it. */
export function formerName(path: string): string {
  return `${path}.former`;
}

/** Is it a directory that an export may take the place of: a layout with nothing else in it, or an empty one? */
export async function isReplaceable(path: string): Promise<boolean> {
  const names = await readdir(path);
  return names.every((name) => LAYOUT_FILES.has(name.replace(/\.partial$/, '')));
}

/**
 * Takes a layout away, whole or not, and nothing that somebody else has given its name.
 * @throws OutputError
 */
export async function removeLayout(path: string): Promise<void> {
  if (!(await isReplaceable(path)))
    throw new OutputError('exists', `${path}: it is in the way, and no OCI layout: take it away first`);
  await rm(path, { recursive: true });
}
