import { appendFile, mkdir, open, readdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { SLAB_BYTES } from '../../src/content/slabs.ts';
import { type Digest, digestHex, digestOf } from '../../src/oci/digest.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  bytesOf,
  contentBytes,
  contentStoreContract,
  storedBytes,
  writeRange,
} from './content-store-contract.ts';
import { type DiskStoreUnderTest, startDiskStore } from './disk-store.ts';

contentStoreContract('the disk', () => startDiskStore());

const never = new AbortController().signal;
const BYTES = bytesOf(2 * SLAB_BYTES + 10);
const DIGEST = digestOf(BYTES);

/** Other bytes, the same size. */
async function overwrite(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.write('other', 1_000_000);
  await file.close();
}

/** One blob in, as a fill brings it in. */
async function ingestOne({ store, slabs }: DiskStoreUnderTest) {
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
    const started = await startDiskStore();
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
      'close',
    ]);
    expect(names.lastIndexOf('write')).toBeLessThan(names.indexOf('sync'));
    const root = join(started.dataDir, 'content', 'v1');
    const directory = join(root, 'sha256', digestHex(DIGEST).slice(0, 2));
    expect(calls.find(({ name }) => name === 'rename')?.path).toBe(join(directory, digestHex(DIGEST)));
    const synced = calls.filter(({ name }) => name === 'syncDirectory').map(({ path }) => path);
    expect(synced).toEqual([directory, dirname(directory), root]);
  });

  it('that is small and put whole is committed in the same order', async () => {
    const { store, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const names = fileSystem.calls.map(({ name }) => name);
    expect(names.slice(0, 6)).toEqual(['open', 'write', 'sync', 'makeDirectory', 'rename', 'syncDirectory']);
    fileSystem.calls.length = 0;
    await store.put(DIGEST, BYTES);
    expect(fileSystem.calls.filter(({ name }) => name === 'syncDirectory')).toHaveLength(1);
  });

  it('is there after a restart, and what was on its way in is swept', async () => {
    const first = await startDiskStore();
    await first.store.put(DIGEST, BYTES);
    const left = await first.store.ingest(digestOf(bytesOf(10)), 10);
    expect(await first.ingesting()).toHaveLength(1);
    await writeFile(join(first.dataDir, 'content', 'v1', 'ingest', 'leftover'), 'x');
    await mkdir(join(first.dataDir, 'content', 'v1', 'ingest', 'odd', 'tree'), { recursive: true });
    const second = await startDiskStore(first.dataDir);
    expect(await second.ingesting()).toEqual([]);
    await expect.poll(() => readdir(second.root)).toEqual(['ingest', 'sha256']);
    expect((await second.store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    await left.close();
  });

  it('leaves no temporary file behind, whether it is committed, closed or put', async () => {
    const started = await startDiskStore();
    await ingestOne(started);
    await started.store.put(digestOf(bytesOf(10)), bytesOf(10));
    const given = await started.store.ingest(digestOf(bytesOf(20)), 20);
    await given.close();
    await started.store.probe();
    expect(await started.ingesting()).toEqual([]);
  });

  it('is not a directory that stands where the file should be', async () => {
    const { store, dataDir } = await startDiskStore();
    const hex = digestHex(DIGEST);
    await mkdir(join(dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex), { recursive: true });
    await expect(store.open(DIGEST, BYTES.length)).rejects.toMatchObject({ name: 'ContentError' });
  });

  it('that cannot be read is a failure, not missing', async () => {
    const { store, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    fileSystem.rule = (name) => (name === 'open' ? 'EACCES' : undefined);
    await expect(store.open(DIGEST, BYTES.length)).rejects.toMatchObject({ reason: 'io' });
    fileSystem.rule = (name) => (name === 'read' ? 'EIO' : undefined);
    await expect(store.readWhole(DIGEST, BYTES.length)).rejects.toMatchObject({ reason: 'io' });
    const content = await store.open(DIGEST, BYTES.length);
    await expect(content?.read(0, 10, never)).rejects.toMatchObject({ reason: 'io' });
    content?.close();
    fileSystem.rule = (name) => (name === 'unlink' ? 'EROFS' : undefined);
    await expect(store.delete(DIGEST)).rejects.toMatchObject({ reason: 'io' });
    // Nobody may be told that files and rows agree.
    await expect(store.close()).rejects.toMatchObject({ name: 'ContentError', reason: 'io' });
    fileSystem.rule = () => undefined;
    expect(await store.delete(DIGEST)).toBe(true);
    await store.close();
  });

  it.each(['EMFILE', 'ENFILE', 'ENOMEM'])('is neither missing nor damaged when there is %s', async (code) => {
    const { store, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    for (const call of ['open', 'statFile', 'read'] as const) {
      fileSystem.rule = (name) => (name === call ? code : undefined);
      for (const ask of [
        () => store.readWhole(DIGEST, BYTES.length),
        () => store.verify(DIGEST, BYTES.length, never),
      ])
        await expect(ask()).rejects.toMatchObject({ name: 'ContentError', reason: 'exhausted' });
    }
    fileSystem.rule = (name) => (name === 'stat' ? code : undefined);
    await expect(store.find(DIGEST)).rejects.toMatchObject({ reason: 'exhausted' });
  });

  it('that is damaged may fail to close as well: damaged is what is told', async () => {
    const { store, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    fileSystem.rule = (name) => (name === 'close' ? 'EIO' : undefined);
    await expect(store.open(DIGEST, 1)).rejects.toMatchObject({ name: 'ContentError', reason: 'damaged' });
    expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
  });

  it('is no link, wherever it leads', async () => {
    const { store, fileOf, dataDir } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const elsewhere = join(dataDir, 'elsewhere');
    await rename(fileOf(DIGEST), elsewhere);
    await symlink(elsewhere, fileOf(DIGEST));
    for (const ask of [
      () => store.open(DIGEST, BYTES.length),
      () => store.readWhole(DIGEST, BYTES.length),
      () => store.find(DIGEST),
      () => store.verify(DIGEST, BYTES.length, never),
    ])
      await expect(ask()).rejects.toMatchObject({ name: 'ContentError', reason: 'damaged' });
    await store.put(DIGEST, BYTES);
    expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
  });

  it.each([
    ['cut', (path: string) => truncate(path, 1000)],
    ['made longer', (path: string) => appendFile(path, 'x')],
    ['written over in its middle', (path: string) => overwrite(path)],
  ])('that is %s while it is read never ends as whole', async (_what, change) => {
    const { store, fileOf } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const content = await store.open(DIGEST, BYTES.length);
    expect.assert(content !== undefined);
    const first = await content.read(0, 100_000, never);
    first.release();
    await change(fileOf(DIGEST));
    await expect(contentBytes(content)).rejects.toMatchObject({ name: 'ContentError', reason: 'damaged' });
    content.close();
  });

  it('is synced once: a commit that failed at its fsync never tries another', async () => {
    const { store, slabs, fileSystem } = await startDiskStore();
    const ingest = await store.ingest(DIGEST, BYTES.length);
    await writeRange(slabs, ingest, BYTES);
    await ingest.verify(BYTES.length);
    fileSystem.rule = (name) => (name === 'sync' ? 'EIO' : undefined);
    await expect(ingest.commit()).rejects.toMatchObject({ reason: 'io' });
    fileSystem.rule = () => undefined;
    await expect(ingest.commit()).rejects.toMatchObject({ reason: 'io' });
    expect(fileSystem.calls.filter(({ name }) => name === 'sync')).toHaveLength(1);
    await ingest.close();
    expect(await store.open(DIGEST, BYTES.length)).toBeUndefined();
  });

  it.each(['syncDirectory', 'rename'] as const)(
    'syncs the directories above it though an earlier commit had failed at %s',
    async (failing) => {
      const { store, fileSystem, root, fileOf } = await startDiskStore();
      let seen = 0;
      // The second fsync of a directory is that of the one above.
      const from = failing === 'rename' ? 1 : 2;
      fileSystem.rule = (name) => (name === failing && (seen += 1) >= from ? 'EIO' : undefined);
      await expect(store.put(DIGEST, BYTES)).rejects.toMatchObject({ reason: 'io' });
      fileSystem.rule = () => undefined;
      fileSystem.calls.length = 0;
      await store.put(DIGEST, BYTES);
      const synced = fileSystem.calls.filter(({ name }) => name === 'syncDirectory').map(({ path }) => path);
      expect(synced).toEqual([dirname(fileOf(DIGEST)), join(root, 'sha256'), root]);
    },
  );

  it('that was removed, or set aside, is gone for good when the store is closed', async () => {
    const { parts, fileSystem, fileOf } = await startDiskStore();
    const store = await DiskContentStore.open(await tempDir(), parts);
    const blobs = [1, 2, 3, 4].map((seed) => bytesOf(100, seed));
    const [removed, aside, again, gone] = blobs.map((bytes) => digestOf(bytes));
    expect.assert(removed !== undefined && aside !== undefined && again !== undefined && gone !== undefined);
    for (const bytes of blobs) await store.put(digestOf(bytes), bytes);
    fileSystem.calls.length = 0;
    await store.delete(removed);
    await store.quarantine(aside);
    await store.delete(again);
    await store.put(again, blobs[2] ?? Buffer.alloc(0));
    const directoryOf = (digest: Digest) => basename(dirname(fileOf(digest)));
    const synced = () =>
      fileSystem.calls.filter(({ name }) => name === 'syncDirectory').map(({ path }) => basename(path ?? ''));
    expect(synced()).toEqual([directoryOf(again)]);
    fileSystem.calls.length = 0;
    fileSystem.rule = (name) => (name === 'syncDirectory' ? 'EIO' : undefined);
    await expect(store.close()).rejects.toMatchObject({ name: 'ContentError', reason: 'io' });
    fileSystem.rule = () => undefined;
    fileSystem.calls.length = 0;
    await store.delete(gone);
    // Who takes the whole directory away need not be told that its names are gone.
    fileSystem.rule = (name, _nth, path) =>
      name === 'syncDirectory' && basename(path ?? '') === directoryOf(gone) ? 'ENOENT' : undefined;
    await store.close();
    expect(synced().toSorted()).toEqual([removed, aside, gone].map(directoryOf).toSorted());
  });

  it('gets its directory back, durably, when that was removed', async () => {
    const { store, fileSystem, root, fileOf } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    await rm(join(root, 'sha256'), { recursive: true });
    fileSystem.calls.length = 0;
    await store.put(DIGEST, BYTES);
    const synced = fileSystem.calls.filter(({ name }) => name === 'syncDirectory').map(({ path }) => path);
    expect(synced).toEqual([dirname(fileOf(DIGEST)), join(root, 'sha256'), root]);
  });
});

describe.each([
  ['ENOSPC', 'no-space'],
  ['EDQUOT', 'no-space'],
  ['EIO', 'io'],
  ['EROFS', 'io'],
  ['EMFILE', 'exhausted'],
] as const)('when the disk answers %s', (code, reason) => {
  it('at any one call of an ingest, the digest is still right, and nothing that was not committed is visible', async () => {
    const healthy = await startDiskStore();
    await ingestOne(healthy);
    expect(healthy.fileSystem.calls.at(-1)?.name).toBe('close');
    const total = healthy.fileSystem.calls.length - 1;
    expect(total).toBeGreaterThan(8);
    for (let nth = 1; nth <= total; nth += 1) {
      const { store, slabs, fileSystem, ingesting } = await startDiskStore();
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

  it('when a committed file is closed, nothing is lost', async () => {
    const started = await startDiskStore();
    started.fileSystem.rule = (name) => (name === 'close' ? code : undefined);
    await ingestOne(started);
    expect((await storedBytes(started.store, DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
  });

  it('at any one call of a put, the put fails, and the next one works', async () => {
    const healthy = await startDiskStore();
    await healthy.store.put(DIGEST, BYTES);
    const total = healthy.fileSystem.calls.length;
    for (let nth = 1; nth <= total; nth += 1) {
      const { store, fileSystem, ingesting } = await startDiskStore();
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      await expect(store.put(DIGEST, BYTES)).rejects.toMatchObject({ name: 'ContentError', reason });
      expect(await ingesting()).toEqual([]);
      await store.put(DIGEST, BYTES);
      expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    }
  });

  it('at any one call of a probe but the last, the probe fails; without trouble it succeeds', async () => {
    const { store, fileSystem, ingesting } = await startDiskStore();
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
});

describe('while it starts', () => {
  it.each([
    ['EIO', 'io'],
    ['EROFS', 'io'],
    ['EMFILE', 'exhausted'],
  ] as const)('the store does not open at %s of any one call', async (code, reason) => {
    const { parts, fileSystem } = await startDiskStore();
    const dataDir = await tempDir();
    await DiskContentStore.open(dataDir, parts).then((store) => store.close());
    fileSystem.calls.length = 0;
    const store = await DiskContentStore.open(dataDir, parts);
    // The last is the removal of the probe's file; what comes after it is in the background.
    const total = fileSystem.calls.findLastIndex(({ name }) => name === 'unlink');
    expect(total).toBeGreaterThan(10);
    await store.close();
    for (let nth = 1; nth <= total; nth += 1) {
      fileSystem.calls.length = 0;
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      const opening = DiskContentStore.open(dataDir, parts);
      await expect(opening, `call ${nth}`).rejects.toMatchObject({ name: 'ContentError', reason });
    }
  });

  it.each(['open', 'write', 'sync', 'makeDirectory', 'rename'] as const)(
    'a disk that is full at every %s keeps nothing from being served, and stores again when there is room',
    async (failing) => {
      const first = await startDiskStore();
      await first.store.put(DIGEST, BYTES);
      const { dataDir, parts, slabs, fileSystem, ingesting } = first;
      await writeFile(join(first.root, 'ingest', 'leftover'), 'x');
      fileSystem.rule = (name, _nth, path) =>
        name === failing && path !== first.fileOf(DIGEST) && path !== first.root ? 'ENOSPC' : undefined;
      const store = await DiskContentStore.open(dataDir, parts);
      expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
      if (failing !== 'rename')
        await expect(store.probe()).rejects.toMatchObject({ name: 'ContentError', reason: 'no-space' });
      expect(await store.delete(DIGEST)).toBe(true);
      fileSystem.rule = () => undefined;
      await ingestOne({ ...first, store, slabs });
      expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
      await expect.poll(() => ingesting()).toEqual([]);
      await store.close();
    },
  );
});

it('a directory of incoming files that somebody took away is made again', async () => {
  const started = await startDiskStore();
  await rm(join(started.root, 'ingest'), { recursive: true });
  await ingestOne(started);
  await rm(join(started.root, 'ingest'), { recursive: true });
  await started.store.put(DIGEST, BYTES);
  expect((await started.store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
});

describe('an ingest whose disk fills up', () => {
  it('reads back what it had stored, and hashes in order what comes after', async () => {
    const { store, slabs, fileSystem } = await startDiskStore();
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
    const { store, slabs, fileSystem, ingesting } = await startDiskStore();
    fileSystem.rule = (name) => (name === 'write' ? 'ENOSPC' : undefined);
    const ingest = await store.ingest(DIGEST, BYTES.length);
    await expect(writeRange(slabs, ingest, BYTES, SLAB_BYTES)).rejects.toMatchObject({ reason: 'no-space' });
    await ingest.close();
    expect(await ingesting()).toEqual([]);
  });

  it('goes on when a write takes only part of the bytes, and fails to store when it takes none', async () => {
    const { store, slabs, fileSystem } = await startDiskStore();
    const write = fileSystem.write.bind(fileSystem);
    fileSystem.write = (file, bytes, length, position) =>
      write(file, bytes, Math.min(length, 100_000), position);
    await ingestOne({ store, slabs } as DiskStoreUnderTest);
    expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    fileSystem.write = () => Promise.resolve(0);
    const ingest = await store.ingest(DIGEST, BYTES.length);
    expect(await writeRange(slabs, ingest, BYTES)).toBe(false);
    expect(ingest.storeFailure?.reason).toBe('io');
    await ingest.close();
  });
});

it('a file is named by its digest, below its algorithm and the first two digits', async () => {
  const { store, dataDir } = await startDiskStore();
  const digest = digestOf(BYTES, 'sha512');
  await store.put(digest, BYTES);
  const hex = digestHex(digest);
  const directory = join(dataDir, 'content', 'v1', 'sha512', hex.slice(0, 2));
  expect((await readdir(directory)).map((path) => basename(path))).toEqual([hex]);
});
