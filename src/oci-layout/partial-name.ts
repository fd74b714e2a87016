import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** What something is called until it is whole. An interrupted run leaves it, and the next one takes it away. */
export function partialName(path: string): string {
  return `${path}.partial`;
}

/** Takes away the file that an interrupted run left. @returns whether there was anything */
export async function removePartial(path: string): Promise<boolean> {
  try {
    await rm(partialName(path));
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false;
    throw cause;
  }
}

/** Gives it its name, for good: also after a power cut. What has the name already is replaced if it is a file. */
export async function publish(writtenAs: string, path: string): Promise<void> {
  await rename(writtenAs, path);
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
