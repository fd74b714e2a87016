import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SLAB_BYTES, SlabPool } from '../../src/content/slabs.ts';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { failingFileSystem } from '../support/failing-file-system.ts';
import { tempDir } from '../support/temp-dir.ts';
import { bytesOf, contentStoreContract, storedBytes, writeRange } from './content-store-contract.ts';

async function start(dataDir?: string) {
  const directory = dataDir ?? (await tempDir());
  const fileSystem = failingFileSystem();
  const slabs = new SlabPool(8);
  const hashes = closeAfterTest(new HashWorkers(1));
  const parts = { hashes, slabs, buffers: new ReadBuffers(2), fileSystem };
  const store = await DiskContentStore.open(directory, parts);
  fileSystem.calls.length = 0;
  const ingesting = () => readdir(join(directory, 'content', 'v1', 'ingest'));
  return { store, slabs, fileSystem, parts, dataDir: directory, ingesting };
}

type Started = Awaited<ReturnType<typeof start>>;

contentStoreContract('the disk', () => start());

const BYTES = bytesOf(2 * SLAB_BYTES + 10);
const DIGEST = digestOf(BYTES);

/** One blob in, as a fill brings it in. */
async function ingestOne({ store, slabs }: Started) {
  const ingest = await store.ingest(DIGEST, BYTES.length);
  try {
    await writeRange(slabs, ingest, BYTES);
    expect(await ingest.verify(BYTES.length)).toBe(DIGEST);
    await ingest.commit();
  } finally {
    await ingest.close();
  }
}

