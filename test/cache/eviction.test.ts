import { leastRecentUse } from '../support/least-recent-use.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { evictLeastRecentlyUsed } from '../../src/cache/eviction.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { type Pulling, readBlob, startPulling } from '../support/pulling.ts';
import { tempDir } from '../support/temp-dir.ts';

const MIB = 1024 * 1024;

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

/** Pulls a blob, and waits until its row is written. */
async function bringIn(pulling: Pulling, digest: Digest): Promise<void> {
  await pulling.pull(digest);
  await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
  await expect.poll(() => pulling.cache.usage.reservedBytes).toBe(0);
  expect(await pulling.cache.row(digest)).toBeDefined();
}

/** Lets the clock go on, so that the next use is later than the last. */
async function nextMillisecond(): Promise<void> {
  for (const now = Date.now(); Date.now() === now;) await delay(1);
}

/** An index of so many blobs of 10 bytes, used in order, and what is removed from it. */
async function rows(count: number) {
  const metadata = closeAfterTest(new SqliteMetadataStore(openDatabase(await tempDir()), leastRecentUse));
  const digests = Array.from({ length: count }, (_, at) => digestOf(Buffer.from(`blob ${at}`)));
  for (const [at, digest] of digests.entries()) await metadata.blobs.put({ digest, sizeBytes: 10 }, at);
  const removed: Digest[] = [];
  const remove = async (digest: Digest) => {
    removed.push(digest);
    return (await metadata.blobs.delete(digest))?.sizeBytes ?? 0;
  };
  return { metadata, digests, removed, remove };
}

describe('evicting', () => {
  it.each([
    [0, 0],
    [1, 1],
    [10, 1],
    [11, 2],
    [1000, 100],
    [1001, 101],
    [99_999, 200],
  ])('for %i bytes removes the %i that were used least recently, and no more', async (bytes, count) => {
    const { metadata, digests, removed, remove } = await rows(200);
    const evicted = await evictLeastRecentlyUsed(metadata, remove, bytes);
    expect(evicted).toEqual({ blobs: count, bytes: count * 10 });
    expect(removed).toEqual(digests.slice(0, count));
  });

  it('passes over what somebody else removed, and ends when nothing can be removed', async () => {
    const { metadata, digests } = await rows(3);
    expect(await evictLeastRecentlyUsed(metadata, () => Promise.resolve(0), 10)).toEqual({
      blobs: 0,
      bytes: 0,
    });
    const stubborn = async (digest: Digest) =>
      digest === digests[0] ? 0 : ((await metadata.blobs.delete(digest))?.sizeBytes ?? 0);
    expect(await evictLeastRecentlyUsed(metadata, stubborn, 1000)).toEqual({ blobs: 2, bytes: 20 });
  });
});

describe('a full cache', () => {
  it('gives up what was pulled longest ago; a pull from the cache counts', async () => {
    const pulling = await startPulling(4 * MIB);
    const [a, b, c, d, e] = [1, 2, 3, 4, 5].map((seed) => pulling.add(MIB, seed));
    expect.assert(
      a !== undefined && b !== undefined && c !== undefined && d !== undefined && e !== undefined,
    );
    for (const digest of [a, b, c, d]) {
      await bringIn(pulling, digest);
      await nextMillisecond();
    }
    expect((await pulling.pull(a)).outcome).toBe('hit');
    await bringIn(pulling, e);
    expect(await pulling.cache.row(b)).toBeUndefined();
    for (const digest of [a, c, d, e]) expect(await pulling.cache.row(digest)).toBeDefined();
    expect(pulling.cache.usage).toMatchObject({ storedBytes: 4 * MIB, storedBlobs: 4 });
    expect(pulling.told).toEqual(['evicted 1']);
  });

  it('stays within its limit at every moment of 50 cold pulls at once, and every pull is right', async () => {
    const limit = 5 * MIB;
    const pulling = await startPulling(limit);
    const digests = Array.from({ length: 50 }, (_, at) => pulling.add(100_000 + at * 37_777, at + 1));
    const pulls = Promise.all(digests.map((digest) => pulling.pull(digest)));
    const over = new AbortController();
    void pulls.finally(() => over.abort()).catch(() => undefined);
    let polls = 0;
    while (!over.signal.aborted) {
      expect(sum(await pulling.committed())).toBeLessThanOrEqual(limit);
      const { storedBytes, reservedBytes } = pulling.cache.usage;
      expect(storedBytes + reservedBytes).toBeLessThanOrEqual(limit);
      polls += 1;
    }
    expect(polls).toBeGreaterThan(1);
    expect((await pulls).map(({ digest }) => digest)).toEqual(digests);
    await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
    await expect.poll(() => pulling.cache.usage.reservedBytes).toBe(0);
    const sizes = await pulling.committed();
    expect(sum(sizes)).toBeLessThanOrEqual(limit);
    expect(pulling.cache.usage).toMatchObject({ storedBytes: sum(sizes), storedBlobs: sizes.length });
    expect(sizes.length).toBeGreaterThan(0);
    await expect.poll(() => pulling.ingesting()).toEqual([]);
    expect(pulling.told.filter((what) => !what.startsWith('evicted'))).toEqual([]);
  });

  it('lets a blob that is larger than all of it pass by, and evicts nothing for it', async () => {
    const pulling = await startPulling(4 * MIB);
    const small = pulling.add(MIB, 1);
    const large = pulling.add(4 * MIB + 1, 2);
    await bringIn(pulling, small);
    expect(await pulling.pull(large)).toEqual({ outcome: 'bypass', digest: large });
    await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
    expect(pulling.cache.usage).toMatchObject({ storedBytes: MIB, storedBlobs: 1 });
    expect(await pulling.committed()).toEqual([MIB]);
    expect(await pulling.pull(small)).toEqual({ outcome: 'hit', digest: small });
  });

  it('holds a blob that is exactly as large as all of it', async () => {
    const pulling = await startPulling(4 * MIB);
    await bringIn(pulling, pulling.add(MIB, 1));
    await bringIn(pulling, pulling.add(4 * MIB, 2));
    expect(await pulling.committed()).toEqual([4 * MIB]);
  });

  it('does no harm to who reads a blob while it is evicted', async () => {
    const pulling = await startPulling(4 * MIB);
    const read = pulling.add(3 * MIB, 1);
    await bringIn(pulling, read);
    const { value, outcome } = await pulling.open(read);
    expect(outcome).toBe('hit');
    await bringIn(pulling, pulling.add(3 * MIB, 2));
    expect(await pulling.cache.row(read)).toBeUndefined();
    expect(digestOf(await readBlob(value))).toBe(read);
    expect(pulling.told).toEqual(['evicted 1']);
    await bringIn(pulling, read);
    expect(await pulling.pull(read)).toEqual({ outcome: 'hit', digest: read });
  });
});
