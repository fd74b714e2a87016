import type { Stats } from 'node:fs';
import { stat } from 'node:fs/promises';

/** `undefined` when there is nothing. @throws what the file system throws otherwise */
export async function factsOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw cause;
  }
}

export async function isThere(path: string): Promise<boolean> {
  return (await factsOf(path)) !== undefined;
}
