import { leastRecentUse } from '../support/least-recent-use.ts';
import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { BlobCache } from '../../src/cache/blob-cache.ts';
import type { PullThroughObserver } from '../../src/pull-through/pull-through-observer.ts';
import { storeLimits } from '../support/store-limits.ts';
import { tempDir } from '../support/temp-dir.ts';

const never = new AbortController().signal;
const MIB = 1024 * 1024;

async function start(limitBytes = 100 * MIB) {
  const dataDir = await tempDir();
  const fileSystem: FileSystem = { ...diskFileSystem };
  const hashes = new HashWorkers(1);
  const parts = { hashes, slabs: new SlabPool(2), buffers: new ReadBuffers(2), fileSystem };
  const content = await DiskContentStore.open(dataDir, parts);
  const metadata = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
  const told: string[] = [];
  const observer: PullThroughObserver = {
    fillResumed: () => undefined,
    fillFailed: () => undefined,
    integrityFailure: (where) => void told.push(`integrity ${where}`),
    cacheFailure: (where) => void told.push(`failure ${where}`),
    fillEnded: () => undefined,
    evicted: ({ blobs }) => void told.push(`evicted ${blobs}`),
    tagMoved: () => undefined,
    conditionChanged: () => undefined,
  };
  const cache = await BlobCache.open({
    content,
    metadata,
    clock: systemClock,
    observer,
    limits: storeLimits(limitBytes),
  });
  onTestFinished(async () => {
    await cache.close();
    await metadata.close();
    await hashes.close();
  });
  const bytes = Buffer.alloc(3 * MIB, 'entrepot');
  const digest = digestOf(bytes);
  const hex = digestHex(digest);
  const file = join(dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex);
  return { cache, content, metadata, fileSystem, told, bytes, digest, file };
}

function broken(code: string): Error {
  return Object.assign(new Error(code), { code });
}

