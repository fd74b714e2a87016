import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, opendir, rename, rm, statfs, unlink } from 'node:fs/promises';
import { makeDirectory } from './make-directory.ts';

export type { FileHandle } from 'node:fs/promises';

export interface FileFacts {
  /** `other`: links, sockets, devices. */
  readonly kind: 'file' | 'directory' | 'other';
  readonly sizeBytes: number;
  /** What it takes of the disk. */
  readonly allocatedBytes: number;
  /** Milliseconds since 1970, with fractions as far as the file system knows them. */
  readonly modifiedAt: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly kind: FileFacts['kind'];
}

export interface FileSystemSpace {
  readonly totalBytes: number;
  /** What a process without privileges may still use. */
  readonly freeBytes: number;
  readonly blockBytes: number;
}

/** The few file-system calls that content is kept with: the one seam where a test can make any of them fail. */
export interface FileSystem {
  /** Follows no link in the last part of the path: ELOOP. */
  open(path: string, flags: 'r' | 'wx+', mode?: number): Promise<FileHandle>;
  /** Gives the descriptor back, also when it fails. */
  close(file: FileHandle): Promise<void>;
  write(file: FileHandle, bytes: Uint8Array, length: number, position: number): Promise<number>;
  read(file: FileHandle, into: Uint8Array, length: number, position: number): Promise<number>;
  /** Only by way of a Publisher, which asks once for each file. */
  sync(file: FileHandle): Promise<void>;
  statFile(file: FileHandle): Promise<FileFacts>;
  /** Of a link, what the link itself is. */
  stat(path: string): Promise<FileFacts>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** With all parents. @returns the first directory that had to be made, if any. */
  makeDirectory(path: string): Promise<string | undefined>;
  /** In no order; read as it is asked for. */
  readDirectory(path: string): AsyncIterable<DirectoryEntry>;
  removeTree(path: string): Promise<void>;
  /** Makes the directory's entries durable. */
  syncDirectory(path: string): Promise<void>;
  space(path: string): Promise<FileSystemSpace>;
}

/** A pipe in place of a file would keep whoever opens it until somebody writes; of files it makes no difference. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Entries that one system call brings. */
const DIRECTORY_BUFFER = 256;

export const diskFileSystem: FileSystem = {
  open: (path, flags, mode) => open(path, flags === 'r' ? READ_FLAGS : flags, mode),
  close: (file) => file.close(),
  write: async (file, bytes, length, position) => (await file.write(bytes, 0, length, position)).bytesWritten,
  read: async (file, into, length, position) => (await file.read(into, 0, length, position)).bytesRead,
  sync: (file) => file.datasync(),
  statFile: async (file) => factsOf(await file.stat()),
  stat: async (path) => factsOf(await lstat(path)),
  rename,
  unlink,
  makeDirectory,
  async *readDirectory(path) {
    for await (const entry of await opendir(path, { bufferSize: DIRECTORY_BUFFER }))
      yield { name: entry.name, kind: kindOf(entry) };
  },
  removeTree: (path) => rm(path, { recursive: true, force: true }),
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  async space(path) {
    const { blocks, bavail, bsize } = await statfs(path);
    return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, blockBytes: bsize };
  },
};

function factsOf(stats: Stats): FileFacts {
  return {
    kind: kindOf(stats),
    sizeBytes: stats.size,
    allocatedBytes: stats.blocks * 512,
    modifiedAt: stats.mtimeMs,
  };
}

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): FileFacts['kind'] {
  if (entry.isFile()) return 'file';
  return entry.isDirectory() ? 'directory' : 'other';
}
