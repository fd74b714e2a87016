import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import pLimit from 'p-limit';
import { ContentError, errorCode } from './content-error.ts';
import type { FileHandle, FileSystem } from './file-system.ts';

/** More fsyncs at once would take every thread of the pool that all file I/O shares, and the disk is no faster for it. */
const CONCURRENT_SYNCS = 2;

/** Makes files durable and gives them their final names. */
export class Publisher {
  readonly #fileSystem: FileSystem;
  readonly #turns = pLimit(CONCURRENT_SYNCS);
  readonly #asked = new WeakSet<FileHandle>();
  /** Directories whose own names are durable, and those of all above them. */
  readonly #durable: Set<string>;
  /** Directories from which a name was removed that may come back when power is cut. */
  readonly #removedFrom = new Set<string>();
  readonly #notRemoved = new Set<string>();

  /** @param root a directory whose name is durable already */
  constructor(fileSystem: FileSystem, root: string) {
    this.#fileSystem = fileSystem;
    this.#durable = new Set([root]);
  }

  /** At most once for a file: after an fsync that failed another may succeed though bytes are lost. */
  async sync(file: FileHandle): Promise<void> {
    assert.ok(!this.#asked.has(file), 'a file is synced once');
    this.#asked.add(file);
    await this.#turns(() => this.#fileSystem.sync(file));
  }

  /** To be told when a name was taken away; nobody waits for that to be durable. */
  removed(path: string): void {
    this.#notRemoved.delete(path);
    this.#removedFrom.add(dirname(path));
  }

  /** To be told when a name could not be taken away that nobody has a use for any more. */
  notRemoved(path: string): void {
    this.#notRemoved.add(path);
  }

  /** To be told when a name that could not be taken away is gone after all, or has a use again. */
  resolved(path: string): void {
    this.#notRemoved.delete(path);
  }

  /**
   * Makes durable what `removed` was told of.
   * @throws ContentError also when something is left that should have been removed: then who closes the index must not
   * say that files and rows agree
   */
  async settle(): Promise<void> {
    for (const directory of this.#removedFrom) {
      try {
        await this.#settle(directory);
      } catch (cause) {
        // Who took the directory away took all names in it.
        if (errorCode(cause) !== 'ENOENT') throw cause;
        this.#removedFrom.delete(directory);
      }
    }
    const { size } = this.#notRemoved;
    if (size > 0) throw new ContentError('io', `${size} files that should have been removed are still there`);
  }

  async #settle(directory: string): Promise<void> {
    const hadRemovals = this.#removedFrom.delete(directory);
    try {
      await this.#fileSystem.syncDirectory(directory);
    } catch (cause) {
      if (hadRemovals) this.#removedFrom.add(directory);
      throw cause;
    }
  }

  /**
   * Syncs a file and moves it to its final place, durably: so that the name can be lost no more, neither can those of
   * the directories above it, whoever made them and whether or not that was ever finished.
   */
  async publish(file: FileHandle, from: string, to: string): Promise<void> {
    await this.sync(file);
    const directory = dirname(to);
    const made = await this.#fileSystem.makeDirectory(directory);
    if (made !== undefined)
      for (const path of chain(directory, (above) => above === dirname(made))) this.#durable.delete(path);
    await this.#fileSystem.rename(from, to);
    this.#notRemoved.delete(to);
    await this.#settle(directory);
    const uncertain = [...chain(directory, (path) => this.#durable.has(path))];
    for (const path of uncertain) await this.#fileSystem.syncDirectory(dirname(path));
    // Only when all of it is done: what failed is done again by the next.
    for (const path of uncertain) this.#durable.add(path);
  }
}

/** A path and those above it, as far as the first that ends it. */
function* chain(path: string, isEnd: (path: string) => boolean): Iterable<string> {
  for (let at = path; !isEnd(at) && at !== dirname(at); at = dirname(at)) yield at;
}
