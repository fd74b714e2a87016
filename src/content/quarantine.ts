import { join } from 'node:path';
import pLimit from 'p-limit';
import { contentErrorFrom, errorCode } from './content-error.ts';
import type { FileSystem } from './file-system.ts';

const ENTRY_LIMIT = 64;
const BYTE_LIMIT = 1024 * 1024 * 1024;

interface Entry {
  readonly name: string;
  readonly bytes: number;
}

/** Limits other than the usual ones, for tests. */
export interface QuarantineLimits {
  readonly entries?: number;
  readonly bytes?: number;
}

/**
 * Where what should not be served is moved, so that it can be looked into: up to 64 entries and 1 GiB, the oldest goes
 * first, and what is larger than that is not kept at all. Entries are numbered in the order of their coming.
 */
export class Quarantine {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #limits: Required<QuarantineLimits>;
  readonly #turn = pLimit(1);
  #entries: Entry[] = [];
  #lastNumber = 0;

  /** With what is there already. */
  static async open(
    fileSystem: FileSystem,
    directory: string,
    limits: QuarantineLimits = {},
  ): Promise<Quarantine> {
    const quarantine = new Quarantine(fileSystem, directory, limits);
    await quarantine.#load();
    return quarantine;
  }

  private constructor(fileSystem: FileSystem, directory: string, limits: QuarantineLimits) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#limits = { entries: ENTRY_LIMIT, bytes: BYTE_LIMIT, ...limits };
  }

  get heldBytes(): number {
    return this.#entries.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** @returns false when there is nothing at `path`. @throws ContentError */
  async add(path: string, label: string): Promise<boolean> {
    return this.#turn(async () => {
      try {
        await this.#fileSystem.makeDirectory(this.#directory);
        const bytes = await this.#treeBytes(path);
        const name = `${String(this.#lastNumber + 1).padStart(8, '0')}-${label}`;
        await this.#fileSystem.rename(path, join(this.#directory, name));
        this.#lastNumber += 1;
        this.#entries.push({ name, bytes });
      } catch (cause) {
        if (errorCode(cause) === 'ENOENT') return false;
        throw contentErrorFrom(cause, 'setting content aside');
      }
      // What cannot be removed now is still counted, and tried again with the next.
      await this.#trim(this.#limits.bytes).catch(() => undefined);
      return true;
    });
  }

  /** @throws ContentError */
  async trim(limitBytes: number): Promise<void> {
    await this.#turn(() => this.#trim(limitBytes));
  }

  async #trim(limitBytes: number): Promise<void> {
    for (;;) {
      const [oldest] = this.#entries;
      const isOver = this.#entries.length > this.#limits.entries || this.heldBytes > limitBytes;
      if (oldest === undefined || !isOver) return;
      try {
        await this.#fileSystem.removeTree(join(this.#directory, oldest.name));
      } catch (cause) {
        throw contentErrorFrom(cause, 'removing what was set aside');
      }
      this.#entries = this.#entries.filter((entry) => entry !== oldest);
    }
  }

  async #load(): Promise<void> {
    const names: string[] = [];
    try {
      for await (const { name } of this.#fileSystem.readDirectory(this.#directory)) names.push(name);
    } catch (cause) {
      if (errorCode(cause) !== 'ENOENT') throw cause;
    }
    for (const name of names.toSorted()) {
      this.#entries.push({ name, bytes: await this.#treeBytes(join(this.#directory, name)) });
      this.#lastNumber = Math.max(this.#lastNumber, Number(/^\d{8,15}(?=-)/.exec(name)?.[0] ?? 0));
    }
  }

  async #treeBytes(path: string): Promise<number> {
    const facts = await this.#fileSystem.stat(path);
    let bytes = facts.allocatedBytes;
    if (facts.kind !== 'directory') return bytes;
    for await (const { name } of this.#fileSystem.readDirectory(path))
      bytes += await this.#treeBytes(join(path, name));
    return bytes;
  }
}
