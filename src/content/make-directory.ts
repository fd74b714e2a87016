import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode } from './content-error.ts';

/**
 * Makes a directory with all its parents, for its owner alone. Node's own `recursive` says ENOENT when a disk is full or
 * read-only.
 * @returns the first that had to be made, if any
 */
export async function makeDirectory(path: string): Promise<string | undefined> {
  const made = await makeOne(path);
  if (made !== 'no parent') return made === 'made' ? path : undefined;
  const first = await makeDirectory(dirname(path));
  if ((await makeOne(path)) === 'no parent') throw new Error(`${dirname(path)} is taken away as it is made`);
  return first ?? path;
}

async function makeOne(path: string): Promise<'made' | 'there' | 'no parent'> {
  try {
    await mkdir(path, { mode: 0o700 });
    return 'made';
  } catch (cause) {
    const code = errorCode(cause);
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return 'there';
    if (code === 'ENOENT' && path !== dirname(path)) return 'no parent';
    throw cause;
  }
}
