import { leastRecentUse } from '../support/least-recent-use.ts';
import { readFileSync } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DataDirectoryLock } from '../../src/metadata/data-directory-lock.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { MIGRATIONS } from '../../src/metadata/migrations.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { StartError } from '../../src/start-error.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';
import { digestNumber } from './metadata-store-contract.ts';

const ROWS = 2000;

/** A directory with an index of some pages, all of them in the main file. */
async function filled(): Promise<{ dataDir: string; path: string }> {
  const dataDir = await tempDir();
  const store = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
  for (let n = 0; n < ROWS; n += 1) await store.blobs.put({ digest: digestNumber(n), sizeBytes: 1 }, n);
  await store.close();
  return { dataDir, path: join(dataDir, 'metadata.db') };
}

async function overwrite(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

async function size(path: string): Promise<number> {
  return (await readFile(path)).length;
}

async function blobsIn(dataDir: string): Promise<number> {
  const opened = openDatabase(dataDir);
  const { setAside } = opened;
  expect(setAside).toBeUndefined();
  const store = new SqliteMetadataStore(opened, leastRecentUse);
  try {
    return (await store.blobs.totals()).blobs;
  } finally {
    await store.close();
  }
}

describe('an index', () => {
  it.each<[string, (path: string) => Promise<void>]>([
    ['whose header is zeros', (path) => overwrite(path, 0, Buffer.alloc(100))],
    ['that is all zeros', async (path) => writeFile(path, Buffer.alloc(await size(path)))],
    ['that is cut in the middle', async (path) => truncate(path, Math.floor((await size(path)) / 2))],
    ['that is cut within its header', (path) => truncate(path, 50)],
    ['that is garbage', (path) => writeFile(path, Buffer.alloc(50_000, 'no database '))],
    ['with garbage in its first page', (path) => overwrite(path, 200, Buffer.alloc(3000, 0xa5))],
    [
      'with garbage in the middle',
      async (path) => overwrite(path, Math.floor((await size(path)) / 2), Buffer.alloc(8192, 0xa5)),
    ],
  ])('%s is moved aside, and a new one begins empty', async (_what, damage) => {
    const { dataDir, path } = await filled();
    await damage(path);
    const damaged = await readFile(path);
    const opened = openDatabase(dataDir);
    const { setAside } = opened;
    const store = new SqliteMetadataStore(opened, leastRecentUse);
    expect(await store.blobs.totals()).toMatchObject({ bytes: 0, blobs: 0 });
    await store.blobs.put({ digest: digestNumber(1), sizeBytes: 1 }, 1);
    await store.close();
    expect.assert(setAside !== undefined);
    expect(basename(setAside)).toMatch(/^metadata\.db\.damaged-[-\dTZ.]+$/);
    expect((await readFile(setAside)).equals(damaged)).toBe(true);
    expect(await blobsIn(dataDir)).toBe(1);
  });

  it('that is an empty file is simply begun', async () => {
    const dataDir = await tempDir();
    await writeFile(join(dataDir, 'metadata.db'), '');
    expect(await blobsIn(dataDir)).toBe(0);
  });

  it.each<[string, (wal: Buffer) => Buffer]>([
    ['zeros', (wal) => Buffer.alloc(wal.length)],
    ['garbage', (wal) => Buffer.alloc(wal.length, 'garbage')],
    ['cut in the middle', (wal) => wal.subarray(0, wal.length / 2)],
    [
      'garbage in its second half',
      (wal) => Buffer.concat([wal.subarray(0, wal.length / 2), Buffer.alloc(wal.length / 2, 7)]),
    ],
  ])('whose log is %s opens with what was written before it broke', async (_what, damage) => {
    const dataDir = await tempDir();
    const running = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
    for (let n = 0; n < 50; n += 1) await running.blobs.put({ digest: digestNumber(n), sizeBytes: 1 }, n);
    // As a crash leaves it: copied while it is in use.
    const wal = readFileSync(join(dataDir, 'metadata.db-wal'));
    expect(wal.length).toBeGreaterThan(100_000);
    const crashWith = async (log: Buffer) => {
      const copy = await tempDir();
      await copyFile(join(dataDir, 'metadata.db'), join(copy, 'metadata.db'));
      await writeFile(join(copy, 'metadata.db-wal'), log);
      return copy;
    };
    expect(await blobsIn(await crashWith(wal))).toBe(50);

    const opened = openDatabase(await crashWith(damage(wal)));
    const { setAside } = opened;
    expect(setAside).toBeUndefined();
    const store = new SqliteMetadataStore(opened, leastRecentUse);
    // A log is read up to where it breaks: the first rows, none from the middle.
    const { blobs } = await store.blobs.totals();
    for (let n = 0; n < 50; n += 1)
      expect((await store.blobs.get(digestNumber(n))) !== undefined).toBe(n < blobs);
    await store.blobs.put({ digest: digestNumber(99), sizeBytes: 1 }, 1);
    expect(await store.blobs.get(digestNumber(99))).toBeDefined();
    await store.close();
    await running.close();
  });

  it('of a newer format is refused, and left as it is', async () => {
    const { dataDir, path } = await filled();
    const { database } = openDatabase(dataDir);
    database.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
    database.close();
    const before = await readFile(path);
    expect(() => openDatabase(dataDir)).toThrow(
      expect.objectContaining({ name: 'MetadataError', reason: 'newer' }),
    );
    expect((await readFile(path)).equals(before)).toBe(true);
    expect((await readdir(dataDir)).filter((name) => name.includes('damaged'))).toEqual([]);
  });

  it('that stands where a directory is fails, and moves nothing', async () => {
    const dataDir = await tempDir();
    await mkdir(join(dataDir, 'metadata.db'));
    expect(() => openDatabase(dataDir)).toThrow(
      expect.objectContaining({ name: 'MetadataError', reason: 'failed' }),
    );
    expect(await readdir(dataDir)).toEqual(['metadata.db']);
  });
});

describe('the lock of a data directory', () => {
  it('is held by one at a time, and free again after its release', async () => {
    const dataDir = await tempDir();
    for (let round = 0; round < 2; round += 1) {
      const lock = DataDirectoryLock.acquire(dataDir);
      expect(() => DataDirectoryLock.acquire(dataDir)).toThrow(
        expect.objectContaining({ name: 'MetadataError', reason: 'in-use' }),
      );
      lock.release();
    }
    DataDirectoryLock.acquire(await tempDir()).release();
  });

  it('is asked about without being taken or made', async () => {
    const dataDir = await tempDir();
    expect(DataDirectoryLock.isHeld(dataDir)).toBe(false);
    expect(await readdir(dataDir)).toEqual([]);
    const lock = DataDirectoryLock.acquire(dataDir);
    expect(DataDirectoryLock.isHeld(dataDir)).toBe(true);
    lock.release();
    expect(DataDirectoryLock.isHeld(dataDir)).toBe(false);
    DataDirectoryLock.acquire(dataDir).release();
    expect(DataDirectoryLock.isHeld(join('/proc', 'nowhere'))).toBe(false);
  });

  it('cannot be taken where there is no directory', async () => {
    expect(() => DataDirectoryLock.acquire(join('/proc', 'nowhere'))).toThrow(
      expect.objectContaining({ name: 'MetadataError', reason: 'failed' }),
    );
    await Promise.resolve();
  });

  it('keeps a second entrepot from starting, and does no harm to the first', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const upstreams = [{ name: 'docker.io', url: registry.url }];
    const first = await startApp({ upstreams });
    const second = startApp({ upstreams, dataDir: first.dataDir });
    await expect(second).rejects.toThrow(StartError);
    await expect(second).rejects.toThrow('another process is using it');
    expect((await fetch(`${first.url}/v2/`)).status).toBe(200);
    await first.close();
    const third = await startApp({ upstreams, dataDir: first.dataDir });
    expect((await fetch(`${third.url}/v2/`)).status).toBe(200);
  });

  it('a damaged index does not keep entrepot from starting, which says so once', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const { dataDir, path } = await filled();
    await overwrite(path, 0, Buffer.alloc(100));
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
    const said = app.logLines.filter(({ level }) => level === 'error');
    expect(said).toHaveLength(1);
    expect(said[0]?.['setAside']).toMatch(/metadata\.db\.damaged-/);
  });
});

