import { mkdir, open, readdir, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { buildImage } from '../support/images.ts';
import { SOON } from '../support/soon.ts';
import { startStore } from './store-under-test.ts';

const INDEX_FILES = ['metadata.db', 'metadata.db-wal', 'metadata.db-shm'];
const BLOBS = Array.from({ length: 40 }, (_, at) => Buffer.alloc(1000 + at, `blob ${at} `));
const digests = BLOBS.map((bytes) => digestOf(bytes));

type Store = Awaited<ReturnType<typeof startStore>>;

/** A directory that was filled and closed. */
async function filled(blobs: readonly Buffer[] = BLOBS): Promise<string> {
  const store = await startStore();
  for (const bytes of blobs) await store.cache.put(digestOf(bytes), bytes);
  await store.cache.close();
  await store.metadata.close();
  return store.dataDir;
}

async function loseIndex(dataDir: string): Promise<void> {
  for (const name of INDEX_FILES) await rm(join(dataDir, name), { force: true });
}

const phaseOf = ({ cache }: Store) => cache.upkeep.progress.reconcile.phase;

async function reconciled(store: Store): Promise<void> {
  await store.cache.begin();
  await settled(store);
}

async function settled(store: Store): Promise<void> {
  await vi.waitFor(
    () => {
      void store.clock.advance(1000);
      expect(phaseOf(store)).toBe('done');
    },
    { ...SOON, interval: 5 },
  );
}

async function rowsOf(store: Store): Promise<readonly Digest[]> {
  const { blobs } = await store.metadata.blobs.page(0, 1000);
  return blobs.map(({ digest }) => digest).toSorted();
}

describe('reconciling', () => {
  it('gives every file its row again when the index is gone, last used when it was written', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await reconciled(store);
    expect(await rowsOf(store)).toEqual(digests.toSorted());
    expect(store.cache.upkeep.progress.reconcile).toMatchObject({ files: 40, adopted: 40, quarantined: 0 });
    expect(store.cache.usage.storedBlobs).toBe(40);
    expect(store.told).toEqual([]);
    const blob = await store.metadata.blobs.describe(digests[0] ?? digestOf(Buffer.alloc(0)));
    expect(Math.abs((blob?.usedAt ?? 0) - Date.now())).toBeLessThan(60_000);
    expect(store.metadata.needsReconcile).toBe(false);
  });

  it('sets wrong bytes and strays aside, and deletes nothing', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    const [first, second] = digests;
    if (first === undefined || second === undefined) throw new Error('no blobs');
    await writeFile(store.fileOf(first), 'X', { flag: 'r+' });
    await truncate(store.fileOf(second), 3);
    await writeFile(join(dirname(store.fileOf(first)), 'stray'), 'stray');
    await writeFile(join(dataDir, 'content', 'v1', 'readme.txt'), 'stray');
    await reconciled(store);
    expect(store.cache.upkeep.progress.reconcile).toMatchObject({ adopted: 38, quarantined: 2, strays: 2 });
    expect(await readdir(join(dataDir, 'content', 'v1', 'quarantine'))).toHaveLength(4);
    expect(store.told).toEqual(['integrity reconcile', 'integrity reconcile']);
    expect(await rowsOf(store)).toEqual(digests.slice(2).toSorted());
  });

  it('drops rows whose files are gone, and adopts what is right though its row was wrong', async () => {
    const dataDir = await filled();
    const store = await startStore({ dataDir });
    const [first, second] = digests;
    if (first === undefined || second === undefined) throw new Error('no blobs');
    await rm(store.fileOf(first));
    await store.metadata.blobs.put({ digest: second, sizeBytes: 7 }, 1);
    await reconciled(store);
    expect(store.cache.upkeep.progress.reconcile).toMatchObject({ dropped: 2, adopted: 1 });
    expect(await rowsOf(store)).toEqual(digests.slice(1).toSorted());
    expect(store.told).toEqual(['integrity reconcile', 'integrity reconcile']);
  });

  it('does nothing after a clean end, and again what was not finished', async () => {
    const dataDir = await filled();
    const first = await startStore({ dataDir });
    await reconciled(first);
    await first.cache.close();
    await first.metadata.close();
    const second = await startStore({ dataDir });
    expect(second.metadata.needsReconcile).toBe(false);
    await second.cache.begin();
    expect(phaseOf(second)).toBe('done');
    await second.cache.close();
    await second.metadata.close();
  });

  it('knows what manifests list, so that an image is given up as one', async () => {
    const image = buildImage();
    const blobs = [...image.blobs, ...image.manifests].map(({ bytes }) => bytes);
    const dataDir = await filled(blobs);
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await reconciled(store);
    const kinds = (await store.metadata.blobs.page(0, 100)).blobs.map(({ kind }) => kind);
    expect(new Set(kinds)).toContain('manifest');
    expect(new Set(kinds)).toContain('config');
    expect((await store.metadata.images.sizes(image.root.digest)).blobs).toBeGreaterThan(2);
  });

  it('sets nothing aside while the index cannot be asked, and goes on when it can', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    vi.spyOn(store.metadata.blobs, 'get').mockRejectedValueOnce(new Error('the index is busy'));
    await store.cache.begin();
    await expect.poll(() => phaseOf(store)).toBe('waiting');
    expect(await readdir(join(dataDir, 'content', 'v1'))).not.toContain('quarantine');
    await store.clock.advance(31_000);
    await settled(store);
    expect(await rowsOf(store)).toEqual(digests.toSorted());
    expect(store.metadata.needsReconcile).toBe(false);
  });

  it('leaves what cannot be read just now where it is, for the next process', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    const opening = store.fileSystem.open.bind(store.fileSystem);
    let isFirst = true;
    store.fileSystem.open = (path, flags, mode) => {
      if (!isFirst || !path.includes('sha256')) return opening(path, flags, mode);
      isFirst = false;
      return Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }));
    };
    await reconciled(store);
    expect(store.cache.upkeep.progress.reconcile).toMatchObject({
      adopted: 39,
      unreadable: 1,
      quarantined: 0,
    });
    expect(store.metadata.needsReconcile).toBe(true);
  });

  it('a stray that cannot be moved keeps nothing else from being adopted', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await mkdir(join(dataDir, 'content', 'v1', 'backup'));
    store.fileSystem.rule = (name, _, path) =>
      name === 'readDirectory' && path?.endsWith('backup') === true ? 'EACCES' : undefined;
    await reconciled(store);
    expect(await rowsOf(store)).toEqual(digests.toSorted());
    expect(store.cache.upkeep.progress.reconcile).toMatchObject({ strays: 0, unreadable: 1 });
    expect(store.metadata.needsReconcile).toBe(true);
  });

  it('a file that was written in the future makes nothing else look old', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    const [first = digestOf(Buffer.alloc(0))] = digests;
    const future = new Date(store.clock.now() + 400 * 86_400_000);
    await utimes(store.fileOf(first), future, future);
    await reconciled(store);
    expect(await store.metadata.blobs.latestUse()).toBeLessThanOrEqual(store.clock.now() + 60_000);
  });

  it('ends at once when the store is closed, and the next process goes on', async () => {
    const dataDir = await filled([Buffer.alloc(300 * 1024 * 1024, 'large'), ...BLOBS]);
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await store.cache.begin();
    await expect.poll(() => phaseOf(store)).toBe('adopting');
    await store.cache.close();
    expect(store.metadata.needsReconcile).toBe(true);
    await store.metadata.close();
    const next = await startStore({ dataDir });
    await reconciled(next);
    expect(await rowsOf(next)).toHaveLength(41);
  });
});

