import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildImage } from '../support/images.ts';
import { exportScene } from './export-scene.ts';

const APP = { repository: 'library/app', tag: 'v1', image: buildImage() };

test('what lies beside the output and is called like a leftover is not taken away', async () => {
  const { run, workingDir } = await exportScene([APP]);
  for (const name of ['other.partial', 'third.tar.partial']) {
    await mkdir(join(workingDir, name));
    await writeFile(join(workingDir, name, 'thesis.tex'), name);
  }
  for (const output of ['other', 'third.tar'])
    expect(await run('export', 'app:v1', '--output', output)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`${output}.partial: it is in the way`) as string,
    });
  for (const name of ['other.partial', 'third.tar.partial'])
    expect(await readFile(join(workingDir, name, 'thesis.tex'), 'utf8')).toBe(name);
});

test('--force replaces a layout, and no directory that has anything else in it', async () => {
  const { run, workingDir } = await exportScene([APP]);
  await run('export', 'app:v1', '--output', 'site');
  await writeFile(join(workingDir, 'site', 'thesis.tex'), 'mine');
  expect(await run('export', 'app:v1', '--output', 'site', '--force')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('site: it is no OCI layout, or has other files in it') as string,
  });
  expect(await readFile(join(workingDir, 'site', 'thesis.tex'), 'utf8')).toBe('mine');
});
