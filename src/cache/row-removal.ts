import { MetadataError } from '../metadata/metadata-error.ts';

/**
 * Takes a row out, of which the file is to follow. On a disk without any room the index cannot even forget: then, and
 * only then, the file goes first, and makes the room. A row without its file is a miss, so nothing wrong is served
 * should the row stay after all.
 * @throws MetadataError, ContentError
 */
export async function takeRow<T>(take: () => Promise<T>, takeFile: () => Promise<unknown>): Promise<T> {
  try {
    return await take();
  } catch (cause) {
    if (!(cause instanceof MetadataError) || cause.reason !== 'full') throw cause;
    await takeFile();
    return take();
  }
}
