import { describe, expect, it } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { get, openGet } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;

async function start(cache = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], cache });
  const add = (size: number, seed = size) => registry.addBlob('library/app', { size, seed });
  const urlOf = (digest: string) => `${app.url}/v2/library/app/blobs/${digest}`;
  return { registry, app, add, urlOf };
}

describe('a blob', () => {
  it('comes from the upstream once, and from the cache ever after', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(5 * MIB + 17);
    const cold = await get(urlOf(digest), { digestOnly: true });
    expect(cold).toMatchObject({ status: 200, complete: true, digest, length: 5 * MIB + 17 });
    expect(cold.headers).toMatchObject({
      'x-cache': 'MISS',
      'content-length': String(5 * MIB + 17),
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'content-type': 'application/octet-stream',
    });
    await expect
      .poll(async () => (await get(urlOf(digest), { digestOnly: true })).headers['x-cache'])
      .toBe('HIT');
    await registry.stop();
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({
      status: 200,
      complete: true,
      digest,
    });
    expect(registry.blobBodyBytes(digest)).toBe(5 * MIB + 17);
  });

  it.each([0, 1, 65_535, 65_536, 65_537, MIB, MIB + 1])(
    'of %i bytes is right, cold and warm',
    async (size) => {
      const { add, urlOf } = await start();
      const digest = add(size);
      for (let round = 0; round < 2; round += 1) {
        expect(await get(urlOf(digest))).toMatchObject({ status: 200, complete: true, digest, length: size });
      }
    },
  );

  it('is fetched once however many ask at the same moment', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(8 * MIB);
    // All 32 have their first bytes before the upstream sends its last.
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: MIB, gate } } });
    const open = await Promise.all(
      Array.from({ length: 32 }, () => openGet(urlOf(digest), { digestOnly: true })),
    );
    gate.open();
    const results = await Promise.all(open.map((response) => response.finished()));
    for (const result of results) expect(result).toMatchObject({ status: 200, complete: true, digest });
    expect(registry.blobBodyBytes(digest)).toBe(8 * MIB);
    const outcomes = results.map(({ headers }) => headers['x-cache']);
    expect(outcomes.filter((outcome) => outcome === 'MISS')).toHaveLength(1);
    expect(outcomes.filter((outcome) => outcome === 'JOINED')).toHaveLength(31);
  });

  it('reaches a late reader while the upstream is still sending, from its first byte on', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(6 * MIB);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: 4 * MIB, gate } } });
    const early = await openGet(urlOf(digest), { digestOnly: true });
    await early.read(3 * MIB);
    const late = await openGet(urlOf(digest), { digestOnly: true });
    await late.read(3 * MIB);
    gate.open();
    expect(await early.finished()).toMatchObject({ complete: true, digest });
    expect(await late.finished()).toMatchObject({ complete: true, digest });
    expect(registry.blobBodyBytes(digest)).toBe(6 * MIB);
  });

  it('is not held up by a reader that has stopped reading', async () => {
    const { add, urlOf } = await start();
    const digest = add(32 * MIB);
    const gate = new Gate();
    const slow = await openGet(urlOf(digest), { digestOnly: true, pauseAfter: { bytes: 1000, gate } });
    const fast = await Promise.all(Array.from({ length: 5 }, () => get(urlOf(digest), { digestOnly: true })));
    for (const result of fast) expect(result).toMatchObject({ complete: true, digest });
    gate.open();
    expect(await slow.finished()).toMatchObject({ complete: true, digest });
  });

  it('goes on for the others when the client that began it leaves', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(8 * MIB);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS }, action: { stallAfter: { bytes: 2 * MIB, gate } } });
    const first = await openGet(urlOf(digest), { digestOnly: true });
    await first.read(MIB);
    const second = await openGet(urlOf(digest), { digestOnly: true });
    first.destroy();
    gate.open();
    expect(await second.finished()).toMatchObject({ complete: true, digest });
    expect(registry.blobBodyBytes(digest)).toBe(8 * MIB);
  });

  it('with a flipped bit never ends as a complete 200, and is not cached', async () => {
    const { registry, add, urlOf, app } = await start();
    const digest = add(3 * MIB);
    const fault = registry.faults.add({ match: { path: BLOBS }, action: { flipBitAt: 100 } });
    const results = await Promise.all([1, 2, 3].map(() => get(urlOf(digest), { digestOnly: true })));
    for (const result of results) expect(result.complete && result.status === 200).toBe(false);
    fault.remove();
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({
      status: 200,
      complete: true,
      digest,
    });
    const { body } = await get(`${app.adminUrl}/metrics`);
    expect(body.toString()).toContain('entrepot_integrity_failures_total{where="fill"} 1');
  });

  it('that is small and wrong is answered with an error, not with a broken connection', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(1000);
    registry.faults.add({ match: { path: BLOBS }, action: { flipBitAt: 7 } });
    const result = await get(urlOf(digest));
    expect(result.status).toBe(502);
    expect(JSON.parse(result.body.toString())).toMatchObject({ errors: [{ code: 'UNAVAILABLE' }] });
  });

  it('whose transfer breaks is resumed where it broke, and no client notices', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(8 * MIB);
    registry.faults.add({ match: { path: BLOBS, method: 'GET', nth: 1 }, action: { cutAfter: 3 * MIB } });
    registry.faults.add({ match: { path: BLOBS, method: 'GET', nth: 2 }, action: { cutAfter: 2 * MIB } });
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({
      status: 200,
      complete: true,
      digest,
    });
    expect(registry.blobBodyBytes(digest)).toBe(8 * MIB);
    expect(registry.count({ path: BLOBS, method: 'GET' })).toBe(3);
  });

  it('is resumed from an upstream that ignores ranges, too', async () => {
    const { registry, add, urlOf } = await start();
    const digest = add(4 * MIB);
    registry.faults.add({ match: { path: BLOBS }, action: { ignoreRange: true } });
    registry.faults.add({ match: { path: BLOBS, method: 'GET', nth: 1 }, action: { cutAfter: MIB } });
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({
      status: 200,
      complete: true,
      digest,
    });
  });
});