describe('a blob cache', () => {
  it('leaves no file behind when its row cannot be written', async () => {
    const { cache, content, metadata, digest, bytes, told } = await start();
    vi.spyOn(metadata.blobs, 'put').mockRejectedValueOnce(new Error('full'));
    expect(await cache.put(digest, bytes)).toBe(false);
    expect(await content.open(digest, bytes.length)).toBeUndefined();
    expect(cache.usage).toMatchObject({ storedBytes: 0, reservedBytes: 0 });
    expect(told).toEqual(['failure metadata']);
  });

  it('keeps the file of an older row when that row cannot be written anew', async () => {
    const { cache, metadata, digest, bytes } = await start();
    await cache.put(digest, bytes);
    vi.spyOn(metadata.blobs, 'put').mockRejectedValueOnce(new Error('full'));
    expect(await cache.put(digest, bytes)).toBe(false);
    expect((await cache.readWhole(digest))?.equals(bytes)).toBe(true);
  });

  it('counts a blob as gone with its row, though its file could not be removed', async () => {
    const { cache, fileSystem, digest, bytes } = await start();
    await cache.put(digest, bytes);
    fileSystem.unlink = () => Promise.reject(broken('EIO'));
    await expect(cache.remove(digest)).rejects.toThrow('EIO');
    expect(cache.usage).toMatchObject({ storedBytes: 0, storedBlobs: 0 });
  });

  it('removes a file that could not be removed when it can, and no sooner counts it as gone', async () => {
    const { cache, content, fileSystem, digest, bytes } = await start();
    await cache.put(digest, bytes);
    const unlink = fileSystem.unlink.bind(fileSystem);
    fileSystem.unlink = () => Promise.reject(broken('EROFS'));
    await expect(cache.remove(digest)).rejects.toThrow('EROFS');
    expect(cache.usage).toMatchObject({ storedBytes: 0, otherBytes: content.allocatedBytes(bytes.length) });
    await expect(content.close()).rejects.toThrow('should have been removed');
    fileSystem.unlink = unlink;
    (await cache.reserve(1, undefined))?.release();
    expect(cache.usage.otherBytes).toBe(0);
    expect(await content.find(digest)).toBeUndefined();
    await content.close();
  });

  it('does not remove a file that could not be removed once it was stored anew', async () => {
    const { cache, content, fileSystem, digest, bytes } = await start();
    await cache.put(digest, bytes);
    const unlink = fileSystem.unlink.bind(fileSystem);
    fileSystem.unlink = () => Promise.reject(broken('EROFS'));
    await expect(cache.remove(digest)).rejects.toThrow('EROFS');
    fileSystem.unlink = unlink;
    // The first to ask for room may find it, the blob itself takes its place.
    expect(await cache.put(digest, bytes)).toBe(true);
    expect(cache.usage).toMatchObject({ storedBlobs: 1, otherBytes: 0 });
    (await cache.reserve(1, undefined))?.release();
    expect((await cache.readWhole(digest))?.equals(bytes)).toBe(true);
    await content.close();
  });

  it('raises no alarm when an eviction comes between the row and the file', async () => {
    const { cache, fileSystem, digest, bytes, told } = await start();
    await cache.put(digest, bytes);
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = async (path, flags, mode) => {
      fileSystem.open = open;
      await cache.remove(digest);
      return open(path, flags, mode);
    };
    expect(await cache.open(digest)).toBeUndefined();
    expect(told).toEqual([]);
  });

  it('serves the fresh blob when it was evicted and fetched again meanwhile', async () => {
    const { cache, fileSystem, digest, bytes, told } = await start();
    await cache.put(digest, bytes);
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = async () => {
      fileSystem.open = open;
      await cache.remove(digest);
      await cache.put(digest, bytes);
      throw broken('ENOENT');
    };
    expect((await cache.readWhole(digest))?.equals(bytes)).toBe(true);
    expect(told).toEqual([]);
  });

  it('removes a blob whose file is too short, and says so once', async () => {
    const { cache, metadata, digest, bytes, file, told } = await start();
    await cache.put(digest, bytes);
    await truncate(file, 1000);
    expect(await cache.open(digest)).toBeUndefined();
    expect(await metadata.blobs.get(digest)).toBeUndefined();
    expect(told).toEqual(['integrity open']);
  });

  it('removes a blob whose file becomes too short while it is read', async () => {
    const { cache, metadata, digest, bytes, file, told } = await start();
    await cache.put(digest, bytes);
    const content = await cache.open(digest);
    await truncate(file, 1000);
    await expect(content?.read(2 * MIB, MIB, never)).rejects.toThrow('shorter');
    content?.close();
    expect(await metadata.blobs.get(digest)).toBeUndefined();
    expect(told).toEqual(['integrity read']);
  });

  it('keeps a fresh blob that took the place of the one that was found damaged', async () => {
    const { cache, metadata, digest, bytes, file, told } = await start();
    await cache.put(digest, bytes);
    const content = await cache.open(digest);
    await truncate(file, 1000);
    await cache.put(digest, bytes);
    await expect(content?.read(2 * MIB, MIB, never)).rejects.toThrow('shorter');
    content?.close();
    expect(await metadata.blobs.get(digest)).toBeDefined();
    expect(told).toEqual([]);
  });

  it.each(['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES'])(
    'answers %s at the first bytes as a miss, and keeps row and file',
    async (code) => {
      const { cache, metadata, fileSystem, digest, bytes, told } = await start();
      await cache.put(digest, bytes);
      const open = fileSystem.open.bind(fileSystem);
      fileSystem.open = () => Promise.reject(broken(code));
      expect(await cache.open(digest)).toBeUndefined();
      expect(await metadata.blobs.get(digest)).toBeDefined();
      expect(told).toEqual(['failure content']);
      fileSystem.open = open;
      expect((await cache.readWhole(digest))?.equals(bytes)).toBe(true);
    },
  );

  it('sets a file aside whose first bytes the disk has lost, and drops its row', async () => {
    const { cache, content, metadata, fileSystem, digest, bytes, told } = await start();
    await cache.put(digest, bytes);
    fileSystem.read = () => Promise.reject(broken('EIO'));
    expect(await cache.open(digest)).toBeUndefined();
    expect(await metadata.blobs.get(digest)).toBeUndefined();
    expect(content.quarantinedBytes).toBe(bytes.length);
    expect(cache.usage).toMatchObject({ storedBytes: 0, storedBlobs: 0 });
    expect(told).toEqual(['integrity open']);
  });

  it('takes out what was overwritten while it was read, though its size is right', async () => {
    const { cache, content, metadata, digest, bytes, file, told } = await start();
    await cache.put(digest, bytes);
    const opened = await cache.open(digest);
    await writeFile(file, 'X', { flag: 'r+' });
    await expect(opened?.read(2 * MIB, MIB, never)).rejects.toThrow('changed');
    opened?.close();
    expect(await metadata.blobs.get(digest)).toBeUndefined();
    expect(content.quarantinedBytes).toBe(bytes.length);
    expect(told).toEqual(['integrity read']);
  });
});

describe('opened content', () => {
  it('hands out its first bytes without reading them twice', async () => {
    const { cache, fileSystem, digest, bytes } = await start();
    await cache.put(digest, bytes);
    const read = vi.spyOn(fileSystem, 'read');
    const content = await cache.open(digest, MIB);
    const chunk = await content?.read(MIB, MIB, never);
    expect(bytes.subarray(MIB, 2 * MIB).equals(chunk?.bytes ?? Buffer.alloc(0))).toBe(true);
    chunk?.release();
    expect(read).toHaveBeenCalledTimes(1);
    const next = await content?.read(2 * MIB, MIB, never);
    expect(next?.bytes).toHaveLength(MIB);
    next?.release();
    content?.close();
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('gives no more than it is asked for, and what lies elsewhere', async () => {
    const { cache, digest, bytes } = await start();
    await cache.put(digest, bytes);
    const short = await cache.open(digest);
    const head = await short?.read(0, 10, never);
    expect(head?.bytes).toHaveLength(10);
    head?.release();
    short?.close();
    const elsewhere = await cache.open(digest);
    const chunk = await elsewhere?.read(5, 8, never);
    expect(bytes.subarray(5, 13).equals(chunk?.bytes ?? Buffer.alloc(0))).toBe(true);
    chunk?.release();
    elsewhere?.close();
  });

  it('of no bytes reads nothing', async () => {
    const { cache } = await start();
    const empty = Buffer.alloc(0);
    await cache.put(digestOf(empty), empty);
    const content = await cache.open(digestOf(empty));
    expect(content?.sizeBytes).toBe(0);
    content?.close();
  });
});
