import { describe, expect, it } from 'vitest';
import type { Content } from '../../src/content/content.ts';
import { ContentError } from '../../src/content/content-error.ts';
import type { ContentStore } from '../../src/content/content-store.ts';
import type { Ingest } from '../../src/content/ingest.ts';
import { SLAB_BYTES, type SlabPool } from '../../src/content/slabs.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { sourceBytes } from '../support/byte-source.ts';
import { generatedBlob } from '../support/generated-blob.ts';

export interface StoreUnderTest {
  readonly store: ContentStore;
  readonly slabs: SlabPool;
}

const never = new AbortController().signal;

export function bytesOf(size: number, seed = 1): Buffer {
  return sourceBytes(generatedBlob({ size, seed }));
}

/** Writes `[start, end)` of `bytes` as a fill does: in slabs. @returns whether all of it was stored */
export async function writeRange(
  slabs: SlabPool,
  ingest: Ingest,
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): Promise<boolean> {
  let isStored = true;
  for (let at = start; at < end; at += SLAB_BYTES) {
    const slab = await slabs.acquire(never);
    const part = bytes.subarray(at, Math.min(end, at + SLAB_BYTES));
    slab.bytes.set(part);
    try {
      if (!(await ingest.write(slab, part.length, at))) isStored = false;
    } finally {
      slab.release();
    }
  }
  return isStored;
}

export async function contentBytes(content: Content): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let at = 0; at < content.sizeBytes;) {
    const chunk = await content.read(at, 300_000, never);
    parts.push(Buffer.from(chunk.bytes));
    at += chunk.bytes.length;
    chunk.release();
  }
  return Buffer.concat(parts);
}

/** All bytes of stored content as a reader gets them; `undefined` when there is none. */
export async function storedBytes(
  store: ContentStore,
  digest: Digest,
  size: number,
): Promise<Buffer | undefined> {
  const content = await store.open(digest, size);
  if (content === undefined) return undefined;
  try {
    return await contentBytes(content);
  } finally {
    content.close();
  }
}

/** What every ContentStore must do. `start` gives an empty store, closed when the running test has finished. */
export function contentStoreContract(name: string, start: () => Promise<StoreUnderTest>): void {
  describe(`${name}, as a content store`, () => {
    it('has nothing of what was never stored', async () => {
      const { store } = await start();
      const digest = digestOf(Buffer.from('x'));
      expect(await store.open(digest, 1)).toBeUndefined();
      expect(await store.readWhole(digest, 1)).toBeUndefined();
      expect(await store.delete(digest)).toBe(false);
    });

    it.each(['sha256', 'sha512'] as const)('gives back what was put, by %s', async (algorithm) => {
      const { store } = await start();
      const bytes = bytesOf(5000);
      const digest = digestOf(bytes, algorithm);
      await store.put(digest, bytes);
      await store.put(digest, bytes);
      expect((await store.readWhole(digest, 5000))?.equals(bytes)).toBe(true);
      expect((await storedBytes(store, digest, 5000))?.equals(bytes)).toBe(true);
      expect(await store.delete(digest)).toBe(true);
      expect(await store.delete(digest)).toBe(false);
      expect(await store.open(digest, 5000)).toBeUndefined();
    });

    it('stores the empty blob', async () => {
      const { store, slabs } = await start();
      const digest = digestOf(Buffer.alloc(0));
      await store.put(digest, Buffer.alloc(0));
      expect(await store.readWhole(digest, 0)).toHaveLength(0);
      await store.delete(digest);
      const ingest = await store.ingest(digest, 0);
      await writeRange(slabs, ingest, Buffer.alloc(0));
      expect(await ingest.verify(0)).toBe(digest);
      await ingest.commit();
      await ingest.close();
      const content = await store.open(digest, 0);
      expect(content?.sizeBytes).toBe(0);
      content?.close();
    });

    it.each([-1, 1])('calls content damaged when its size is off by %i', async (off) => {
      const { store } = await start();
      const bytes = bytesOf(100);
      await store.put(digestOf(bytes), bytes);
      for (const ask of [
        () => store.open(digestOf(bytes), 100 + off),
        () => store.readWhole(digestOf(bytes), 100 + off),
      ])
        await expect(ask()).rejects.toMatchObject({ name: 'ContentError', reason: 'damaged' });
      expect((await store.readWhole(digestOf(bytes), 100))?.equals(bytes)).toBe(true);
    });

    it('reads from any position, no more than asked, never past the end', async () => {
      const { store } = await start();
      const bytes = bytesOf(3_000_000);
      await store.put(digestOf(bytes), bytes);
      const content = await store.open(digestOf(bytes), bytes.length);
      expect.assert(content !== undefined);
      for (const [position, limit] of [
        [0, 1],
        [1_234_567, 2_000_000],
        [2_999_999, 100],
      ] as const) {
        const chunk = await content.read(position, limit, never);
        expect(chunk.bytes.length).toBeGreaterThan(0);
        expect(chunk.bytes.length).toBeLessThanOrEqual(Math.min(limit, bytes.length - position));
        expect(bytes.subarray(position, position + chunk.bytes.length).equals(chunk.bytes)).toBe(true);
        chunk.release();
      }
      const over = AbortSignal.abort(new Error('gone'));
      await expect(content.read(0, 1, over)).rejects.toThrow('gone');
      content.close();
    });

    it('keeps content readable for who has it open, though it is deleted and stored anew meanwhile', async () => {
      const { store } = await start();
      const bytes = bytesOf(2_500_000);
      const digest = digestOf(bytes);
      await store.put(digest, bytes);
      const content = await store.open(digest, bytes.length);
      expect.assert(content !== undefined);
      expect(await store.delete(digest)).toBe(true);
      expect(await store.open(digest, bytes.length)).toBeUndefined();
      expect(digestOf(await contentBytes(content))).toBe(digest);
      await store.put(digest, bytes);
      expect(digestOf(await contentBytes(content))).toBe(digest);
      content.close();
    });

    it('works, and has room', async () => {
      const { store } = await start();
      await store.probe();
      expect(await store.capacityBytes()).toBeGreaterThan(0);
      const { totalBytes, freeBytes } = await store.space();
      expect(totalBytes).toBe(await store.capacityBytes());
      expect(freeBytes).toBeGreaterThan(0);
      expect(freeBytes).toBeLessThanOrEqual(totalBytes);
    });
  });

  ingestContract(name, start);
  upkeepContract(name, start);
}

