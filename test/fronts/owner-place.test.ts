import { mkdir, mkdtemp, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { OwnerPlace } from '../../src/fronts/owner-place.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Too deep for the names of sockets. */
const DEEP = 'd'.repeat(90);

afterEach(() => {
  vi.unstubAllEnvs();
});

async function dirs(): Promise<{ shallow: string; deep: string; temporary: string }> {
  const root = await tempDir();
  const [shallow, deep, temporary] = [join(root, 's'), join(root, DEEP), join(root, 't')];
  for (const dir of [shallow, deep, temporary]) await mkdir(dir);
  vi.stubEnv('TMPDIR', temporary);
  return { shallow, deep, temporary };
}

test('is within the data directory where sockets can be, private, and gone when it is closed', async () => {
  const { shallow, temporary } = await dirs();
  const place = await OwnerPlace.open(shallow);
  expect((await stat(join(place.ownerPath, '..'))).mode & 0o777).toBe(0o700);
  expect(await readdir(shallow)).toHaveLength(1);
  await place.close();
  expect(await readdir(shallow)).toEqual([]);
  expect(await readdir(temporary)).toEqual([]);
});

test.each(['shallow', 'deep'] as const)(
  'of an owner that was killed is gone at the next start (%s data directory)',
  async (which) => {
    const all = await dirs();
    const killed = await OwnerPlace.open(all[which]);
    await writeFile(killed.ownerPath, '');
    const next = await OwnerPlace.open(all[which]);
    const where = which === 'shallow' ? all.shallow : all.temporary;
    expect((await readdir(where)).map((name) => join(where, name))).toEqual([join(next.ownerPath, '..')]);
    await next.close();
    expect(await readdir(where)).toEqual([]);
  },
);

test('is not taken from another data directory, nor is what only looks like one', async () => {
  const { deep, temporary } = await dirs();
  const other = join(await tempDir(), DEEP);
  await mkdir(other);
  const place = await OwnerPlace.open(other);
  const mine = await OwnerPlace.open(deep);
  const [, myName = ''] = /([^/]+)-[^-/]+\/owner\.sock$/.exec(mine.ownerPath) ?? [];
  const elsewhere = await tempDir();
  await writeFile(join(elsewhere, 'kept'), '');
  await symlink(elsewhere, join(temporary, `${myName}-abcdef`));
  await OwnerPlace.open(deep);
  await stat(join(place.ownerPath, '..'));
  expect(await readdir(elsewhere)).toEqual(['kept']);
  expect(await readdir(temporary)).toContain(`${myName}-abcdef`);
});

test('is where sockets can be, also when the directory for temporary files is too deep', async () => {
  const { deep } = await dirs();
  vi.stubEnv('TMPDIR', await mkdtemp(join(deep, 'x')));
  const place = await OwnerPlace.open(deep);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.listenerPath(999_999, 31), resolve);
  });
  // Node cuts names that are too long.
  await stat(place.listenerPath(999_999, 31));
  await new Promise((resolve) => server.close(resolve));
  await place.close();
});
