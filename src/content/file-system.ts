import { type FileHandle, mkdir, open, rename, rm, statfs, unlink } from 'node:fs/promises';

export type { FileHandle } from 'node:fs/promises';

/** The few file-system calls that content is kept with: the one seam where a test can make any of them fail. */
export interface FileSystem {
  open(path: string, flags: 'r' | 'wx+', mode?: number): Promise<FileHandle>;
  write(file: FileHandle, bytes: Uint8Array, length: number, position: number): Promise<number>;
  read(file: FileHandle, into: Uint8Array, length: number, position: number): Promise<number>;
  sync(file: FileHandle): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** With all parents. @returns the first directory that had to be made, if any. */
  makeDirectory(path: string): Promise<string | undefined>;
  removeTree(path: string): Promise<void>;
  /** Makes the directory's entries durable. */
  syncDirectory(path: string): Promise<void>;
  capacityBytes(path: string): Promise<number>;
}

export const diskFileSystem: FileSystem = {
  open: (path, flags, mode) => open(path, flags, mode),
  write: async (file, bytes, length, position) => (await file.write(bytes, 0, length, position)).bytesWritten,
  read: async (file, into, length, position) => (await file.read(into, 0, length, position)).bytesRead,
  sync: (file) => file.datasync(),
  rename,
  unlink,
  makeDirectory: (path) => mkdir(path, { recursive: true, mode: 0o700 }),
  removeTree: (path) => rm(path, { recursive: true, force: true }),
  async syncDirectory(path) {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
  async capacityBytes(path) {
    const { blocks, bsize } = await statfs(path);
    return blocks * bsize;
  },
};