function ingestContract(name: string, start: () => Promise<StoreUnderTest>): void {
  describe(`an ingest of ${name}`, () => {
    it.each([
      [100, 100, 'sha256'],
      [100, undefined, 'sha512'],
      [3_500_000, 3_500_000, 'sha512'],
      [3_500_000, undefined, 'sha256'],
    ] as const)(
      'takes %i bytes (announced: %s, %s), and shows nothing before the commit',
      async (size, announced, algorithm) => {
        const { store, slabs } = await start();
        const bytes = bytesOf(size);
        const digest = digestOf(bytes, algorithm);
        const ingest = await store.ingest(digest, announced);
        expect(await writeRange(slabs, ingest, bytes)).toBe(true);
        expect(ingest.stored.list).toEqual([{ start: 0, end: size }]);
        expect(await ingest.verify(size)).toBe(digest);
        expect(await store.open(digest, size)).toBeUndefined();
        await ingest.commit();
        expect((await storedBytes(store, digest, size))?.equals(bytes)).toBe(true);
        const chunk = await ingest.read(10, 50);
        expect(bytes.subarray(10, 60).equals(chunk.bytes)).toBe(true);
        chunk.release();
        await ingest.close();
        expect((await storedBytes(store, digest, size))?.equals(bytes)).toBe(true);
      },
    );

    it('hashes in order what lands out of order, whatever the order', async () => {
      const { store, slabs } = await start();
      const MIB = SLAB_BYTES;
      const bytes = bytesOf(6 * MIB + 100);
      const digest = digestOf(bytes);
      const parts = Array.from({ length: 7 }, (_, at) => at * MIB);
      const orders = [
        parts.toReversed(),
        [3, 4, 0, 1, 6, 2, 5].map((at) => at * MIB),
        [1, 0, 2, 4, 3, 6, 5].map((at) => at * MIB),
      ];
      for (const order of orders) {
        const ingest = await store.ingest(digest, bytes.length);
        for (const at of order) {
          const end = Math.min(at + MIB, bytes.length);
          expect(await writeRange(slabs, ingest, bytes, at, end)).toBe(true);
          const chunk = await ingest.read(at, 1000);
          expect(bytes.subarray(at, at + chunk.bytes.length).equals(chunk.bytes)).toBe(true);
          chunk.release();
        }
        expect(await ingest.verify(bytes.length)).toBe(digest);
        await ingest.commit();
        await ingest.close();
        expect((await storedBytes(store, digest, bytes.length))?.equals(bytes)).toBe(true);
        await store.delete(digest);
      }
    });

    it('takes several writes at the same time', async () => {
      const { store, slabs } = await start();
      const bytes = bytesOf(8 * SLAB_BYTES);
      const digest = digestOf(bytes);
      const ingest = await store.ingest(digest, bytes.length);
      const half = 4 * SLAB_BYTES;
      await Promise.all([
        writeRange(slabs, ingest, bytes, half, bytes.length),
        writeRange(slabs, ingest, bytes, 0, half),
      ]);
      expect(await ingest.verify(bytes.length)).toBe(digest);
      await ingest.close();
    });

    it('tells the digest of other bytes than were asked for', async () => {
      const { store, slabs } = await start();
      const wrong = bytesOf(400_000, 2);
      const ingest = await store.ingest(digestOf(bytesOf(400_000, 1)), 400_000);
      await writeRange(slabs, ingest, wrong);
      expect(await ingest.verify(400_000)).toBe(digestOf(wrong));
      await ingest.close();
    });

    it('cannot be verified, or read, where bytes are missing', async () => {
      const { store, slabs } = await start();
      const bytes = bytesOf(3000);
      const ingest = await store.ingest(digestOf(bytes), 3000);
      await writeRange(slabs, ingest, bytes, 0, 1000);
      await writeRange(slabs, ingest, bytes, 2000, 3000);
      await expect(ingest.verify(3000)).rejects.toMatchObject({ reason: 'damaged' });
      await expect(ingest.read(1500, 10)).rejects.toMatchObject({ reason: 'missing' });
      await ingest.close();
    });

    it('leaves nothing when it is closed without a commit', async () => {
      const { store, slabs } = await start();
      const bytes = bytesOf(3_000_000);
      const ingest = await store.ingest(digestOf(bytes), undefined);
      await writeRange(slabs, ingest, bytes);
      await ingest.close();
      expect(await store.open(digestOf(bytes), bytes.length)).toBeUndefined();
    });

    it('that was told to stop storing hashes on, and commits nothing', async () => {
      const { store, slabs } = await start();
      const bytes = bytesOf(2 * SLAB_BYTES);
      const digest = digestOf(bytes);
      for (const ingest of [
        await store.ingest(digest, bytes.length),
        store.ingestNowhere(digest, undefined),
      ]) {
        const isFirstStored = await writeRange(slabs, ingest, bytes, 0, SLAB_BYTES);
        expect(isFirstStored).toBe(ingest.storeFailure === undefined);
        ingest.stopStoring(new ContentError('no-space', 'full'));
        expect(await writeRange(slabs, ingest, bytes, SLAB_BYTES)).toBe(false);
        expect(await ingest.verify(bytes.length)).toBe(digest);
        await expect(ingest.commit()).rejects.toMatchObject({ reason: 'no-space' });
        await ingest.close();
        expect(await store.open(digest, bytes.length)).toBeUndefined();
      }
    });
  });
}

