import { expect, it } from 'vitest';
import { storedFacts } from '../../src/activity/stored-facts.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import type { NewManifest } from '../../src/metadata/metadata-store.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { tempDir } from '../support/temp-dir.ts';

const KEY = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
const signal = new AbortController().signal;

async function startStore(): Promise<SqliteMetadataStore> {
  return closeAfterTest(new SqliteMetadataStore(openDatabase(await tempDir()), leastRecentUse));
}

/** An image of layers of 1,000 bytes, each named; its manifest has 100. */
async function pulled(store: SqliteMetadataStore, tag: string, layers: readonly string[], usedAt: number) {
  const digest = digestOf(Buffer.from(`manifest ${tag}`));
  const children = layers.map((layer) => ({
    digest: digestOf(Buffer.from(layer)),
    sizeBytes: 1000,
    kind: 'layer' as const,
    isHeld: true,
  }));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest: NewManifest = { digest, sizeBytes: 100, mediaType, isIndex: false, children };
  await store.recordManifest(KEY, manifest);
  await store.blobs.put({ digest, sizeBytes: 100 }, usedAt);
  for (const child of children) await store.blobs.put(child, usedAt);
  await store.putTag({ ...KEY, tag: parseTag(tag), accept: '' }, { digest, checkedAt: 1 });
}

it('says which part of what images need is stored once for several', async () => {
  const store = await startStore();
  await pulled(store, 'a', ['base', 'one'], 1);
  expect((await storedFacts(store, { since: 0, top: 5 }, signal)).sharedShare).toBe(0);
  await pulled(store, 'b', ['base', 'two'], 1);
  // Two images of 2,100 bytes, in 3,200.
  const { sharedShare = NaN } = await storedFacts(store, { since: 0, top: 5 }, signal);
  expect(sharedShare).toBeCloseTo(1 - 3200 / 4200, 10);
});

it('says nothing of shares where nothing is stored', async () => {
  const facts = await storedFacts(await startStore(), { since: 0, top: 5 }, signal);
  expect(facts).toEqual({ unused: [], unusedCount: 0, unusedBytes: 0 });
});

it('names images that were not used since, those that would free most first', async () => {
  const store = await startStore();
  await pulled(store, 'small', ['base', 's'], 10);
  await pulled(store, 'large', ['base', 'l1', 'l2', 'l3'], 20);
  await pulled(store, 'used', ['base', 'u'], 30);
  const facts = await storedFacts(store, { since: 30, top: 5 }, signal);
  expect(facts).toMatchObject({ unusedCount: 2, unusedBytes: 1100 + 3100 });
  expect(facts.unused).toEqual([
    { image: 'docker.io/library/app:large', bytes: 3100, usedAt: 20 },
    { image: 'docker.io/library/app:small', bytes: 1100, usedAt: 10 },
  ]);
  const one = await storedFacts(store, { since: 30, top: 1 }, signal);
  expect(one.unused.map(({ image }) => image)).toEqual(['docker.io/library/app:large']);
  expect(one.unusedCount).toBe(2);
});

it('looks through more than fits into one turn', async () => {
  const store = await startStore();
  for (let at = 0; at < 2500; at += 1)
    await store.blobs.put({ digest: digestOf(Buffer.from(String(at))), sizeBytes: 1 }, 1);
  await pulled(store, 'a', ['x'], 1);
  await pulled(store, 'b', ['x'], 1);
  const { sharedShare = NaN } = await storedFacts(store, { since: 0, top: 1 }, signal);
  expect(sharedShare).toBeCloseTo(1 - 3700 / 4700, 10);
});
