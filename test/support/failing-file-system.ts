import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';

type Call = keyof FileSystem;

/** The real disk, which keeps a list of what was asked of it, and fails when it is told to. */
export interface FailingFileSystem extends FileSystem {
  /** What was called, in order; calls that were made to fail too. */
  readonly calls: { readonly name: Call; readonly path: string | undefined }[];
  /** Decides before each call; an error code makes it fail. `nth` counts all calls from 1. */
  rule: (name: Call, nth: number, path?: string) => string | undefined;
}

/** Never fails until `rule` is set. */
export function failingFileSystem(): FailingFileSystem {
  const ask = (name: Call, path?: string) => {
    made.calls.push({ name, path });
    const code = made.rule(name, made.calls.length, path);
    if (code !== undefined) throw Object.assign(new Error(`${name}: ${code}`), { code });
  };
  const made: FailingFileSystem = {
    ...diskFileSystem,
    calls: [],
    rule: () => undefined,
    open: async (path, flags, mode) => {
      ask('open', path);
      return diskFileSystem.open(path, flags, mode);
    },
    close: async (file) => {
      // As POSIX has it: whatever it answers, the descriptor is gone.
      await diskFileSystem.close(file);
      ask('close');
    },
    statFile: async (file) => {
      ask('statFile');
      return diskFileSystem.statFile(file);
    },
    stat: async (path) => {
      ask('stat', path);
      return diskFileSystem.stat(path);
    },
    async *readDirectory(path) {
      ask('readDirectory', path);
      yield* diskFileSystem.readDirectory(path);
      // What fails in the middle of a directory.
      ask('readDirectory', path);
    },
    write: async (...call) => {
      ask('write');
      return diskFileSystem.write(...call);
    },
    read: async (...call) => {
      ask('read');
      return diskFileSystem.read(...call);
    },
    sync: async (file) => {
      ask('sync');
      await diskFileSystem.sync(file);
    },
    rename: async (from, to) => {
      ask('rename', to);
      await diskFileSystem.rename(from, to);
    },
    unlink: async (path) => {
      ask('unlink', path);
      await diskFileSystem.unlink(path);
    },
    makeDirectory: async (path) => {
      ask('makeDirectory', path);
      return diskFileSystem.makeDirectory(path);
    },
    removeTree: async (path) => {
      ask('removeTree', path);
      await diskFileSystem.removeTree(path);
    },
    syncDirectory: async (path) => {
      ask('syncDirectory', path);
      await diskFileSystem.syncDirectory(path);
    },
    space: async (path) => {
      ask('space', path);
      return diskFileSystem.space(path);
    },
  };
  return made;
}