/** All that the store lists. */
export async function listed(store: ContentStore, signal = never) {
  const slices = [];
  for await (const slice of store.list(signal)) slices.push(slice);
  return { files: slices.flatMap(({ files }) => files), strays: slices.flatMap(({ strays }) => strays) };
}

function upkeepContract(name: string, start: () => Promise<StoreUnderTest>): void {
  describe(`the upkeep of ${name}`, () => {
    it('lists everything that is committed, and nothing else', async () => {
      const { store, slabs } = await start();
      expect(await listed(store)).toEqual({ files: [], strays: [] });
      const expected = new Map<string, number>();
      const before = Date.now() - 1000;
      for (let n = 0; n < 300; n += 1) {
        const bytes = Buffer.from(`blob ${n}`);
        const digest = digestOf(bytes, n % 3 === 0 ? 'sha512' : 'sha256');
        await store.put(digest, bytes);
        expected.set(digest, bytes.length);
      }
      const ingest = await store.ingest(digestOf(bytesOf(10)), 10);
      await writeRange(slabs, ingest, bytesOf(10));
      const { files, strays } = await listed(store);
      expect(strays).toEqual([]);
      expect(new Map(files.map(({ digest, sizeBytes }) => [digest as string, sizeBytes]))).toEqual(expected);
      expect(files).toHaveLength(300);
      for (const { modifiedAt } of files) {
        expect(modifiedAt).toBeGreaterThan(before);
        expect(modifiedAt).toBeLessThan(Date.now() + 1000);
      }
      await ingest.close();
    });

    it('ends its list when it is told to', async () => {
      const { store } = await start();
      await store.put(digestOf(bytesOf(10)), bytesOf(10));
      await store.put(digestOf(bytesOf(20)), bytesOf(20));
      const ending = new AbortController();
      await expect(async () => {
        for await (const { files } of store.list(ending.signal)) {
          expect(files).toHaveLength(1);
          ending.abort(new Error('enough'));
        }
      }).rejects.toThrow('enough');
      await expect(listed(store, ending.signal)).rejects.toThrow('enough');
    });

    it('finds what is committed, with its size', async () => {
      const { store } = await start();
      const [bytes, other] = [bytesOf(5000), bytesOf(7000)];
      expect(await store.find(digestOf(bytes))).toBeUndefined();
      await store.put(digestOf(bytes), bytes);
      expect(await store.find(digestOf(bytes))).toMatchObject({ digest: digestOf(bytes), sizeBytes: 5000 });
      expect(await store.find(digestOf(other))).toBeUndefined();
    });

    it.each([
      [0, 'sha256'],
      [100, 'sha512'],
      [3_500_000, 'sha256'],
      [20_000_000, 'sha512'],
    ] as const)('verifies %i bytes by %s, and tells what it has read', async (size, algorithm) => {
      const { store, slabs } = await start();
      const bytes = bytesOf(size);
      const digest = digestOf(bytes, algorithm);
      await store.put(digest, bytes);
      let read = 0;
      let isWaiting = false;
      await store.verify(digest, size, never, async (more) => {
        expect(isWaiting).toBe(false);
        isWaiting = true;
        await Promise.resolve();
        isWaiting = false;
        read += more;
      });
      expect(read).toBe(size);
      for (const off of [-1, 1])
        await expect(store.verify(digest, size + off, never)).rejects.toMatchObject({ reason: 'damaged' });
      // It has given back every slab.
      for (let n = 0; n < 8; n += 1) await slabs.acquire(AbortSignal.timeout(15_000));
    });

    it('verifies nothing that is not there, and ends when it is told to', async () => {
      const { store, slabs } = await start();
      const bytes = bytesOf(5_000_000);
      const digest = digestOf(bytes);
      await expect(store.verify(digest, bytes.length, never)).rejects.toMatchObject({ reason: 'missing' });
      await store.put(digest, bytes);
      const ending = new AbortController();
      const verified = store.verify(digest, bytes.length, ending.signal, () =>
        ending.abort(new Error('enough')),
      );
      await expect(verified).rejects.toThrow('enough');
      await expect(store.verify(digest, bytes.length, ending.signal)).rejects.toThrow('enough');
      for (let n = 0; n < 8; n += 1) await slabs.acquire(AbortSignal.timeout(15_000));
    });

    it('sets content aside, which can then be stored anew', async () => {
      const { store } = await start();
      const bytes = bytesOf(50_000);
      const digest = digestOf(bytes);
      expect(store.quarantinedBytes).toBe(0);
      expect(await store.quarantine(digest)).toBe(false);
      await store.put(digest, bytes);
      const reading = await store.open(digest, bytes.length);
      expect(await store.quarantine(digest)).toBe(true);
      expect(await store.quarantine(digest)).toBe(false);
      expect(await store.open(digest, bytes.length)).toBeUndefined();
      expect(await store.find(digest)).toBeUndefined();
      expect(await listed(store)).toEqual({ files: [], strays: [] });
      expect(reading && (await contentBytes(reading)).equals(bytes)).toBe(true);
      reading?.close();
      expect(store.quarantinedBytes).toBeGreaterThanOrEqual(50_000);
      await store.put(digest, bytes);
      expect(await store.quarantine(digest)).toBe(true);
      expect(store.quarantinedBytes).toBeGreaterThanOrEqual(100_000);
      await store.put(digest, bytes);
      expect((await store.readWhole(digest, bytes.length))?.equals(bytes)).toBe(true);
      await store.trimQuarantine(99_999);
      expect(store.quarantinedBytes).toBeGreaterThanOrEqual(50_000);
      expect(store.quarantinedBytes).toBeLessThanOrEqual(99_999);
      await store.trimQuarantine(0);
      expect(store.quarantinedBytes).toBe(0);
      expect(await store.find(digest)).toBeDefined();
    });

    it('says what a file takes of the disk: never less than its size, nothing for none', async () => {
      const { store } = await start();
      expect(store.allocatedBytes(0)).toBe(0);
      for (const size of [1, 4095, 4096, 4097, 1_000_000]) {
        expect(store.allocatedBytes(size)).toBeGreaterThanOrEqual(size);
        expect(store.allocatedBytes(size)).toBeLessThan(size + 128 * 1024);
      }
    });
  });
}
