import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import pLimit from 'p-limit';
import { diskFileSystem, type FileHandle, type FileSystem } from '../../src/content/file-system.ts';
import type { Random } from '../support/random-numbers.ts';

/** What a disk writes at once: a write may be torn between any two of them. */
const BLOCK_BYTES = 512;

/** Numbered moments: `begin` before a call was made, `end` when it had returned, `Infinity` while it has not. */
interface Span {
  readonly begin: number;
  end: number;
}

interface Write extends Span {
  readonly position: number;
  readonly bytes: Buffer;
}

interface FileNode {
  readonly kind: 'file';
  readonly writes: Write[];
  readonly syncs: Span[];
}

interface EntryChange extends Span {
  readonly name: string;
  /** What has this name from then on; nothing when it is absent. */
  readonly node: DiskNode | undefined;
}

interface DirectoryNode {
  readonly kind: 'directory';
  readonly changes: EntryChange[];
  readonly syncs: Span[];
  /** As the process sees it. */
  readonly entries: Map<string, DiskNode>;
}

type DiskNode = FileNode | DirectoryNode;

/** What becomes of all that nobody made durable. */
export type Fate = 'lost' | 'kept' | 'mixed' | 'names' | 'bytes';
export const FATES: readonly Fate[] = ['lost', 'kept', 'mixed', 'mixed', 'names', 'bytes'];

/**
 * The disk below one directory, which remembers every write, name and fsync with the moments when they began and ended:
 * so that it can be made again as a power cut may leave it. What an fsync that had returned covers is there. All else
 * may be lost, each part by itself: blocks of a write, the two halves of a rename, the making of a file or directory,
 * the removal of one. That is more than file systems with a journal allow, so who copes with it copes with them.
 */
export class RecordedDisk {
  readonly root: string;
  readonly fileSystem: FileSystem;
  /** Paths of files that were damaged. */
  readonly damaged = new Set<string>();
  readonly #tree: DirectoryNode = newDirectory();
  readonly #files = new WeakMap<FileHandle, FileNode>();
  readonly #making = pLimit(1);
  /** What was there before is durable since moment 0. */
  #moment = 1;

  /** Takes what is below `root` now as durable. */
  static async open(root: string): Promise<RecordedDisk> {
    const disk = new RecordedDisk(root);
    await disk.#load(root, disk.#tree);
    return disk;
  }

  private constructor(root: string) {
    this.root = root;
    this.fileSystem = this.#recording();
  }

  /** The last moment so far. Power may be cut at any from 0 on. */
  get moment(): number {
    return this.#moment;
  }

  /** A moment of its own, for what happens elsewhere. */
  tick(): number {
    this.#moment += 1;
    return this.#moment;
  }

  /** Cuts a file, as trouble of the disk does: durably, and as if it had never been longer. */
  async damage(path: string, sizeBytes: number): Promise<void> {
    const node = this.#at(path);
    if (node?.kind !== 'file') return;
    this.damaged.add(path);
    try {
      await truncate(path, sizeBytes);
    } catch {
      // It has just gone.
      return;
    }
    for (const [at, write] of node.writes.entries()) {
      const length = Math.max(0, sizeBytes - write.position);
      node.writes[at] = { ...write, bytes: write.bytes.subarray(0, length) };
    }
  }

