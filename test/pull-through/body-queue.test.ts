import { setImmediate as nextTurn } from 'node:timers/promises';
import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { BodyQueue } from '../../src/pull-through/body-queue.ts';

const CHUNK_BYTES = 64 * 1024;
const CHUNK_COUNT = 64;

/** All of it is there at once, as from an upstream that is faster than we are. */
function fastBody(): Readable {
  let sent = 0;
  return new Readable({
    read() {
      sent += 1;
      this.push(sent > CHUNK_COUNT ? null : Buffer.alloc(CHUNK_BYTES, sent));
    },
  });
}

it('takes a quarter of a MiB of a fast body in one turn of the event loop, and all of it in the end', async () => {
  const into = new Uint8Array(1024 * 1024);
  let taken = 0;
  const queue: BodyQueue = new BodyQueue({ body: fastBody(), giveBack: () => undefined }, () => {
    taken += queue.take(into, into.length);
  });
  const ofTurns: number[] = [];
  while (!queue.isOver) {
    const before = taken;
    await nextTurn();
    ofTurns.push(taken - before);
  }
  expect(taken).toBe(CHUNK_COUNT * CHUNK_BYTES);
  expect(Math.max(...ofTurns)).toBeLessThanOrEqual(256 * 1024 + CHUNK_BYTES);
});

it('gives back each chunk once, when all of it was taken', async () => {
  const given: number[] = [];
  const into = new Uint8Array(CHUNK_BYTES);
  const body = Readable.from([1, 2, 3].map((value) => Buffer.alloc(100, value)));
  const queue = new BodyQueue({ body, giveBack: (chunk) => given.push(chunk[0] ?? 0) }, () => undefined);
  while (!queue.isOver) await nextTurn();
  queue.take(into, 150);
  expect(given).toEqual([1]);
  queue.skip(50);
  expect(given).toEqual([1, 2]);
  queue.take(into, 1000);
  expect(given).toEqual([1, 2, 3]);
});
