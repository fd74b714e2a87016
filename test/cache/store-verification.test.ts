import { rm, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import type { VerifyEvent, VerifyOptions, VerifySelection } from '../../src/cache/store-verification.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { startStore } from './store-under-test.ts';

const never = new AbortController().signal;

async function startWithBlobs(count: number) {
  const store = await startStore();
  const blobs = Array.from({ length: count }, (_, at) => Buffer.alloc(1000 + at, `blob ${at} `));
  for (const bytes of blobs) await store.cache.put(digestOf(bytes), bytes);
  const verify = async (selection: VerifySelection, options: Partial<VerifyOptions> = {}) => {
    const events: VerifyEvent[] = [];
    for await (const event of store.cache.upkeep.verify(selection, { signal: never, ...options }))
      events.push(event);
    return events;
  };
  const digestAt = (at: number) => digestOf(blobs[at] ?? Buffer.alloc(0));
  const fileOf = (at: number) => store.fileOf(digestAt(at));
  return { ...store, blobs, verify, fileOf, digestAt };
}

describe('verifying the store', () => {
  it('looks at every blob once, and finds sound what is', async () => {
    const { verify, blobs, told } = await startWithBlobs(250);
    const events = await verify('all');
    expect(events.map(({ digest }) => digest).toSorted()).toEqual(
      blobs.map((bytes) => digestOf(bytes)).toSorted(),
    );
    expect(new Set(events.map(({ finding }) => finding))).toEqual(new Set(['sound']));
    expect(told).toEqual([]);
  });

  it('takes out what has other bytes, is too short, too long or gone, and keeps it aside', async () => {
    const { verify, fileOf, digestAt, metadata, content, cache, told } = await startWithBlobs(6);
    await writeFile(fileOf(0), 'X', { flag: 'r+' });
    await truncate(fileOf(1), 10);
    await truncate(fileOf(2), 5000);
    await rm(fileOf(3));
    const damaged = (await verify('all')).filter(({ finding }) => finding === 'damaged');
    expect(damaged.map(({ digest }) => digest).toSorted()).toEqual([0, 1, 2, 3].map(digestAt).toSorted());
    for (const at of [0, 1, 2, 3]) expect(await metadata.blobs.get(digestAt(at))).toBeUndefined();
    expect(content.quarantinedBytes).toBeGreaterThan(0);
    expect(cache.usage.storedBlobs).toBe(2);
    expect(told).toEqual(Array.from({ length: 4 }, () => 'integrity verify'));
    expect((await verify('all')).map(({ finding }) => finding)).toEqual(['sound', 'sound']);
  });

  it('looks only at what is selected, and says what is not stored', async () => {
    const { verify, digestAt } = await startWithBlobs(3);
    const other = digestOf(Buffer.from('other'));
    expect(await verify([digestAt(1), other])).toEqual([
      { digest: digestAt(1), sizeBytes: 1001, finding: 'sound' },
      { digest: other, sizeBytes: 0, finding: 'absent' },
    ]);
  });

  it('changes nothing when the disk cannot be asked just now', async () => {
    const { verify, digestAt, fileSystem, metadata, told } = await startWithBlobs(1);
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = () => Promise.reject(Object.assign(new Error('EMFILE'), { code: 'EMFILE' }));
    expect(await verify('all')).toMatchObject([{ finding: 'unreadable' }]);
    fileSystem.open = open;
    expect(await metadata.blobs.get(digestAt(0))).toBeDefined();
    expect(told).toEqual(['failure content']);
  });

  it('does not blame a fresh file for what was wrong with the one before', async () => {
    const { verify, digestAt, fileOf, blobs, fileSystem, cache, metadata, told } = await startWithBlobs(1);
    await writeFile(fileOf(0), 'X', { flag: 'r+' });
    const open = fileSystem.open.bind(fileSystem);
    fileSystem.open = async (...call) => {
      fileSystem.open = open;
      const handle = await open(...call);
      await cache.put(digestAt(0), blobs[0] ?? Buffer.alloc(0));
      return handle;
    };
    expect(await verify('all')).toMatchObject([{ finding: 'gone' }]);
    expect(await metadata.blobs.get(digestAt(0))).toBeDefined();
    expect(told).toEqual([]);
  });

  it('keeps to its rate, and ends when it is told to', async () => {
    const { verify, clock } = await startWithBlobs(10);
    const ending = new AbortController();
    let isOver = false;
    const verifying = verify('all', { bytesPerSecond: 1000, signal: ending.signal }).finally(() => {
      isOver = true;
    });
    await clock.advance(4000);
    expect(isOver).toBe(false);
    ending.abort(new Error('enough'));
    await expect(verifying).rejects.toThrow('enough');
  });
});