describe('content on disk', () => {
  it('is synced before it is renamed, and every directory that was made before the commit is done', async () => {
    const started = await start();
    await ingestOne(started);
    const { calls } = started.fileSystem;
    const names = calls.map(({ name }) => name);
    expect(names.filter((name) => name !== 'write')).toEqual([
      'open',
      'sync',
      'makeDirectory',
      'rename',
      'syncDirectory',
      'syncDirectory',
      'syncDirectory',
    ]);
    expect(names.lastIndexOf('write')).toBeLessThan(names.indexOf('sync'));
    const root = join(started.dataDir, 'content', 'v1');
    const directory = join(root, 'sha256', digestHex(DIGEST).slice(0, 2));
    expect(calls.find(({ name }) => name === 'rename')?.path).toBe(join(directory, digestHex(DIGEST)));
    const synced = calls.filter(({ name }) => name === 'syncDirectory').map(({ path }) => path);
    expect(synced).toEqual([directory, dirname(directory), root]);
  });

  it('that is small and put whole is committed in the same order', async () => {
    const { store, fileSystem } = await start();
    await store.put(DIGEST, BYTES);
    const names = fileSystem.calls.map(({ name }) => name);
    expect(names.slice(0, 6)).toEqual(['open', 'write', 'sync', 'makeDirectory', 'rename', 'syncDirectory']);
    fileSystem.calls.length = 0;
    await store.put(DIGEST, BYTES);
    expect(fileSystem.calls.filter(({ name }) => name === 'syncDirectory')).toHaveLength(1);
  });

  it('is there after a restart, and what was on its way in is swept', async () => {
    const first = await start();
    await first.store.put(DIGEST, BYTES);
    const left = await first.store.ingest(digestOf(bytesOf(10)), 10);
    expect(await first.ingesting()).toHaveLength(1);
    await writeFile(join(first.dataDir, 'content', 'v1', 'ingest', 'leftover'), 'x');
    await mkdir(join(first.dataDir, 'content', 'v1', 'ingest', 'odd', 'tree'), { recursive: true });
    const second = await start(first.dataDir);
    expect(await second.ingesting()).toEqual([]);
    expect((await second.store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    await left.close();
  });

  it('leaves no temporary file behind, whether it is committed, closed or put', async () => {
    const started = await start();
    await ingestOne(started);
    await started.store.put(digestOf(bytesOf(10)), bytesOf(10));
    const given = await started.store.ingest(digestOf(bytesOf(20)), 20);
    await given.close();
    await started.store.probe();
    expect(await started.ingesting()).toEqual([]);
  });

  it('is not a directory that stands where the file should be', async () => {
    const { store, dataDir } = await start();
    const hex = digestHex(DIGEST);
    await mkdir(join(dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex), { recursive: true });
    await expect(store.open(DIGEST, BYTES.length)).rejects.toMatchObject({ name: 'ContentError' });
  });

  it('that cannot be read is a failure, not missing', async () => {
    const { store, fileSystem } = await start();
    await store.put(DIGEST, BYTES);
    fileSystem.rule = (name) => (name === 'open' ? 'EACCES' : undefined);
    await expect(store.open(DIGEST, BYTES.length)).rejects.toMatchObject({ reason: 'io' });
    fileSystem.rule = (name) => (name === 'read' ? 'EIO' : undefined);
    await expect(store.readWhole(DIGEST, BYTES.length)).rejects.toMatchObject({ reason: 'io' });
    const content = await store.open(DIGEST, BYTES.length);
    await expect(content?.read(0, 10, new AbortController().signal)).rejects.toMatchObject({ reason: 'io' });
    content?.close();
    fileSystem.rule = (name) => (name === 'unlink' ? 'EROFS' : undefined);
    await expect(store.delete(DIGEST)).rejects.toMatchObject({ reason: 'io' });
  });
});

describe.each([
  ['ENOSPC', 'no-space'],
  ['EDQUOT', 'no-space'],
  ['EIO', 'io'],
] as const)('when the disk answers %s', (code, reason) => {
  it('at any one call of an ingest, the digest is still right, and nothing that was not committed is visible', async () => {
    const healthy = await start();
    await ingestOne(healthy);
    const total = healthy.fileSystem.calls.length;
    expect(total).toBeGreaterThan(8);
    for (let nth = 1; nth <= total; nth += 1) {
      const { store, slabs, fileSystem, ingesting } = await start();
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      const began = store.ingest(DIGEST, BYTES.length);
      if (nth === 1) {
        await expect(began).rejects.toMatchObject({ name: 'ContentError', reason });
        continue;
      }
      const ingest = await began;
      const isStored = await writeRange(slabs, ingest, BYTES);
      expect(ingest.storeFailure?.reason).toBe(isStored ? undefined : reason);
      expect(await ingest.verify(BYTES.length)).toBe(DIGEST);
      await expect(ingest.commit()).rejects.toMatchObject({ name: 'ContentError', reason });
      expect(ingest.storeFailure?.reason).toBe(reason);
      await ingest.close();
      expect(await ingesting()).toEqual([]);
      // After the rename the file may stand there, whole: no row will say so.
      const left = await storedBytes(store, DIGEST, BYTES.length);
      const failed = fileSystem.calls[nth - 1]?.name;
      if (failed !== 'syncDirectory') expect(left, `call ${nth}, ${failed}`).toBeUndefined();
      else expect(left?.equals(BYTES)).toBe(true);
    }
  });

  it('at any one call of a put, the put fails, and the next one works', async () => {
    const healthy = await start();
    await healthy.store.put(DIGEST, BYTES);
    const total = healthy.fileSystem.calls.length;
    for (let nth = 1; nth <= total; nth += 1) {
      const { store, fileSystem, ingesting } = await start();
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      await expect(store.put(DIGEST, BYTES)).rejects.toMatchObject({ name: 'ContentError', reason });
      expect(await ingesting()).toEqual([]);
      await store.put(DIGEST, BYTES);
      expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    }
  });

  it('at any one call of a probe but the last, the probe fails; without trouble it succeeds', async () => {
    const { store, fileSystem, ingesting } = await start();
    await store.probe();
    const names = fileSystem.calls.map(({ name }) => name);
    expect(names.at(-1)).toBe('unlink');
    for (let nth = 1; nth < names.length; nth += 1) {
      fileSystem.calls.length = 0;
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      await expect(store.probe()).rejects.toMatchObject({ name: 'ContentError', reason });
      expect(await ingesting()).toEqual([]);
    }
    fileSystem.rule = () => undefined;
    await store.probe();
  });

  it('at any one call while it starts, the store does not open', async () => {
    const { parts, fileSystem } = await start();
    const dataDir = await tempDir();
    await DiskContentStore.open(dataDir, parts);
    const total = fileSystem.calls.length - 1;
    for (let nth = 1; nth <= total; nth += 1) {
      fileSystem.calls.length = 0;
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      await expect(DiskContentStore.open(dataDir, parts)).rejects.toMatchObject({
        name: 'ContentError',
        reason,
      });
    }
  });
});

describe('an ingest whose disk fills up', () => {
  it('reads back what it had stored, and hashes in order what comes after', async () => {
    const { store, slabs, fileSystem } = await start();
    const ingest = await store.ingest(DIGEST, BYTES.length);
    expect(await writeRange(slabs, ingest, BYTES, 0, SLAB_BYTES)).toBe(true);
    fileSystem.rule = (name) => (name === 'write' ? 'ENOSPC' : undefined);
    expect(await writeRange(slabs, ingest, BYTES, SLAB_BYTES)).toBe(false);
    const chunk = await ingest.read(0, 100);
    expect(BYTES.subarray(0, 100).equals(chunk.bytes)).toBe(true);
    chunk.release();
    expect(ingest.stored.list).toEqual([{ start: 0, end: SLAB_BYTES }]);
    expect(await ingest.verify(BYTES.length)).toBe(DIGEST);
    await ingest.close();
  });

  it('refuses bytes out of order, which have no place to wait', async () => {
    const { store, slabs, fileSystem, ingesting } = await start();
    fileSystem.rule = (name) => (name === 'write' ? 'ENOSPC' : undefined);
    const ingest = await store.ingest(DIGEST, BYTES.length);
    await expect(writeRange(slabs, ingest, BYTES, SLAB_BYTES)).rejects.toMatchObject({ reason: 'no-space' });
    await ingest.close();
    expect(await ingesting()).toEqual([]);
  });

  it('goes on when a write takes only part of the bytes, and fails to store when it takes none', async () => {
    const { store, slabs, fileSystem } = await start();
    const write = fileSystem.write.bind(fileSystem);
    fileSystem.write = (file, bytes, length, position) =>
      write(file, bytes, Math.min(length, 100_000), position);
    await ingestOne({ store, slabs } as Started);
    expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    fileSystem.write = () => Promise.resolve(0);
    const ingest = await store.ingest(DIGEST, BYTES.length);
    expect(await writeRange(slabs, ingest, BYTES)).toBe(false);
    expect(ingest.storeFailure?.reason).toBe('io');
    await ingest.close();
  });
});

it('a file is named by its digest, below its algorithm and the first two digits', async () => {
  const { store, dataDir } = await start();
  const digest = digestOf(BYTES, 'sha512');
  await store.put(digest, BYTES);
  const hex = digestHex(digest);
  const directory = join(dataDir, 'content', 'v1', 'sha512', hex.slice(0, 2));
  expect((await readdir(directory)).map((path) => basename(path))).toEqual([hex]);
});