  /** Makes below `target`, which must not exist, what may be left when power is cut at `moment`. @returns the number of files */
  async materialise(target: string, moment: number, fate: Fate, random: Random): Promise<number> {
    const keeps = (what: 'names' | 'bytes'): boolean => {
      if (fate === 'lost' || fate === 'kept') return fate === 'kept';
      return fate === 'mixed' ? random() < 0.5 : fate === what;
    };
    const make = async (path: string, node: DiskNode): Promise<number> => {
      if (node.kind === 'file') {
        const bytes = bytesAt(node, moment, () => keeps('bytes'), random);
        await writeFile(path, bytes, { mode: 0o600 });
        return 1;
      }
      await mkdir(path, { mode: 0o700 });
      let files = 0;
      for (const [name, child] of entriesAt(node, moment, () => keeps('names')))
        files += await make(join(path, name), child);
      return files;
    };
    return make(target, this.#tree);
  }

  async #load(path: string, into: DirectoryNode): Promise<void> {
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const node = entry.isDirectory() ? newDirectory() : newFile();
      const born = { begin: 0, end: 0 };
      if (node.kind === 'directory') await this.#load(join(path, entry.name), node);
      else node.writes.push({ ...born, position: 0, bytes: await readFile(join(path, entry.name)) });
      node.syncs.push({ begin: 0.5, end: 0.5 });
      into.entries.set(entry.name, node);
      into.changes.push({ ...born, name: entry.name, node });
    }
    into.syncs.push({ begin: 0.5, end: 0.5 });
  }

  #at(path: string): DiskNode | undefined {
    let node: DiskNode | undefined = this.#tree;
    for (const name of relative(this.root, path).split('/'))
      if (name !== '') node = node?.kind === 'directory' ? node.entries.get(name) : undefined;
    return node;
  }

  #directory(path: string): DirectoryNode {
    const node = this.#at(path);
    if (node?.kind !== 'directory') throw new Error(`${path} is not known as a directory`);
    return node;
  }

  #file(handle: FileHandle): FileNode {
    const node = this.#files.get(handle);
    if (node === undefined) throw new Error('a file that was never opened');
    return node;
  }

  /** What fails leaves nothing behind. */
  async #during<T>(span: Span, call: () => Promise<T>): Promise<T> {
    const result = await call();
    span.end = this.tick();
    return result;
  }

  #begin(): Span {
    return { begin: this.tick(), end: Infinity };
  }

  /** Both halves are on their way until `call` returns; nothing is when it fails. */
  async #change(
    changes: readonly { readonly path: string; readonly node: DiskNode | undefined }[],
    call: () => Promise<unknown>,
  ): Promise<void> {
    const span = this.#begin();
    const pending = changes.map(({ path, node }) => {
      const directory = this.#directory(dirname(path));
      const change: EntryChange = { ...span, name: basename(path), node };
      directory.changes.push(change);
      return { directory, change };
    });
    try {
      await call();
    } catch (cause) {
      for (const { directory, change } of pending)
        directory.changes.splice(directory.changes.indexOf(change), 1);
      throw cause;
    }
    const end = this.tick();
    for (const { directory, change } of pending) {
      change.end = end;
      if (change.node === undefined) directory.entries.delete(change.name);
      else directory.entries.set(change.name, change.node);
    }
  }

  async #makeDirectory(path: string): Promise<string | undefined> {
    if (this.#at(path) !== undefined) return undefined;
    const made = await this.#makeDirectory(dirname(path));
    await this.#change([{ path, node: newDirectory() }], () => mkdir(path, { mode: 0o700 }));
    return made ?? path;
  }

  #recording(): FileSystem {
    return {
      ...diskFileSystem,
      open: async (path, flags, mode) => {
        const node = flags === 'r' ? this.#at(path) : newFile();
        let handle: FileHandle | undefined;
        const open = async () => (handle = await diskFileSystem.open(path, flags, mode));
        if (flags === 'r') await open();
        else await this.#change([{ path, node }], open);
        if (handle === undefined) throw new Error('unreachable');
        if (node?.kind === 'file') this.#files.set(handle, node);
        return handle;
      },
      write: async (handle, bytes, length, position) => {
        const write = {
          ...this.#begin(),
          position,
          bytes: Buffer.from(bytes.subarray(0, length)),
        };
        this.#file(handle).writes.push(write);
        return this.#during(write, () => diskFileSystem.write(handle, bytes, length, position));
      },
      // Not really: what counts is the record.
      sync: async (handle) => {
        const span = this.#begin();
        this.#file(handle).syncs.push(span);
        await this.#during(span, nextTurn);
      },
      syncDirectory: async (path) => {
        const span = this.#begin();
        this.#directory(path).syncs.push(span);
        await this.#during(span, nextTurn);
      },
      rename: async (from, to) => {
        const node = this.#at(from);
        await this.#change(
          [
            { path: to, node },
            { path: from, node: undefined },
          ],
          () => diskFileSystem.rename(from, to),
        );
      },
      unlink: async (path) => {
        await this.#change([{ path, node: undefined }], () => diskFileSystem.unlink(path));
      },
      makeDirectory: (path) => this.#making(() => this.#makeDirectory(path)),
      removeTree: async (path) => {
        const node = this.#at(path);
        if (node === undefined) return;
        if (node.kind === 'directory')
          for (const name of node.entries.keys()) await this.fileSystem.removeTree(join(path, name));
        await this.#change([{ path, node: undefined }], () => diskFileSystem.removeTree(path));
      },
    };
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function newFile(): FileNode {
  return { kind: 'file', writes: [], syncs: [] };
}

function newDirectory(): DirectoryNode {
  return { kind: 'directory', changes: [], syncs: [], entries: new Map() };
}

/** Whether an fsync that had returned by `moment` began after `what` had ended. */
function isDurable(what: Span, syncs: readonly Span[], moment: number): boolean {
  return syncs.some(({ begin, end }) => what.end < begin && end <= moment);
}

function entriesAt(node: DirectoryNode, moment: number, keeps: () => boolean): ReadonlyMap<string, DiskNode> {
  const entries = new Map<string, DiskNode>();
  const changes = node.changes.filter(({ begin }) => begin <= moment);
  for (const change of changes.toSorted((a, b) => (a.end === b.end ? a.begin - b.begin : a.end - b.end))) {
    if (!isDurable(change, node.syncs, moment) && !keeps()) continue;
    if (change.node === undefined) entries.delete(change.name);
    else entries.set(change.name, change.node);
  }
  return entries;
}

/** Blocks that are lost hold what was there before, zeros, or what the disk held for somebody else. */
function bytesAt(node: FileNode, moment: number, keeps: () => boolean, random: Random): Buffer {
  const writes = node.writes.filter(({ begin }) => begin <= moment);
  const durable = writes.filter((write) => isDurable(write, node.syncs, moment));
  const loose = writes.filter((write) => !durable.includes(write));
  const kept: { readonly at: number; readonly bytes: Buffer }[] = [];
  for (const { position, bytes } of loose) {
    for (let from = 0; from < bytes.length; from += BLOCK_BYTES)
      if (keeps()) kept.push({ at: position + from, bytes: bytes.subarray(from, from + BLOCK_BYTES) });
  }
  // The length may be ahead of the bytes, or behind them.
  const longest = endOf(writes);
  const shortest = endOf(durable);
  const size = keeps() ? longest : shortest + Math.floor(random() * (longest - shortest + 1));
  const whole = Buffer.alloc(longest, random() < 0.5 ? 0 : 0xaa);
  for (const { position, bytes } of durable) bytes.copy(whole, position);
  for (const { at, bytes } of kept) bytes.copy(whole, at);
  return whole.subarray(0, size);
}

function endOf(writes: readonly Write[]): number {
  return Math.max(0, ...writes.map(({ position, bytes }) => position + bytes.length));
}