describe('a range', () => {
  it('far into a cold blob is answered before the blob is there, and the blob is brought in whole, each byte once', async () => {
    const { registry, add, urlOf } = await start({ finishFillBytes: 64 * MIB });
    const size = 40 * MIB;
    const digest = add(size);
    const whole = await get(urlOf(digest), { digestOnly: true });
    expect(whole.complete).toBe(true);
    const other = registry.addBlob('library/app', { size, seed: 99 });
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 1 },
      action: { stallAfter: { bytes: MIB, gate } },
    });
    const front = await openGet(urlOf(other), { digestOnly: true });
    await front.read(MIB / 2);
    const range = await get(urlOf(other), { headers: { range: `bytes=${30 * MIB}-${30 * MIB + 999}` } });
    expect(range).toMatchObject({ status: 206, length: 1000, complete: true });
    expect(range.headers['content-range']).toBe(`bytes ${30 * MIB}-${30 * MIB + 999}/${size}`);
    gate.open();
    expect(await front.finished()).toMatchObject({ complete: true, digest: other });
    const again = await get(urlOf(other), { headers: { range: `bytes=${30 * MIB}-${30 * MIB + 999}` } });
    expect(again.body.equals(range.body)).toBe(true);
  });

  it('of one byte does not start the download of a big blob', async () => {
    const { registry, add, urlOf } = await start({ fillLingerMs: 1 });
    const digest = add(20 * MIB);
    const probe = await get(urlOf(digest), { headers: { range: 'bytes=0-0' } });
    expect(probe).toMatchObject({ status: 206, length: 1 });
    await expect
      .poll(async () => (await get(urlOf(digest), { method: 'HEAD' })).headers['x-cache'])
      .toBe('MISS');
    expect(registry.blobBodyBytes(digest)).toBe(1);
  });
});
