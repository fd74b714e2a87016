import { leastRecentUse } from '../support/least-recent-use.ts';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/metadata/database.ts';
import { openLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { tempDir } from '../support/temp-dir.ts';

it.each([
  ['has our number and none of our tables', 'PRAGMA user_version = 1'],
  ['has our number and other columns', 'PRAGMA user_version = 1; CREATE TABLE blobs (name TEXT) STRICT'],
  ['has lost its number', 'CREATE TABLE blobs (digest TEXT); PRAGMA user_version = 0'],
  ['counts backwards', 'PRAGMA user_version = -5'],
])('a database that is sound but %s is moved aside like a damaged one', async (_what, sql) => {
  const dataDir = await tempDir();
  const foreign = openLasting(join(dataDir, 'metadata.db'));
  foreign.exec(sql);
  foreign.close();
  const opened = openDatabase(dataDir);
  const { setAside } = opened;
  const store = new SqliteMetadataStore(opened, leastRecentUse);
  expect(await store.blobs.totals()).toMatchObject({ bytes: 0, blobs: 0 });
  await store.probe();
  await store.close();
  expect(setAside).toBeDefined();
  expect((await readdir(dataDir)).some((name) => name.startsWith('metadata.db.damaged-'))).toBe(true);
});
