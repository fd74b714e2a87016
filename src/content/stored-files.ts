import { basename, join, relative } from 'node:path';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { ContentError, contentErrorFrom, errorCode } from './content-error.ts';
import type { StoredFile, StoredSlice } from './content-store.ts';
import type { DirectoryEntry, FileSystem } from './file-system.ts';
import type { ContentPaths } from './paths.ts';

/** Files in a slice at most: what is held in memory at a time, and looked up in the index at once. */
const SLICE_FILES = 256;
/** `stat` calls at once; the threads that do them also serve readers. */
const CONCURRENT_STATS = 2;

/** What lies where content is kept, as the directories tell it. */
export class StoredFiles {
  readonly #fileSystem: FileSystem;
  readonly #paths: ContentPaths;

  constructor(fileSystem: FileSystem, paths: ContentPaths) {
    this.#fileSystem = fileSystem;
    this.#paths = paths;
  }

  /** See ContentStore. */
  async find(digest: Digest): Promise<StoredFile | undefined> {
    const facts = await this.#stat(this.#paths.file(digest));
    if (facts === undefined) return undefined;
    if (facts.kind !== 'file') throw new ContentError('damaged', 'there is no file but something else');
    return { digest, sizeBytes: facts.sizeBytes, modifiedAt: facts.modifiedAt };
  }

  /** See ContentStore. */
  async *list(signal: AbortSignal): AsyncIterable<StoredSlice> {
    const strays = await this.#namesIn(this.#paths.root, ({ name }) => !this.#isKnown(name), signal);
    if (strays.length > 0) yield { files: [], strays };
    for (const { algorithm, directory } of this.#paths.algorithms) {
      const shards: string[] = [];
      for await (const entry of this.#entries(directory, signal)) {
        if (isShard(entry)) shards.push(join(directory, entry.name));
        else yield { files: [], strays: [this.#below(join(directory, entry.name))] };
      }
      for (const shard of shards) yield* this.#listShard(algorithm, shard, signal);
    }
  }

  async *#listShard(
    algorithm: DigestAlgorithm,
    shard: string,
    signal: AbortSignal,
  ): AsyncIterable<StoredSlice> {
    let digests: Digest[] = [];
    let strays: string[] = [];
    for await (const { name, kind } of this.#entries(shard, signal)) {
      const digest = kind === 'file' ? this.#paths.digest(algorithm, basename(shard), name) : undefined;
      if (digest === undefined) strays.push(this.#below(join(shard, name)));
      else digests.push(digest);
      if (digests.length + strays.length < SLICE_FILES) continue;
      yield { files: await this.#stated(digests, signal), strays };
      digests = [];
      strays = [];
    }
    if (digests.length + strays.length > 0) yield { files: await this.#stated(digests, signal), strays };
  }

  /** Those that are still there. */
  async #stated(digests: readonly Digest[], signal: AbortSignal): Promise<readonly StoredFile[]> {
    const files: StoredFile[] = [];
    for (let at = 0; at < digests.length; at += CONCURRENT_STATS) {
      signal.throwIfAborted();
      const some = digests.slice(at, at + CONCURRENT_STATS);
      const found = await Promise.all(some.map((digest) => this.find(digest)));
      files.push(...found.filter((file) => file !== undefined));
    }
    return files;
  }

  async #namesIn(
    directory: string,
    isWanted: (entry: DirectoryEntry) => boolean,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const names: string[] = [];
    for await (const entry of this.#entries(directory, signal)) if (isWanted(entry)) names.push(entry.name);
    return names;
  }

  /** None when there is no such directory. */
  async *#entries(directory: string, signal: AbortSignal): AsyncIterable<DirectoryEntry> {
    signal.throwIfAborted();
    try {
      for await (const entry of this.#fileSystem.readDirectory(directory)) {
        yield entry;
        signal.throwIfAborted();
      }
    } catch (cause) {
      if (signal.aborted) throw signal.reason as Error;
      if (errorCode(cause) !== 'ENOENT') throw contentErrorFrom(cause, 'listing content');
    }
  }

  #isKnown(name: string): boolean {
    return this.#paths.isOwn(name) || this.#paths.isLeftover(name);
  }

  #below(path: string): string {
    return relative(this.#paths.root, path);
  }

  async #stat(path: string) {
    try {
      return await this.#fileSystem.stat(path);
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return undefined;
      throw contentErrorFrom(cause, 'looking for content');
    }
  }
}

function isShard({ name, kind }: DirectoryEntry): boolean {
  return kind === 'directory' && /^[0-9a-f]{2}$/.test(name);
}
