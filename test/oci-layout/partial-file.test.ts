import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FileSink } from '../../src/oci-layout/file-sink.ts';
import { openOutput, prepareOutput } from '../../src/oci-layout/layout-output.ts';
import { mountedTmpfs } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;

test('a file has its name when it is whole, whatever the sizes of what was written', async () => {
  const directory = await tempDir();
  const path = join(directory, 'file');
  const bytes = randomBytes(5 * MIB + 123);
  const sink = await FileSink.open(path);
  for (let position = 0, size = 1; position < bytes.length; position += size, size = (size * 7) % 2_000_003) {
    const lent = Buffer.from(bytes.subarray(position, position + size));
    await sink.write(lent);
    // It is the caller's again.
    lent.fill(0);
    expect(await readdir(directory)).toEqual(['file.partial']);
  }
  expect(await sink.finish()).toEqual([{ path, sizeBytes: bytes.length }]);
  expect((await readFile(path)).equals(bytes)).toBe(true);
  expect(await readdir(directory)).toEqual(['file']);
  await sink.abandon();
  expect(await readdir(directory)).toEqual(['file']);
});

test('one that is abandoned leaves nothing', async () => {
  const directory = await tempDir();
  const sink = await FileSink.open(join(directory, 'file'));
  await sink.write(randomBytes(3 * MIB));
  await sink.abandon();
  await sink.abandon();
  expect(await readdir(directory)).toEqual([]);
});

test('of two that write the same file the one fails whose file the other took away', async () => {
  const path = join(await tempDir(), 'file.tar');
  const first = await FileSink.open(path);
  await first.write(Buffer.from('first'));
  await expect(FileSink.open(path)).rejects.toThrow('another export writes it');
  // As a run does that takes the first one for an interrupted one.
  expect(await prepareOutput({ path, format: 'tar', force: false })).toEqual([path]);
  const second = await FileSink.open(path);
  await second.write(Buffer.from('second'));
  await expect(first.finish()).rejects.toThrow('another export has written it');
  await second.finish();
  expect(await readFile(path, 'utf8')).toBe('second');
});

describeWith({ programs: [], root: true, mounts: ['tmpfs'] }, 'a disk that is full', () => {
  test('is told by the name of the file, and nothing of it stays', async () => {
    const directory = await mountedTmpfs('size=4m');
    const path = join(directory, 'file.tar');
    const sink = await FileSink.open(path);
    const filling = async () => {
      for (let round = 0; round < 10; round += 1) await sink.write(randomBytes(MIB));
      await sink.finish();
    };
    await expect(filling()).rejects.toMatchObject({
      name: 'OutputError',
      reason: 'no-space',
      message: `${path}: the disk is full; nothing of it is kept`,
    });
    await sink.abandon();
    expect(await readdir(directory)).toEqual([]);
  });

  test('is found out before anything is written where that can be known', async () => {
    const directory = await mountedTmpfs('size=4m');
    const path = join(directory, 'file.tar');
    await writeFile(join(directory, 'other'), randomBytes(2 * MIB));
    const opening = openOutput({ path, format: 'tar', force: false }, 3 * MIB);
    await expect(opening).rejects.toThrow(/file\.tar: it needs 3145728 bytes, and the disk has 2097152 left/);
    await rm(join(directory, 'other'));
    const sink = await openOutput({ path, format: 'tar', force: false }, 3 * MIB);
    await sink.abandon();
    expect(await readdir(directory)).toEqual([]);
  });
});