describe('while files have no rows yet', () => {
  it('what is asked for is adopted at once, by any number of requests', async () => {
    const dataDir = await filled([Buffer.alloc(300 * 1024 * 1024, 'large'), ...BLOBS]);
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await store.cache.begin();
    const asked = digests[20] ?? digestOf(Buffer.alloc(0));
    const all = await Promise.all(Array.from({ length: 5 }, () => store.cache.readWhole(asked)));
    for (const bytes of all) expect(bytes?.equals(BLOBS[20] ?? Buffer.alloc(0))).toBe(true);
    expect(phaseOf(store)).not.toBe('done');
    expect(store.told).toEqual([]);
  });

  it('what is adopted on demand before it is listed takes nothing from what was', async () => {
    const dataDir = await filled(BLOBS.map((_, at) => Buffer.alloc(1000, `alike ${at} `)));
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    const gate = new Gate();
    const listing = store.content.list.bind(store.content);
    const seen = new Set<Digest>();
    store.content.list = async function* (signal) {
      for await (const slice of listing(signal)) {
        if (seen.size > 1) await gate.pass();
        for (const { digest } of slice.files) seen.add(digest);
        yield slice;
      }
    };
    await store.cache.begin();
    await gate.arrived();
    const all = await readdir(join(dataDir, 'content', 'v1', 'sha256'), { recursive: true });
    const names = all.filter((name) => name.includes('/')).map((name) => `sha256:${name.slice(3)}` as Digest);
    const unseen = names.filter((digest) => !seen.has(digest));
    for (const digest of unseen) expect(await store.cache.row(digest)).toBeDefined();
    gate.open();
    await settled(store);
    expect(unseen.length).toBeGreaterThan(20);
    expect(await rowsOf(store)).toHaveLength(40);
  });

  it('what is asked for and has wrong bytes is a miss, set aside', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    const asked = digests[20] ?? digestOf(Buffer.alloc(0));
    await writeFile(store.fileOf(asked), 'X', { flag: 'r+' });
    await store.cache.begin();
    expect(await store.cache.open(asked)).toBeUndefined();
    await expect(readFile(store.fileOf(asked))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(store.told).toEqual(['integrity reconcile']);
  });

  it('they count as held, and nothing is evicted for what is new', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir, limitBytes: 45 * 4096 });
    await store.cache.begin();
    const fresh = Buffer.alloc(10 * 4096, 'fresh');
    expect(await store.cache.put(digestOf(fresh), fresh)).toBe(false);
    await reconciled(store);
    expect(await rowsOf(store)).toHaveLength(40);
  });

  it('what was adopted may go for what is new, once it is known how much there is', async () => {
    const large = Buffer.alloc(300 * 1024 * 1024, 'large');
    const dataDir = await filled([large, ...BLOBS]);
    await loseIndex(dataDir);
    const store = await startStore({ dataDir, limitBytes: large.length + 40 * 4096 });
    await store.cache.begin();
    for (const digest of digests.slice(0, 5)) expect(await store.cache.readWhole(digest)).toBeDefined();
    await expect.poll(() => phaseOf(store)).toBe('adopting');
    const fresh = Buffer.alloc(4096, 'fresh');
    expect(await store.cache.put(digestOf(fresh), fresh)).toBe(true);
    expect(phaseOf(store)).toBe('adopting');
    expect(store.told.some((what) => what.startsWith('evicted'))).toBe(true);
    const { storedBytes, otherBytes, limitBytes } = store.cache.usage;
    expect(storedBytes + otherBytes).toBeLessThanOrEqual(limitBytes);
  });

  it('they go on to count when the process ends before it has got all of them back', async () => {
    const dataDir = await filled([Buffer.alloc(300 * 1024 * 1024, 'large'), ...BLOBS]);
    await loseIndex(dataDir);
    const first = await startStore({ dataDir });
    await first.cache.begin();
    await expect.poll(() => phaseOf(first)).toBe('adopting');
    const asked = digests[20] ?? digestOf(Buffer.alloc(0));
    expect(await first.cache.readWhole(asked)).toBeDefined();
    await first.cache.close();
    await first.metadata.close();
    const second = await startStore({ dataDir, limitBytes: 330 * 1024 * 1024 });
    await second.cache.begin();
    const fresh = Buffer.alloc(40 * 1024 * 1024, 'fresh');
    expect(await second.cache.put(digestOf(fresh), fresh)).toBe(false);
    await reconciled(second);
    expect(second.told).toEqual([]);
    expect(await rowsOf(second)).toHaveLength(41);
    await second.cache.close();
    await second.metadata.close();
    const third = await startStore({ dataDir });
    expect(await third.metadata.mark('index-lost')).toBe(0);
  });

  it('a file that is committed meanwhile is neither adopted twice nor set aside', async () => {
    const dataDir = await filled();
    await loseIndex(dataDir);
    const store = await startStore({ dataDir });
    await store.cache.begin();
    await Promise.all(BLOBS.map((bytes) => store.cache.put(digestOf(bytes), bytes)));
    await reconciled(store);
    expect(await rowsOf(store)).toEqual(digests.toSorted());
    expect(store.cache.usage.storedBlobs).toBe(40);
    expect(store.cache.usage.storedBytes).toBe(40 * 4096);
    expect(store.told.filter((what) => what.startsWith('integrity'))).toEqual([]);
  });
});

it('an index that breaks while it is used is begun anew, and filled from the files', async () => {
  const dataDir = await filled();
  const store = await startStore({ dataDir });
  await reconciled(store);
  const [first] = digests;
  if (first === undefined) throw new Error('no blobs');
  // Nothing is to be had from memory or the log.
  store.database.exec('PRAGMA wal_checkpoint(TRUNCATE); PRAGMA cache_size = 1; PRAGMA shrink_memory');
  const file = await open(join(dataDir, 'metadata.db'), 'r+');
  const { size } = await file.stat();
  await file.write(Buffer.alloc(size - 4096, 0xa5), 0, size - 4096, 4096);
  await file.close();
  expect(await store.cache.row(first)).toBeUndefined();
  expect(store.metadata.needsReconcile).toBe(true);
  await vi.waitFor(() => {
    void store.clock.advance(1000);
    expect(phaseOf(store)).toBe('done');
  }, SOON);
  expect(await rowsOf(store)).toEqual(digests.toSorted());
  expect(store.cache.usage.storedBlobs).toBe(40);
});
