import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { sourceBytes } from '../support/byte-source.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { startStore } from './store-under-test.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;
const SIZES = [0, 1, 1000, MIB - 1, MIB, MIB + 1, 3 * MIB + 7];

async function startWith(size: number) {
  const store = await startStore({ verifyOnRead: true });
  const bytes = sourceBytes(generatedBlob({ size, seed: 1 }));
  const digest = digestOf(bytes);
  await store.cache.put(digest, bytes);
  const file = store.fileOf(digest);
  /** What a reader is given before its answer ends, or fails. */
  const read = async (limitBytes: number) => {
    const content = await store.cache.open(digest);
    if (content === undefined) return undefined;
    const pieces: Buffer[] = [];
    try {
      for (let position = 0; position < size;) {
        const chunk = await content.read(position, Math.min(limitBytes, size - position), never);
        pieces.push(Buffer.from(chunk.bytes));
        position += chunk.bytes.length;
        chunk.release();
      }
      return { isWhole: true, bytes: Buffer.concat(pieces) };
    } catch {
      return { isWhole: false, bytes: Buffer.concat(pieces) };
    } finally {
      content.close();
    }
  };
  return { ...store, bytes, digest, file, read };
}

/** One bit, and the times of the file as they were. */
async function flip(file: string, position: number): Promise<void> {
  const handle = await open(file, 'r+');
  const { atime, mtime } = await handle.stat();
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, position);
  await handle.utimes(atime, mtime);
  await handle.close();
}

describe.each(SIZES)('with verifyOnRead, %i bytes', (size) => {
  it.each([MIB, 300_000, 64 * 1024])('that are right are given out in pieces of %i', async (limitBytes) => {
    const { read, bytes, told } = await startWith(size);
    for (let round = 0; round < 2; round += 1) {
      const got = await read(limitBytes);
      expect(got?.isWhole).toBe(true);
      expect(got?.bytes.equals(bytes)).toBe(true);
    }
    expect(told).toEqual([]);
  });
});

describe.each(SIZES.slice(1))('with verifyOnRead, of %i bytes', (size) => {
  it('any that was flipped keeps them from ending as whole, and they are set aside', async () => {
    for (const position of new Set([0, Math.floor(size / 2), Math.max(0, size - 100_000), size - 1])) {
      const { read, file, told, cache, digest, content, bytes } = await startWith(size);
      await flip(file, position);
      const got = await read(MIB);
      expect(got?.isWhole ?? false).toBe(false);
      if (got !== undefined) expect(got.bytes.length).toBeLessThan(size);
      expect(told).toEqual([size <= MIB ? 'integrity open' : 'integrity read']);
      expect(await cache.row(digest)).toBeUndefined();
      expect(content.quarantinedBytes).toBeGreaterThan(0);
      // What is put in its place is fit to be read again.
      await cache.put(digest, bytes);
      expect((await read(MIB))?.isWhole).toBe(true);
    }
  });
});

it('with verifyOnRead stretches are not hashed, and give their slabs back', async () => {
  const { cache, digest, file, slabs, told } = await startWith(3 * MIB);
  await flip(file, 0);
  const content = await cache.open(digest, MIB, 1000);
  const chunk = await content?.read(MIB, 1000, never);
  chunk?.release();
  content?.close();
  expect(told).toEqual([]);
  expect(slabs.ample).toBe(true);
});
