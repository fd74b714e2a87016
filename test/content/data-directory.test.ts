import { chmod, chown, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { markDataDirectory, prepareDataDirectory } from '../../src/content/data-directory.ts';
import { StartError } from '../../src/start-error.ts';
import { mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The sentence that it is refused with. */
async function refusal(dataDir: string, use = prepareDataDirectory): Promise<string> {
  const failure: unknown = await use(dataDir).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect.assert(failure instanceof StartError);
  expect(failure.message).toMatch(/^The data directory \/.*[^.]\.$/);
  return failure.message.slice('The data directory '.length);
}

it('a data directory that is not there is made, for its owner alone', async () => {
  const dataDir = join(await tempDir(), 'deep', 'data');
  await prepareDataDirectory(`${dataDir}/`);
  await prepareDataDirectory(dataDir);
  expect(await readdir(dataDir)).toEqual([]);
  await markDataDirectory(dataDir);
  expect(await readFile(join(dataDir, 'entrepot.format'), 'utf8')).toBe(
    'entrepot data directory, format 1\n',
  );
  await prepareDataDirectory(dataDir);
  await markDataDirectory(dataDir);
  expect(await readdir(dataDir)).toEqual(['entrepot.format']);
});

it('a data directory that is a file, or lies in one, is refused', async () => {
  const file = join(await tempDir(), 'file');
  await writeFile(file, 'x');
  expect(await refusal(file)).toBe(`${file} is a file, not a directory.`);
  expect(await refusal(join(file, 'data'))).toMatch(/ cannot be made: a part of the path is a file\.$/);
});

it('a link in place of a data directory is refused, and where it leads to is named', async () => {
  const directory = await tempDir();
  const [target, link, lost] = ['target', 'link', 'lost'].map((name) => join(directory, name));
  expect.assert(target !== undefined && link !== undefined && lost !== undefined);
  await mkdir(target);
  await symlink(target, link);
  await symlink(join(directory, 'nowhere'), lost);
  for (const path of [link, `${link}/`])
    expect(await refusal(path)).toBe(
      `${link} is a symbolic link: name the directory that it leads to, ${target}.`,
    );
  expect(await refusal(lost)).toBe(`${lost} is a symbolic link that leads nowhere.`);
  expect(await readdir(target)).toEqual([]);
  await prepareDataDirectory(join(link, 'data'));
  expect(await readdir(target)).toEqual(['data']);
});

it.each([2, 10, 999_999_999])('a data directory of format %i is for a newer entrepot', async (format) => {
  const dataDir = await tempDir();
  const text = `entrepot data directory, format ${format}\n`;
  await writeFile(join(dataDir, 'entrepot.format'), text);
  expect(await refusal(dataDir)).toBe(
    `${dataDir} was written by a newer entrepot (format ${format}, this one knows 1): use that one, or another directory.`,
  );
  await markDataDirectory(dataDir);
  expect(await readFile(join(dataDir, 'entrepot.format'), 'utf8')).toBe(text);
});

it.each(['', '\0\0\0\0', 'entrepot data directory, form', 'entrepot data directory, format 1'])(
  'a format file that power was cut from, %j, is written anew',
  async (text) => {
    const dataDir = await tempDir();
    await writeFile(join(dataDir, 'entrepot.format'), text);
    await writeFile(join(dataDir, 'entrepot.format.new'), 'left');
    await prepareDataDirectory(dataDir);
    await markDataDirectory(dataDir);
    expect(await readFile(join(dataDir, 'entrepot.format'), 'utf8')).toBe(
      'entrepot data directory, format 1\n',
    );
    expect(await readdir(dataDir)).toEqual(['entrepot.format']);
  },
);

it('a format file that is none is refused', async () => {
  const dataDir = await tempDir();
  await mkdir(join(dataDir, 'entrepot.format'));
  expect(await refusal(dataDir)).toMatch(/ its file entrepot\.format cannot be read: it is a directory\.$/);
});

describeWith({ programs: [], root: true }, 'a data directory of somebody else', () => {
  it('is refused, both users named, and nothing is written into it', async () => {
    const dataDir = await tempDir();
    await chown(dataDir, 12_345, 12_345);
    expect(await refusal(dataDir)).toBe(
      `${dataDir} belongs to user 12345 while entrepot runs as user 0: change its owner, or name a directory inside it.`,
    );
    expect(await readdir(dataDir)).toEqual([]);
    await prepareDataDirectory(join(dataDir, 'inside'));
  });

  it('is refused to a user who may not write there, and cannot be made by him', async () => {
    const directory = await tempDir();
    const inside = join(directory, 'inside');
    await chmod(directory, 0o755);
    process.seteuid?.(12_345);
    try {
      expect(await refusal(inside)).toBe(`${inside} cannot be made: permission denied.`);
      expect(await refusal(directory, markDataDirectory)).toBe(
        `${directory} cannot be written: permission denied.`,
      );
    } finally {
      process.seteuid?.(0);
    }
  });

  it("is taken when it is root's and writable for its user's group, as a volume with fsGroup is", async () => {
    const dataDir = await tempDir();
    await chown(dataDir, 0, 12_345);
    await chmod(dataDir, 0o2775);
    const groups = process.getgroups?.() ?? [];
    process.setgroups?.([12_345]);
    process.seteuid?.(54_321);
    try {
      await prepareDataDirectory(dataDir);
      await markDataDirectory(dataDir);
    } finally {
      process.seteuid?.(0);
      process.setgroups?.(groups);
    }
    expect(await readdir(dataDir)).toEqual(['entrepot.format']);
  });
});

describeWith(
  { programs: ['mount', 'umount'], root: true, mounts: ['tmpfs'] },
  'a data directory on a file system',
  () => {
    it('that is read-only is refused', async () => {
      const at = await mountedTmpfs('size=1m');
      await mkdir(join(at, 'data'));
      await promisify(execFile)('mount', ['-o', 'remount,ro', at]);
      for (const [path, verb] of [
        [join(at, 'data'), 'written'],
        [at, 'written'],
        [join(at, 'other'), 'made'],
        [join(at, 'deep', 'other'), 'made'],
      ] as const)
        expect(await refusal(path)).toBe(`${path} cannot be ${verb}: the file system is read-only.`);
    });

    it('that is full is used all the same', async () => {
      const at = await mountedTmpfs('size=64k,nr_inodes=20');
      await writeFile(join(at, 'filler'), Buffer.alloc(64 * 1024)).catch(() => undefined);
      await prepareDataDirectory(at);
      await markDataDirectory(at);
      expect(await readdir(at)).not.toContain('entrepot.format');
    });
  },
);
