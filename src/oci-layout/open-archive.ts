import { stat } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { type ByteFile, openByteFile } from './byte-file.ts';
import type { ImageArchive } from './image-archive.ts';
import { openLayoutDirectory } from './layout-directory.ts';
import { LayoutError, layoutErrorFrom } from './layout-error.ts';
import { openPackedArchive } from './packed-archive.ts';
import { openTarFile } from './tar-file.ts';
import { zstdUnpacker } from './zstd-unpacker.ts';

const TAR_MAGIC_POSITION = 257;
const HEAD_BYTES = 512;

/**
 * Opens a directory, or a tar: plain, or compressed with gzip or zstd.
 * @param pieces of which it consists, in order; one for a directory or a whole file
 * @throws LayoutError
 */
export async function openArchive(
  name: string,
  pieces: readonly string[],
  signal: AbortSignal,
): Promise<ImageArchive> {
  const [first = name] = pieces;
  const found = await stat(first).catch((cause: unknown) => {
    throw layoutErrorFrom(cause, pieces.length === 1 ? name : first);
  });
  if (pieces.length === 1 && found.isDirectory()) return openLayoutDirectory(name, first, signal);
  const file = await openByteFile(name, pieces);
  try {
    return await openTar({ name, file, modifiedAt: found.mtimeMs }, signal);
  } catch (cause) {
    await file.close();
    throw cause;
  }
}

async function openTar(
  opened: { readonly name: string; readonly file: ByteFile; readonly modifiedAt: number },
  signal: AbortSignal,
): Promise<ImageArchive> {
  const { name, file } = opened;
  const head = Buffer.alloc(Math.min(HEAD_BYTES, file.sizeBytes));
  await file.read(head, 0);
  if (head.subarray(0, 2).equals(Buffer.from('1f8b', 'hex')))
    return openPackedArchive({ ...opened, unpack: () => createGunzip() }, signal);
  if (head.subarray(0, 4).equals(Buffer.from('28b52ffd', 'hex')))
    return openPackedArchive({ ...opened, unpack: () => zstdUnpacker(name) }, signal);
  if (head.subarray(TAR_MAGIC_POSITION, TAR_MAGIC_POSITION + 5).toString('latin1') === 'ustar')
    return openTarFile(opened, signal);
  throw new LayoutError(
    'unknown',
    `${name}: is none of what is read: an OCI layout (directory or tar), a tar of docker save, either compressed with gzip or zstd`,
  );
}
