import { mkdir, open, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { bytesOf, listed } from './content-store-contract.ts';
import { startDiskStore } from './disk-store.ts';

const never = new AbortController().signal;
const BYTES = bytesOf(3_000_000);
const DIGEST = digestOf(BYTES);

describe('listing the files of content', () => {
  it('tells what is none apart, wherever it lies', async () => {
    const { store, root, fileOf } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const hex = digestHex(DIGEST);
    const shard = hex.slice(0, 2);
    const other = shard === '00' ? '11' : '00';
    await mkdir(join(root, 'sha256', other));
    await mkdir(join(root, 'sha256', 'lost+found'));
    await mkdir(join(root, 'sha512', 'ab', 'sub'), { recursive: true });
    await writeFile(join(root, 'note.txt'), 'x');
    await writeFile(join(root, 'sha256', 'aa.txt'), 'x');
    // The right name in the wrong place, a part of a name, upper case, another algorithm's length.
    await writeFile(join(root, 'sha256', other, hex), 'x');
    await writeFile(join(root, 'sha256', shard, hex.slice(0, 63)), 'x');
    await writeFile(join(root, 'sha256', shard, `${shard}${'F'.repeat(62)}`), 'x');
    await writeFile(join(root, 'sha512', 'ab', `ab${hex.slice(2)}`), 'x');
    const linked = `${shard}${'1'.repeat(62)}`;
    await symlink(fileOf(DIGEST), join(root, 'sha256', shard, linked));
    const { files, strays } = await listed(store);
    expect(files).toMatchObject([{ digest: DIGEST, sizeBytes: BYTES.length }]);
    expect(strays.toSorted()).toEqual(
      [
        'note.txt',
        'sha256/aa.txt',
        'sha256/lost+found',
        `sha256/${other}/${hex}`,
        `sha256/${shard}/${hex.slice(0, 63)}`,
        `sha256/${shard}/${shard}${'F'.repeat(62)}`,
        `sha256/${shard}/${linked}`,
        `sha512/ab/ab${hex.slice(2)}`,
        'sha512/ab/sub',
      ].toSorted(),
    );
    for (const stray of strays) expect(await store.quarantineStray(stray)).toBe(true);
    expect(await listed(store)).toEqual({ files, strays: [] });
    expect(await readdir(join(root, 'quarantine'))).toHaveLength(9);
    expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
  });

  it('gives a directory with many files in several slices', async () => {
    const { store, root } = await startDiskStore();
    await mkdir(join(root, 'sha256', 'ab'), { recursive: true });
    for (let n = 0; n < 1000; n += 1)
      await writeFile(join(root, 'sha256', 'ab', `ab${String(n).padStart(62, '0')}`), 'x');
    const sizes: number[] = [];
    for await (const { files } of store.list(never)) sizes.push(files.length);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(256);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(1000);
  });

  it('passes over files that go meanwhile', async () => {
    const { store, fileOf, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const look = fileSystem.stat.bind(fileSystem);
    fileSystem.stat = async (path) => {
      await rm(fileOf(DIGEST));
      return look(path);
    };
    expect(await listed(store)).toEqual({ files: [], strays: [] });
  });

  it.each(['EIO', 'EACCES', 'EMFILE'])(
    'fails at %s of any one call: nothing counts as absent that was not looked for',
    async (code) => {
      const { store, fileSystem } = await startDiskStore();
      await store.put(DIGEST, BYTES);
      fileSystem.calls.length = 0;
      await listed(store);
      const total = fileSystem.calls.length;
      expect(total).toBeGreaterThan(5);
      for (let nth = 1; nth <= total; nth += 1) {
        fileSystem.calls.length = 0;
        fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
        await expect(listed(store)).rejects.toMatchObject({
          name: 'ContentError',
          reason: code === 'EMFILE' ? 'exhausted' : 'io',
        });
      }
    },
  );
});

describe('verifying a file', () => {
  it.each([0, 1_500_000, BYTES.length - 1])('finds a bit that flipped at byte %i', async (position) => {
    const { store, fileOf } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    await store.verify(DIGEST, BYTES.length, never);
    const file = await open(fileOf(DIGEST), 'r+');
    await file.write(Buffer.from([(BYTES[position] ?? 0) ^ 4]), 0, 1, position);
    await file.close();
    await expect(store.verify(DIGEST, BYTES.length, never)).rejects.toMatchObject({ reason: 'damaged' });
  });

  it('finds that it is cut while it is read', async () => {
    const { store, fileOf } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const verified = store.verify(DIGEST, BYTES.length, never, () => truncate(fileOf(DIGEST), 1000));
    await expect(verified).rejects.toMatchObject({ reason: 'damaged' });
  });

  it.each([
    ['EIO', 'io'],
    ['EMFILE', 'exhausted'],
  ] as const)('fails at %s of any one call but the last, and leaves nothing open', async (code, reason) => {
    const { store, slabs, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    fileSystem.calls.length = 0;
    await store.verify(DIGEST, BYTES.length, never);
    const total = fileSystem.calls.length;
    expect(fileSystem.calls.at(-1)?.name).toBe('close');
    for (let nth = 1; nth < total; nth += 1) {
      fileSystem.calls.length = 0;
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      const verified = store.verify(DIGEST, BYTES.length, never);
      await expect(verified, `call ${nth}`).rejects.toMatchObject({ name: 'ContentError', reason });
      const names = fileSystem.calls.map(({ name }) => name);
      expect(names.includes('close')).toBe(nth > 1);
    }
    for (let n = 0; n < 8; n += 1) await slabs.acquire(AbortSignal.timeout(15_000));
  });

  it('says that hashing failed, not that the file is damaged, when a hash thread dies', async () => {
    const { store, parts } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    const verified = store.verify(DIGEST, BYTES.length, never, () => parts.hashes.close());
    await expect(verified).rejects.toMatchObject({ name: 'ContentError', reason: 'exhausted' });
  });
});

it('a file that could not be removed and is found sound later keeps nobody from closing', async () => {
  const { store, fileSystem } = await startDiskStore();
  await store.put(DIGEST, BYTES);
  fileSystem.rule = (name) => (name === 'unlink' ? 'EIO' : undefined);
  await expect(store.delete(DIGEST)).rejects.toMatchObject({ reason: 'io' });
  await expect(store.close()).rejects.toMatchObject({ reason: 'io' });
  await store.verify(DIGEST, BYTES.length, never);
  await store.close();
});

it.each(['quarantine', 'delete'] as const)(
  'what was not there when it should have been set aside keeps nobody from closing: %s finds out',
  async (call) => {
    const { store, fileSystem } = await startDiskStore();
    fileSystem.rule = (name) => (name === 'makeDirectory' ? 'EDQUOT' : undefined);
    await expect(store.quarantine(DIGEST)).rejects.toMatchObject({ reason: 'no-space' });
    fileSystem.rule = () => undefined;
    expect(await store[call](DIGEST)).toBe(false);
    await store.close();
  },
);

describe('the quarantine', () => {
  const blobs = Array.from({ length: 6 }, (_, n) => bytesOf(100_000, n + 1));

  it('holds so many, and so many bytes, and lets the oldest go', async () => {
    const { store, root } = await startDiskStore(undefined, {
      quarantineLimits: { entries: 3, bytes: 250_000 },
    });
    const names = async () =>
      (await readdir(join(root, 'quarantine'))).map((name) => name.split('-').at(-1) ?? '').toSorted();
    for (const bytes of blobs) {
      await store.put(digestOf(bytes), bytes);
      expect(await store.quarantine(digestOf(bytes))).toBe(true);
      expect(store.quarantinedBytes).toBeLessThanOrEqual(250_000);
    }
    expect(await names()).toEqual(
      blobs
        .slice(-2)
        .map((bytes) => digestHex(digestOf(bytes)))
        .toSorted(),
    );
    for (let n = 0; n < 5; n += 1) {
      const small = bytesOf(10, 100 + n);
      await store.put(digestOf(small), small);
      await store.quarantine(digestOf(small));
    }
    expect(await names()).toHaveLength(3);
    expect(store.quarantinedBytes).toBe(3 * store.allocatedBytes(10));
    await store.put(DIGEST, BYTES);
    await store.quarantine(DIGEST);
    expect(await names()).toEqual([]);
    expect(store.quarantinedBytes).toBe(0);
  });

  it('is known after a restart, with its order', async () => {
    const first = await startDiskStore();
    for (const bytes of blobs) {
      await first.store.put(digestOf(bytes), bytes);
      await first.store.quarantine(digestOf(bytes));
    }
    const held = first.store.quarantinedBytes;
    const kept = (await readdir(join(first.root, 'quarantine'))).toSorted();
    const [name] = kept;
    const bytes = await readFile(join(first.root, 'quarantine', name ?? ''));
    expect(bytes.equals(blobs[0] ?? Buffer.alloc(0))).toBe(true);
    const { store, root } = await startDiskStore(first.dataDir);
    expect(store.quarantinedBytes).toBe(held);
    await store.put(DIGEST, BYTES);
    await store.quarantine(DIGEST);
    expect((await readdir(join(root, 'quarantine'))).toSorted().slice(0, -1)).toEqual(kept);
    await store.trimQuarantine(store.quarantinedBytes - 1);
    expect((await readdir(join(root, 'quarantine'))).toSorted()[0]).toBe(kept[1]);
  });

  it('takes a whole directory that stands where a file should be, and counts what is in it', async () => {
    const { store, root, fileOf } = await startDiskStore();
    await mkdir(join(fileOf(DIGEST), 'deep'), { recursive: true });
    await writeFile(join(fileOf(DIGEST), 'deep', 'file'), BYTES);
    expect(await store.quarantine(DIGEST)).toBe(true);
    expect(store.quarantinedBytes).toBeGreaterThanOrEqual(BYTES.length);
    await store.put(DIGEST, BYTES);
    await store.trimQuarantine(0);
    expect(await readdir(join(root, 'quarantine'))).toEqual([]);
  });

  it.each([
    ['EIO', 'io'],
    ['ENOSPC', 'no-space'],
    ['EROFS', 'io'],
    ['EMFILE', 'exhausted'],
  ] as const)('that fails with %s leaves the content where it was', async (code, reason) => {
    const { store, fileSystem } = await startDiskStore();
    await store.put(DIGEST, BYTES);
    fileSystem.calls.length = 0;
    expect(await store.quarantine(DIGEST)).toBe(true);
    const total = fileSystem.calls.length;
    await store.trimQuarantine(0);
    await store.put(DIGEST, BYTES);
    for (let nth = 1; nth <= total; nth += 1) {
      fileSystem.calls.length = 0;
      fileSystem.rule = (_name, call) => (call === nth ? code : undefined);
      await expect(store.quarantine(DIGEST)).rejects.toMatchObject({ name: 'ContentError', reason });
      expect(store.quarantinedBytes).toBe(0);
      fileSystem.rule = () => undefined;
      expect((await store.readWhole(DIGEST, BYTES.length))?.equals(BYTES)).toBe(true);
    }
    // What should not be served is still there: nobody may be told that files and rows agree.
    await expect(store.close()).rejects.toMatchObject({ name: 'ContentError', reason: 'io' });
    expect(await store.quarantine(DIGEST)).toBe(true);
    await store.close();
  });

  it('still counts what it could not remove', async () => {
    const { store, fileSystem, root } = await startDiskStore(undefined, { quarantineLimits: { entries: 1 } });
    const [one, two, three] = blobs.map((bytes) => digestOf(bytes));
    expect.assert(one !== undefined && two !== undefined && three !== undefined);
    for (const bytes of blobs) await store.put(digestOf(bytes), bytes);
    fileSystem.rule = (name) => (name === 'removeTree' ? 'EIO' : undefined);
    expect(await store.quarantine(one)).toBe(true);
    const each = store.quarantinedBytes;
    expect(await store.quarantine(two)).toBe(true);
    expect(store.quarantinedBytes).toBe(2 * each);
    await expect(store.trimQuarantine(0)).rejects.toMatchObject({ reason: 'io' });
    fileSystem.rule = () => undefined;
    expect(await store.quarantine(three)).toBe(true);
    expect(store.quarantinedBytes).toBe(each);
    expect(await readdir(join(root, 'quarantine'))).toHaveLength(1);
  });
});

async function withLeftovers(count: number) {
  const started = await startDiskStore();
  for (let n = 0; n < count; n += 1) await writeFile(join(started.root, 'ingest', `file${n}`), 'x');
  return started;
}

describe('what an earlier process left on its way in', () => {
  it('does not hold up the start, however long its removal takes', async () => {
    const { dataDir, parts, root, fileSystem } = await withLeftovers(3);
    const gate = new Gate();
    const removeTree = fileSystem.removeTree.bind(fileSystem);
    fileSystem.removeTree = async (path) => {
      await gate.pass();
      await removeTree(path);
    };
    const store = await DiskContentStore.open(dataDir, parts);
    await gate.arrived();
    await store.put(DIGEST, BYTES);
    expect(await listed(store)).toMatchObject({ files: [{ digest: DIGEST }], strays: [] });
    expect(await readdir(root)).toHaveLength(3);
    gate.open();
    await expect.poll(() => readdir(root)).toEqual(['ingest', 'sha256']);
    await store.close();
  });

  it('is left to the next start when this one is closed, or cannot remove it', async () => {
    const { dataDir, parts, root, fileSystem } = await withLeftovers(50);
    const first = await DiskContentStore.open(dataDir, parts);
    await first.close();
    const leftover = (await readdir(root)).find((name) => name.startsWith('leftover'));
    expect((await readdir(join(root, leftover ?? ''))).length).toBeGreaterThan(10);
    fileSystem.rule = (name) => (name === 'removeTree' ? 'EIO' : undefined);
    const second = await DiskContentStore.open(dataDir, parts);
    await second.put(DIGEST, BYTES);
    await second.close();
    expect(await readdir(root)).toContain(leftover);
    fileSystem.rule = () => undefined;
    const third = await DiskContentStore.open(dataDir, parts);
    await expect.poll(() => readdir(root)).toEqual(['ingest', 'sha256']);
    await third.close();
    expect((await stat(root)).isDirectory()).toBe(true);
  });
});
