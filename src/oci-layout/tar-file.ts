import { type ByteFile, readWithin, stretchOf } from './byte-file.ts';
import { EntryRegister } from './entry-register.ts';
import type { ArchiveBody, ArchiveEntry, ImageArchive } from './image-archive.ts';
import { tarHeaders } from './tar-header.ts';

/**
 * A tar that is not compressed: only its headers are read to know what is in it. Takes the file over.
 * @throws LayoutError
 */
export async function openTarFile(
  { name, file, modifiedAt }: { readonly name: string; readonly file: ByteFile; readonly modifiedAt: number },
  signal: AbortSignal,
): Promise<ImageArchive> {
  const register = new EntryRegister(name);
  const positions = new Map<string, number>();
  for await (const header of tarHeaders(name, file, signal)) {
    const entry = register.add(header);
    if (entry !== undefined) positions.set(entry.path, header.position);
  }
  const bodyOf = ({ path, sizeBytes }: ArchiveEntry, ending: AbortSignal): AsyncIterable<Uint8Array> =>
    stretchOf(file, positions.get(path) ?? 0, sizeBytes, ending);
  return {
    name,
    modifiedAt,
    entries: register.entries,
    remarks: register.remarks,
    linkedTo: (path) => register.linkedTo(path),
    isSeekable: true,
    readSmall: async (path, limitBytes) => {
      const entry = register.entries.get(path);
      const position = positions.get(path);
      if (entry === undefined || position === undefined) return undefined;
      const { sizeBytes } = entry;
      return readWithin(file, { position, sizeBytes }, limitBytes, `${name}: ${path}`);
    },
    bodies: async function* (paths, ending): AsyncGenerator<ArchiveBody, void, undefined> {
      for (const [path, entry] of register.entries)
        if (paths.has(path)) yield { ...entry, body: bodyOf(entry, ending) };
    },
    close: () => file.close(),
  };
}
