import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/metadata/database.ts';
import { prepareLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { mountedFuse } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';

const DIGEST = digestOf(Buffer.from('x'));

/** With a row written, so that every file that is used is there. */
async function openIndex(dataDir: string, isWalSafe: boolean) {
  const opened = openDatabase(dataDir, { isWalSafe });
  const store = new SqliteMetadataStore(opened, leastRecentUse);
  const known = await store.blobs.get(DIGEST);
  await store.blobs.put({ digest: DIGEST, sizeBytes: 1 }, 1);
  const setting = (name: string) => prepareLasting<[]>(opened.database, `PRAGMA ${name}`).pluck().get();
  return { store, known, setting };
}

it('the index keeps a write-ahead log where that is safe, and never a file of shared memory', async () => {
  const dataDir = await tempDir();
  const { store, setting } = await openIndex(dataDir, true);
  expect([setting('journal_mode'), setting('synchronous')]).toEqual(['wal', 1]);
  expect((await readdir(dataDir)).toSorted()).toEqual(['metadata.db', 'metadata.db-wal']);
  await store.close();
  expect(await readdir(dataDir)).toEqual(['metadata.db']);
});

it('the index keeps a rollback journal, and syncs more, where a log is not safe', async () => {
  const dataDir = await tempDir();
  const { store, setting } = await openIndex(dataDir, false);
  expect([setting('journal_mode'), setting('synchronous'), setting('locking_mode')]).toEqual([
    'delete',
    2,
    'exclusive',
  ]);
  const names = await readdir(dataDir);
  expect(names.filter((name) => /-(?:wal|shm)$/.test(name))).toEqual([]);
  await store.close();
});

it('an index that was copied elsewhere changes from one to the other and back', async () => {
  const dataDir = await tempDir();
  const modes: unknown[] = [];
  for (const isWalSafe of [true, false, true, false]) {
    const { store, known, setting } = await openIndex(dataDir, isWalSafe);
    modes.push(setting('journal_mode'));
    if (modes.length > 1) expect(known).toEqual({ digest: DIGEST, sizeBytes: 1 });
    await store.close();
  }
  expect(modes).toEqual(['wal', 'delete', 'wal', 'delete']);
});

describeWith({ programs: ['mount', 'umount', 'bindfs'], root: true, mounts: ['fuse'] }, 'on FUSE', () => {
  it('entrepot says that it keeps a journal, and works', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob('library/app', { size: 500_000, seed: 1 });
    const dataDir = join(await mountedFuse(), 'data');
    for (const outcome of ['MISS', 'HIT']) {
      const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
      const said = app.logLines.filter(({ msg }) => msg.includes('rollback journal'));
      expect(said).toMatchObject([{ level: 'warn', fileSystem: 'FUSE' }]);
      const blob = await get(`${app.url}/v2/library/app/blobs/${digest}`);
      expect(blob).toMatchObject({ status: 200, complete: true, digest });
      expect(blob.headers['x-cache']).toBe(outcome);
      expect((await readdir(dataDir)).filter((name) => /-(?:wal|shm)$/.test(name))).toEqual([]);
      await app.close();
    }
  });
});
