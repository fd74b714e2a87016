import { join } from 'node:path';
import { expect, it } from 'vitest';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { openLasting } from '../../src/metadata/lasting-database.ts';
import { MIGRATIONS } from '../../src/metadata/migrations.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseTag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { tempDir } from '../support/temp-dir.ts';
import { APP } from './metadata-store-contract.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

it('an index of format 1 keeps its blobs, their order, holdings, tags and lists', async () => {
  const dataDir = await tempDir();
  const [manifest, layer] = [digestOf(Buffer.from('m')), digestOf(Buffer.from('l'), 'sha512')];
  const old = openLasting(join(dataDir, 'metadata.db'));
  old.exec(MIGRATIONS[0] ?? '');
  old.exec(`
    INSERT INTO blobs VALUES ('${manifest}', 10, 200), ('${layer}', 20, 100);
    INSERT INTO repositories VALUES (7, 'docker.io', 'library/app');
    INSERT INTO holdings VALUES (7, '${manifest}', 10, '${MANIFEST}'), (7, '${layer}', 20, NULL);
    INSERT INTO tags VALUES (7, 'latest', '', '${manifest}', 3);
    INSERT INTO tag_lists VALUES (7, '["latest"]', 4);
    INSERT INTO referrers VALUES (7, '${manifest}', '[{"digest":"x"}]', 5);
    PRAGMA user_version = 1;
  `);
  old.close();

  const opened = openDatabase(dataDir);
  expect(opened.setAside).toBeUndefined();
  const store = closeAfterTest(new SqliteMetadataStore(opened, leastRecentUse));
  expect(store.needsReconcile).toBe(true);
  expect(await store.blobs.totals()).toMatchObject({ bytes: 30, blobs: 2 });
  const order = await store.blobs.victims({ limit: 9 });
  expect(order.map(({ digest, kind }) => [digest, kind])).toEqual([
    [layer, 'layer'],
    [manifest, 'manifest'],
  ]);
  expect(await store.holding(APP, manifest)).toEqual({ sizeBytes: 10, manifestType: MANIFEST });
  expect(await store.holding(APP, layer)).toEqual({ sizeBytes: 20, manifestType: undefined });
  expect(await store.tag({ ...APP, tag: parseTag('latest'), accept: '' })).toEqual({
    digest: manifest,
    checkedAt: 3,
  });
  expect(await store.tagList(APP)).toEqual({ items: ['latest'], checkedAt: 4 });
  expect(await store.referrers(APP, manifest)).toEqual({ items: [{ digest: 'x' }], checkedAt: 5 });
});
