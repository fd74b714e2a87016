import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ByteFile, openByteFile, readWithin, stretchOf } from './byte-file.ts';
import { EntryRegister } from './entry-register.ts';
import type { ArchiveBody, ArchiveEntry, ImageArchive } from './image-archive.ts';
import { LayoutError, layoutErrorFrom } from './layout-error.ts';

/** `blobs/sha256/…` is three. */
const DEPTH_LIMIT = 4;

/** A directory with the files of a layout, or of an archive that was unpacked. @throws LayoutError */
export async function openLayoutDirectory(
  name: string,
  directory: string,
  signal: AbortSignal,
): Promise<ImageArchive> {
  const register = new EntryRegister(name);
  try {
    await addFiles(register, directory, '', signal);
    const { mtimeMs } = await stat(directory);
    return archiveOf({ name, directory, modifiedAt: mtimeMs }, register);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw layoutErrorFrom(cause, name);
  }
}

async function addFiles(
  register: EntryRegister,
  directory: string,
  below: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const found of await opendir(join(directory, below))) {
    signal.throwIfAborted();
    const path = below === '' ? found.name : `${below}/${found.name}`;
    if (found.isDirectory()) {
      if (path.split('/').length < DEPTH_LIMIT) await addFiles(register, directory, path, signal);
    } else if (found.isFile()) {
      const { size } = await stat(join(directory, path));
      register.add({ name: path, type: 'file', size });
    } else if (found.isSymbolicLink()) {
      register.add({ name: path, type: 'symlink', size: 0 });
    }
  }
}

interface Place {
  readonly name: string;
  readonly directory: string;
  readonly modifiedAt: number;
}

function archiveOf(place: Place, register: EntryRegister): ImageArchive {
  const { name, directory, modifiedAt } = place;
  const withFile = async <T>(path: string, use: (file: ByteFile) => Promise<T>): Promise<T> => {
    const file = await openByteFile(`${name}: ${path}`, [join(directory, path)]);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  };
  return {
    name,
    modifiedAt,
    entries: register.entries,
    remarks: register.remarks,
    linkedTo: (path) => register.linkedTo(path),
    isSeekable: true,
    readSmall: async (path, limitBytes) => {
      if (!register.entries.has(path)) return undefined;
      return withFile(path, (file) =>
        readWithin(file, { position: 0, sizeBytes: file.sizeBytes }, limitBytes, `${name}: ${path}`),
      );
    },
    bodies: async function* (paths, ending): AsyncGenerator<ArchiveBody, void, undefined> {
      for (const [path, entry] of register.entries)
        if (paths.has(path)) yield { ...entry, body: fileBody(place, entry, ending) };
    },
    close: async () => undefined,
  };
}

/** Opened when it is read, so that a layout of many files does not have them all open. */
async function* fileBody(
  { name, directory }: Place,
  { path, sizeBytes }: ArchiveEntry,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await openByteFile(`${name}: ${path}`, [join(directory, path)]);
  try {
    if (file.sizeBytes !== sizeBytes)
      throw new LayoutError('damaged', `${name}: ${path} changed while it was read`);
    yield* stretchOf(file, 0, sizeBytes, signal);
  } finally {
    await file.close();
  }
}
