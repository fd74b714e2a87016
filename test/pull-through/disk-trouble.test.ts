import { describe, expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { Gate } from '../support/gate.ts';
import { type Pulling, readBlob, startPulling } from '../support/pulling.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;
const SIZE = 4 * MIB + 123;

/** When the disk says ENOSPC. Counted in calls of one kind, over all of the pull. */
const TROUBLES: readonly (readonly [string, (pulling: Pulling) => void])[] = [
  ['when a file is to be made', failing(['open'])],
  ['from the first write on', failing(['write'])],
  ['from the third write on', failing(['write'], 3)],
  ['at the last write', failing(['write'], 5)],
  ['at the fsync', failing(['sync'])],
  ['when a directory is to be made', failing(['makeDirectory'])],
  ['at the rename', failing(['rename'])],
  ['at the fsync of the directory', failing(['syncDirectory'])],
];

function failing(names: readonly string[], from = 1): (pulling: Pulling) => void {
  return ({ fileSystem }) => {
    let seen = 0;
    fileSystem.rule = (name) => {
      if (!names.includes(name)) return undefined;
      seen += 1;
      return seen >= from ? 'ENOSPC' : undefined;
    };
  };
}

describe('a disk that is full', () => {
  describe.each([1, 3])('with %i readers', (readers) => {
    it.each(TROUBLES)(
      '%s costs no reader a byte, caches nothing, and is over when it is over',
      async (_when, begin) => {
        const pulling = await startPulling();
        const { registry, fileSystem, cache, pullThrough } = pulling;
        const digest = pulling.add(SIZE, 1);
        const gate = new Gate();
        registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { gate } });
        begin(pulling);
        // All have joined before the first byte comes.
        const pulls = Array.from({ length: readers }, () => pulling.pull(digest));
        await gate.arrived();
        gate.open();
        for (const pulled of await Promise.all(pulls)) expect(pulled.digest).toBe(digest);
        await expect.poll(() => pullThrough.fillsInFlight).toBe(0);
        expect(pulling.told.some((what) => what === 'failure content')).toBe(true);
        expect(pulling.told).not.toContain('fill failed');
        expect(await cache.row(digest)).toBeUndefined();
        expect(await pulling.committed()).toEqual([]);
        await expect
          .poll(() => cache.usage)
          .toMatchObject({ storedBytes: 0, storedBlobs: 0, reservedBytes: 0 });

        expect(cache.condition.report).toMatchObject({ isSound: false, reason: 'disk-full' });
        fileSystem.rule = () => undefined;
        await expect.poll(() => pulling.ingesting()).toEqual([]);
        await cache.condition.check();
        expect(await pulling.pull(digest)).toEqual({ outcome: 'miss', digest });
        await expect.poll(() => cache.row(digest)).toEqual({ digest, sizeBytes: SIZE });
        await expect.poll(() => pullThrough.fillsInFlight).toBe(0);
        expect(await pulling.pull(digest)).toEqual({ outcome: 'hit', digest });
        expect(await pulling.committed()).toEqual([SIZE]);
      },
    );
  });

  it('does no harm to who joins after some bytes were stored and others were not', async () => {
    const pulling = await startPulling();
    const digest = pulling.add(SIZE, 1);
    const gate = new Gate();
    pulling.registry.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { stallAfter: { bytes: 3 * MIB, gate } },
    });
    failing(['write'], 2)(pulling);
    const first = await pulling.open(digest);
    const late: Promise<{ digest: string }>[] = [];
    const reading = readBlob(first.value);
    await expect.poll(() => pulling.told).toContain('failure content');
    for (let n = 0; n < 2; n += 1) late.push(pulling.pull(digest));
    gate.open();
    expect(digestOf(await reading)).toBe(digest);
    for (const pulled of await Promise.all(late)) expect(pulled.digest).toBe(digest);
  });

  it('loses no file that an older row names when a commit of the same blob fails', async () => {
    const pulling = await startPulling();
    const { cache, fileSystem } = pulling;
    const bytes = Buffer.alloc(1000, 'x');
    await cache.put(digestOf(bytes), bytes);
    for (const name of ['write', 'sync', 'rename', 'syncDirectory']) {
      fileSystem.rule = (call) => (call === name ? 'EIO' : undefined);
      expect(await cache.put(digestOf(bytes), bytes)).toBe(false);
      fileSystem.rule = () => undefined;
      await cache.condition.check();
      expect((await cache.readWhole(digestOf(bytes)))?.equals(bytes)).toBe(true);
      expect(await pulling.committed()).toEqual([1000]);
    }
  });
});

describe('a broken index', () => {
  it('lets pulls go on, with the right bytes, of what was stored and of what was not', async () => {
    const pulling = await startPulling();
    const [warm, cold] = [pulling.add(SIZE, 1), pulling.add(SIZE, 2)];
    await pulling.pull(warm);
    await expect.poll(() => pulling.cache.row(warm)).toBeDefined();
    await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
    pulling.database.close();
    for (const digest of [warm, cold, warm, cold]) {
      const pulled = await pulling.pull(digest);
      expect(pulled.digest).toBe(digest);
      expect(['miss', 'bypass']).toContain(pulled.outcome);
      await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
    }
    expect(pulling.told).toContain('failure metadata');
    await expect.poll(() => pulling.cache.usage.reservedBytes).toBe(0);
    await expect.poll(() => pulling.ingesting()).toEqual([]);
  });

  it('that breaks in the middle of a fill costs its readers nothing', async () => {
    const pulling = await startPulling();
    const digest = pulling.add(SIZE, 1);
    const gate = new Gate();
    pulling.registry.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { stallAfter: { bytes: 2 * MIB, gate } },
    });
    const reading = [await pulling.open(digest), await pulling.open(digest)].map(({ value }) =>
      readBlob(value),
    );
    pulling.database.close();
    gate.open();
    for (const bytes of await Promise.all(reading)) expect(digestOf(bytes)).toBe(digest);
    await expect.poll(() => pulling.pullThrough.fillsInFlight).toBe(0);
    // A file without a row would be counted by nobody.
    expect(await pulling.committed()).toEqual([]);
  });
});
