import { randomBytes } from 'node:crypto';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';

describeWith({ programs: [], root: true, mounts: ['tmpfs'] }, 'a disk that is full', () => {
  test('keeps nothing of a key, so that the next try can make one', async () => {
    const directory = await mountedTmpfs('size=1m');
    await writeFile(join(directory, 'fill'), randomBytes(1024 * 1024));
    const { io, ...heard } = await fakeProcess();
    const make = () => runProgram(['keygen', '--output', join(directory, 'site')], io);
    expect(await make()).toBe(1);
    expect(heard.stderr()).toContain('site.key: the disk is full; nothing of it is kept');
    expect(await readdir(directory)).toEqual(['fill']);
    await rm(join(directory, 'fill'));
    expect(await make()).toBe(0);
    expect((await readdir(directory)).toSorted()).toEqual(['site.key', 'site.pub']);
  });
});