async function pinned(dataDir: string): Promise<readonly string[]> {
  const store = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
  try {
    return await store.images.pins();
  } finally {
    await store.close();
  }
}

describe('pins of an index that was lost', () => {
  const [kept, taken] = ['docker.io/library/app:v1', 'quay.io/**'];

  async function withPins(): Promise<string> {
    const { dataDir } = await filled();
    const store = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
    for (const pattern of [kept, taken]) await store.images.addPin(pattern);
    await store.images.removePin(taken);
    await store.close();
    return dataDir;
  }

  it.each<[string, (path: string) => Promise<void>]>([
    ['damaged', (path) => writeFile(path, Buffer.alloc(50_000, 'no database '))],
    ['removed', (path) => rm(path)],
  ])('are there again when it was %s', async (_what, lose) => {
    const dataDir = await withPins();
    await lose(join(dataDir, 'metadata.db'));
    expect(await pinned(dataDir)).toEqual([kept]);
    expect(await pinned(dataDir)).toEqual([kept]);
  });

  it('are what the index says as long as it says anything', async () => {
    const dataDir = await withPins();
    await writeFile(join(dataDir, 'pins.json'), JSON.stringify([taken]));
    expect(await pinned(dataDir)).toEqual([kept]);
  });

  it.each(['nothing', '{"a": 1}', '[1, null, "no pattern", "/", ["docker.io/x"]]', '[', '\0\0\0'])(
    'are none when their copy is %j',
    async (text) => {
      const dataDir = await withPins();
      await rm(join(dataDir, 'metadata.db'));
      await writeFile(join(dataDir, 'pins.json'), text);
      expect(await pinned(dataDir)).toEqual([]);
    },
  );

  it('are refused, and nothing is changed, when their copy cannot be written', async () => {
    const dataDir = await tempDir();
    await mkdir(join(dataDir, 'pins.json.new'));
    const store = closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse));
    await expect(store.images.addPin(kept)).rejects.toThrow('the copy of the pins cannot be written: EISDIR');
    expect(await store.images.pins()).toEqual([]);
  });
});
