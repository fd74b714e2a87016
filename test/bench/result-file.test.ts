import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { tempDir } from '../support/temp-dir.ts';
import { BenchUsageError } from './options.ts';
import { checkResultFile } from './result-file.ts';

test('a file of results that can be written stays as it is: absent, or with what it held', async () => {
  const dir = await tempDir();
  await checkResultFile(join(dir, 'new', 'result.json'));
  expect(await readdir(join(dir, 'new'))).toEqual([]);
  const old = join(dir, 'old.json');
  await writeFile(old, '{}');
  await checkResultFile(old);
  expect(await readFile(old, 'utf8')).toBe('{}');
});

test('one that cannot be written is one sentence that names it', async () => {
  const dir = await tempDir();
  await writeFile(join(dir, 'file'), '');
  const below = join(dir, 'file', 'result.json');
  await expect(checkResultFile(below)).rejects.toThrow(
    new BenchUsageError(`--json takes a file that can be written, and ${below} cannot: ENOTDIR`),
  );
  await expect(checkResultFile(dir)).rejects.toThrow(
    new BenchUsageError(`--json takes a file that can be written, and ${dir} cannot: EISDIR`),
  );
  // Nobody makes anything there, whoever asks.
  await expect(checkResultFile('/proc/none/result.json')).rejects.toThrow(BenchUsageError);
});
