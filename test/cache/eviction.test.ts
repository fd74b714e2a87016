import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type Pulling, readBlob, startPulling } from '../support/pulling.ts';

const MIB = 1024 * 1024;

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}

/** In blocks of the usual size. */
function onDisk(size: number): number {
  return Math.ceil(size / 4096) * 4096;
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
      expect(sum((await pulling.committed()).map(onDisk))).toBeLessThanOrEqual(limit);
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
    expect(pulling.cache.usage).toMatchObject({
      storedBytes: sum(sizes.map(onDisk)),
      storedBlobs: sizes.length,
    });
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
