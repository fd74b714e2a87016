import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { prepareLasting } from '../../src/metadata/lasting-database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import type { BlobUse } from '../../src/metadata/stored-blobs.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { tempDir } from '../support/temp-dir.ts';
import { imagesContract } from './images-contract.ts';
import { APP, digestNumber, metadataStoreContract } from './metadata-store-contract.ts';

async function start(dataDir?: string): Promise<SqliteMetadataStore> {
  return closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir ?? (await tempDir())), leastRecentUse));
}

metadataStoreContract('SQLite', start);
imagesContract('SQLite', start);

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

it('says that files and rows may differ until they were reconciled and it was closed', async () => {
  const dataDir = await tempDir();
  const opens = () => new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
  const first = opens();
  expect(first.needsReconcile).toBe(true);
  await first.close();
  const second = opens();
  expect(second.needsReconcile).toBe(true);
  await second.reconciled();
  expect(second.needsReconcile).toBe(false);
  await second.close();
  const third = opens();
  expect(third.needsReconcile).toBe(false);
  // Ended without being closed.
  expect(await third.blobs.totals()).toMatchObject({ blobs: 0 });
  await third.close();
  expect(opens().needsReconcile).toBe(false);
});

it('an index that turns out damaged while it is used is moved aside, and goes on empty', async () => {
  const dataDir = await tempDir();
  const path = join(dataDir, 'metadata.db');
  const filled = await start(dataDir);
  for (let n = 0; n < 5000; n += 1) await filled.blobs.put({ digest: digestNumber(n), sizeBytes: 1 }, n);
  await filled.reconciled();
  await filled.close();

  const opened = openDatabase(dataDir);
  // Nothing of what its check read is to be had from memory.
  opened.database.exec('PRAGMA cache_size = 5; PRAGMA shrink_memory');
  const store = closeAfterTest(new SqliteMetadataStore(opened, leastRecentUse));
  const lost: string[] = [];
  store.onLost = (setAside) => lost.push(setAside);
  const file = await open(path, 'r+');
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
  await file.close();
  const asked = await Promise.allSettled(
    Array.from({ length: 5000 }, (_, n) => store.blobs.get(digestNumber(n))),
  );
  expect(asked.some(({ status }) => status === 'rejected')).toBe(true);
  expect(lost).toHaveLength(1);
  expect(store.needsReconcile).toBe(true);
  expect(await store.blobs.totals()).toMatchObject({ blobs: 0 });
  await store.blobs.put({ digest: digestNumber(1), sizeBytes: 1 }, 1);
  expect(await store.blobs.get(digestNumber(1))).toEqual({ digest: digestNumber(1), sizeBytes: 1 });
});

it('the ranking is told where eviction has come to, also by the process before', async () => {
  const dataDir = await tempDir();
  const floors: number[] = [];
  const ranking = {
    ...leastRecentUse,
    rankOf: ({ usedAt }: BlobUse, floor: number) => (floors.push(floor), usedAt),
  };
  const [a, b, c, d] = [digestNumber(1), digestNumber(2), digestNumber(3), digestNumber(4)];
  const store = new SqliteMetadataStore(openDatabase(dataDir), ranking);
  await store.blobs.put({ digest: a, sizeBytes: 1 }, 100);
  await store.blobs.put({ digest: b, sizeBytes: 1 }, 200);
  await store.blobs.put({ digest: c, sizeBytes: 1 }, 300);
  await store.blobs.touch(new Map([[a, 400]]));
  // Nothing was given up yet: it begins with the first use.
  expect(floors.splice(0)).toEqual([100, 100, 100, 100]);
  await store.blobs.evict(b);
  await store.blobs.delete(c);
  await store.blobs.put({ digest: d, sizeBytes: 1 }, 500);
  expect(floors.splice(0)).toEqual([200]);
  await store.close();

  const next = closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir), ranking));
  await next.blobs.touch(new Map([[d, 600]]));
  expect(floors).toEqual([400]);
});

const repositoryNumber = (n: number) => ({
  upstream: 'docker.io',
  repository: parseRepositoryName(`library/app-${n}`),
});

it('leaves the event loop free while images are looked for among many repositories of which nothing is stored', async () => {
  const store = await start();
  for (let n = 0; n < 300; n += 1)
    await store.recordHoldings(repositoryNumber(n), [{ digest: digestNumber(n), sizeBytes: 1 }]);
  const digest = digestNumber(299);
  await store.recordHoldings(repositoryNumber(299), [{ digest, sizeBytes: 1, manifestType: 'm' }]);
  await store.blobs.put({ digest, sizeBytes: 1 }, 1);
  let pages = 0;
  const found: string[] = [];
  for (let after: string | undefined; ; pages += 1) {
    const page = await store.images.page({}, after, 10);
    found.push(...page.images.map((image) => image.digest));
    after = page.next;
    if (after === undefined) break;
  }
  expect(found).toEqual([digest]);
  expect(pages).toBeGreaterThan(3);
});
