import { describe, expect, it } from 'vitest';
import { ReadBuffers } from '../../src/content/read-buffers.ts';

const [LARGE, SMALL, SMALL_KEPT] = [1024 * 1024, 128 * 1024, 256];

/** Whether both are the same memory. */
function isSame(one: { readonly bytes: Buffer }, other: { readonly bytes: Buffer }): boolean {
  return one.bytes.buffer === other.bytes.buffer;
}

describe('buffers to read files into', () => {
  it('are large while there are some, and small after that', () => {
    const buffers = new ReadBuffers(2);
    const taken = [1, 2, 3].map(() => buffers.take(2 * LARGE));
    expect(taken.map(({ bytes }) => bytes.length)).toEqual([LARGE, LARGE, SMALL]);
    taken[0]?.release();
    expect(buffers.take(LARGE).bytes.length).toBe(LARGE);
    expect(buffers.take(LARGE).bytes.length).toBe(SMALL);
  });

  it('are never longer than what is asked for', () => {
    const buffers = new ReadBuffers(1);
    expect(buffers.take(SMALL + 1).bytes.length).toBe(SMALL + 1);
    expect(buffers.take(3).bytes.length).toBe(3);
  });

  it('are used again, by one reader at a time even if one is given back twice', () => {
    for (const length of [LARGE, SMALL]) {
      const buffers = new ReadBuffers(1);
      const first = buffers.take(length);
      const chunk = first.chunk(1);
      chunk.release();
      first.release();
      const [second, third] = [buffers.take(length), buffers.take(length)];
      expect(isSame(first, second)).toBe(true);
      expect(isSame(second, third)).toBe(false);
    }
  });

  it('of a crowd that has gone are given back, but for some', () => {
    const buffers = new ReadBuffers(0);
    const taken = Array.from({ length: SMALL_KEPT + 10 }, () => buffers.take(SMALL));
    for (const buffer of taken) buffer.release();
    const again = taken.map(() => buffers.take(SMALL));
    expect(again.filter((one) => taken.some((other) => isSame(one, other)))).toHaveLength(SMALL_KEPT);
  });

  it('for a few bytes take no more than these', () => {
    const buffers = new ReadBuffers(0);
    expect(buffers.take(10).bytes.buffer.byteLength).toBe(10);
  });
});
