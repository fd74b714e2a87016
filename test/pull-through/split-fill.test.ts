import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;
const SIZE = 40 * MIB;

async function start(limits: object = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  // A line is slow by this clock, and the test is quick.
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url, limits }],
    clock: hurriedClock(8),
  });
  registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { bytesPerSecond: 16 * MIB } });
  const digest = registry.addBlob('library/app', { size: SIZE, seed: 1 });
  const ranges = () =>
    registry.requests
      .filter(({ method, path }) => method === 'GET' && BLOBS.test(path))
      .map(({ headers }) => headers['range']);
  return { registry, digest, ranges, app, url: `${app.url}/v2/library/app/blobs/${digest}` };
}

describe('a large blob over a slow line', () => {
  it('comes in several ranges at once, streamed from its first byte on, and each byte is asked for once', async () => {
    const { digest, ranges, url, registry } = await start();
    const reader = await openGet(url, { digestOnly: true });
    await reader.read(MIB);
    expect(await reader.finished()).toMatchObject({ status: 200, complete: true, digest, length: SIZE });
    const asked = ranges();
    expect(asked[0]).toBeUndefined();
    expect(asked.length).toBeGreaterThan(1);
    const starts = asked.slice(1).map((range) => /^bytes=(\d+)-(\d+)$/.exec(range ?? ''));
    const sorted = starts
      .map((found) => ({ start: Number(found?.[1]), end: Number(found?.[2]) + 1 }))
      .toSorted((a, b) => a.start - b.start);
    for (const [at, { end }] of sorted.entries())
      expect(end).toBeLessThanOrEqual(sorted[at + 1]?.start ?? SIZE);
    expect(sorted.at(-1)?.end).toBe(SIZE);
    // Beyond what the first connection had on its way when it was cut, nothing comes twice.
    expect(registry.blobBodyBytes(digest)).toBeLessThan(SIZE + 8 * MIB);
    await expect.poll(async () => (await get(url, { digestOnly: true })).headers['x-cache']).toBe('HIT');
  });

  it('comes whole from an upstream that ignores ranges', async () => {
    const { digest, registry, url } = await start();
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { ignoreRange: true } });
    expect(await get(url, { digestOnly: true })).toMatchObject({ status: 200, complete: true, digest });
  });

  it('goes on where one of its ranges breaks, which is asked for again alone', async () => {
    const { digest, registry, url } = await start();
    const cut = registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 3 },
      action: { cutAfter: 2 * MIB },
    });
    expect(await get(url, { digestOnly: true })).toMatchObject({ status: 200, complete: true, digest });
    expect(cut.hits).toBe(1);
    expect(registry.blobBodyBytes(digest)).toBeLessThan(SIZE + 8 * MIB);
  });

  it('goes on in one where its further ranges are refused', async () => {
    const { digest, registry, url } = await start();
    const refused = registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 2, times: 100 },
      action: { respond: { status: 403, body: 'no' } },
    });
    expect(await get(url, { digestOnly: true })).toMatchObject({ status: 200, complete: true, digest });
    expect(refused.hits).toBe(1);
    expect(registry.blobBodyBytes(digest)).toBe(SIZE);
  });

  it.each([2, 3, 4, 5])('goes on when range %i is refused for a while', async (nth) => {
    const { registry, app } = await start();
    // So large that there are as many ranges wherever a busy machine begins to split it.
    const digest = registry.addBlob('library/app', { size: 72 * MIB, seed: 3 });
    const url = `${app.url}/v2/library/app/blobs/${digest}`;
    const refused = registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth, times: 2 },
      action: { respond: { status: 429, headers: { 'retry-after': '20' }, body: 'slow down' } },
    });
    expect(await get(url, { digestOnly: true })).toMatchObject({ status: 200, complete: true, digest });
    expect(refused.hits).toBeGreaterThan(0);
  });

  it('keeps no other pull waiting when the upstream refuses a range', async () => {
    const { digest, registry, url, app } = await start();
    const other = registry.addBlob('library/other', { size: 1000, seed: 2 });
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 1 },
      action: { stallAfter: { bytes: 30 * MIB, gate } },
    });
    const refused = registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 2 },
      action: { respond: { status: 429, headers: { 'retry-after': '600' }, body: 'slow down' } },
    });
    const first = await openGet(url, { digestOnly: true });
    await expect.poll(() => refused.hits).toBe(1);
    expect((await get(`${app.url}/v2/library/other/blobs/${other}`)).status).toBe(200);
    gate.open();
    expect(await first.finished()).toMatchObject({ status: 200, complete: true, digest });
  });

  it('is never complete when one of its ranges is wrong', async () => {
    const { registry, url } = await start();
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { flipBitAt: 20 * MIB } });
    const result = await get(url, { digestOnly: true });
    expect(result.complete).toBe(false);
  });

  it('comes in one where the configuration says so', async () => {
    const { digest, ranges, url } = await start({ segments: 1 });
    expect(await get(url, { digestOnly: true })).toMatchObject({ status: 200, complete: true, digest });
    expect(ranges()).toEqual([undefined]);
  });
});
