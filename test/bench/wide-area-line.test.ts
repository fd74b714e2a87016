import { expect, test } from 'vitest';
import { WideAreaLine } from './wide-area-line.ts';

const SEGMENT = 1460;
const FIRST_WINDOW = 10 * SEGMENT;

/** Sends bytes over it as fast as it takes them. */
function sent(bytes: number, options: { readonly delayMs: number; readonly bytesPerSecond: number }) {
  const arrivals: { readonly atMs: number; readonly bytes: number }[] = [];
  const received: Buffer[] = [];
  let nowMs = 0;
  const line = new WideAreaLine(options, (chunk) => {
    arrivals.push({ atMs: nowMs, bytes: chunk.length });
    received.push(chunk);
  });
  const body = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 4) body.writeUInt32LE(at, at);
  for (let at = 0; at < bytes; at += 65_536) line.put(body.subarray(at, at + 65_536));
  for (let due: number | undefined = 0; due !== undefined; due = line.advance(nowMs)) nowMs = due;
  return { arrivals, line, isWhole: Buffer.concat(received).equals(body) };
}

test('every byte arrives, in order, after the delay and at the pace of the bottleneck', () => {
  const { arrivals, line, isWhole } = sent(40_000_000, { delayMs: 40, bytesPerSecond: 20_000_000 });
  expect(isWhole).toBe(true);
  expect(line.isEmpty).toBe(true);
  expect(line.waitingBytes).toBe(0);
  // What a window of ten segments takes at the bottleneck, and then the way.
  expect(arrivals[0]?.atMs).toBeCloseTo(40 + FIRST_WINDOW / 20_000, 3);
  const endMs = arrivals.at(-1)?.atMs ?? 0;
  expect(endMs).toBeGreaterThan(2040);
  expect(endMs).toBeLessThan(2040 + 10 * 80);
});

test('a connection begins with ten segments, and doubles with each round trip', () => {
  const { arrivals } = sent(1_000_000, { delayMs: 40, bytesPerSecond: 1e9 });
  const within = (roundTrip: number) =>
    arrivals
      .filter(({ atMs }) => atMs >= 40 + 80 * roundTrip && atMs < 120 + 80 * roundTrip)
      .reduce((sum, { bytes }) => sum + bytes, 0);
  expect(within(0)).toBe(FIRST_WINDOW);
  expect(within(1)).toBe(2 * FIRST_WINDOW);
  expect(within(2)).toBe(4 * FIRST_WINDOW);
});
