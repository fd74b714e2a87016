import { expect, it } from 'vitest';
import { leastRecentUse } from '../../src/cache/least-recent-use.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { prepareLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { parseTag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { tempDir } from '../support/temp-dir.ts';
import { APP, digestNumber, metadataStoreContract } from './metadata-store-contract.ts';

async function start(dataDir?: string): Promise<SqliteMetadataStore> {
  return closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir ?? (await tempDir())), leastRecentUse));
}

metadataStoreContract('SQLite', start);

it('all that was written is there when the database is opened again', async () => {
  const dataDir = await tempDir();
  const first = await start(dataDir);
  const [a, b] = [digestNumber(1), digestNumber(2)];
  const tag = { ...APP, tag: parseTag('latest'), accept: '' };
  await first.blobs.put({ digest: a, sizeBytes: 10 }, 20);
  await first.blobs.put({ digest: b, sizeBytes: 20 }, 10);
  await first.recordHoldings(APP, [{ digest: a, sizeBytes: 10, manifestType: 'x' }]);
  await first.putTag(tag, { digest: a, checkedAt: 3 });
  await first.putTagList(APP, { items: ['latest'], checkedAt: 4 });
  await first.putReferrers(APP, a, { items: [{ digest: b }], checkedAt: 5 });
  await first.close();

  const second = await start(dataDir);
  expect(await second.blobs.totals()).toMatchObject({ bytes: 30, blobs: 2 });
  expect((await second.blobs.victims({ limit: 5 })).map(({ digest }) => digest)).toEqual([b, a]);
  expect(await second.holding(APP, a)).toEqual({ sizeBytes: 10, manifestType: 'x' });
  expect(await second.tag(tag)).toEqual({ digest: a, checkedAt: 3 });
  expect(await second.knownTags(APP)).toEqual(['latest']);
  expect(await second.tagList(APP)).toEqual({ items: ['latest'], checkedAt: 4 });
  expect(await second.referrers(APP, a)).toEqual({ items: [{ digest: b }], checkedAt: 5 });
});

it('least recently used blobs are found by index, however many there are', async () => {
  const { database } = openDatabase(await tempDir());
  const plan = prepareLasting<[], { detail: string }>(
    database,
    'EXPLAIN QUERY PLAN SELECT content, size FROM blobs ORDER BY rank LIMIT 9',
  ).all();
  expect(plan.map(({ detail }) => detail)).toEqual(['SCAN blobs USING INDEX blobs_by_rank']);
  database.close();
});
