import type { ImageArchive } from './image-archive.ts';
import { LayoutError } from './layout-error.ts';

/** As containerd has it. */
export const JSON_BYTES_LIMIT = 20 * 1024 * 1024;

/** A document of an archive, as it is. @throws LayoutError when it is missing, too large or no JSON */
export async function jsonOf(archive: ImageArchive, path: string, signal: AbortSignal): Promise<unknown> {
  const bytes = await archive.readSmall(path, JSON_BYTES_LIMIT, signal);
  if (bytes === undefined) throw new LayoutError('damaged', `${archive.name}: ${path} is missing`);
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (cause) {
    throw new LayoutError('invalid', `${archive.name}: ${path} is no JSON`, { cause });
  }
}
