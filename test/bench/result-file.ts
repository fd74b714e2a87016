import { existsSync } from 'node:fs';
import { appendFile, mkdir, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { BenchUsageError } from './options.ts';

/**
 * Finds out before hours of work whether the results can be written; what is there stays.
 * @throws BenchUsageError
 */
export async function checkResultFile(path: string): Promise<void> {
  const isNew = !existsSync(path);
  try {
    await makeDirectory(dirname(resolve(path)));
    await appendFile(path, '');
    if (isNew) await rm(path);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new BenchUsageError(`--json takes a file that can be written, and ${path} cannot: ${code}`);
  }
}

/** Node's own, with `recursive`, tries for ever where a directory is there and lets nobody make another, as `/proc`. */
async function makeDirectory(path: string): Promise<void> {
  if (existsSync(path)) return;
  await makeDirectory(dirname(path));
  await mkdir(path);
}
