import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../src/content/content.ts';
import { FetchReader, type ReadableFetch } from '../../src/pull-through/fetch-reader.ts';
import { planSegments } from '../../src/pull-through/segment-plan.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;

async function scene(cache = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], cache });
  const add = (size: number, seed = size, repository = 'library/app') =>
    registry.addBlob(repository, { size, seed });
  const urlOf = (digest: string, repository = 'library/app') => `${app.url}/v2/${repository}/blobs/${digest}`;
  return { registry, app, add, urlOf };
}

describe('wrong answers', () => {
  it('an empty body for a digest of something else is not a complete 200', async () => {
    const { registry, add, urlOf } = await scene();
    const digest = add(100_000);
    const respond = { status: 200, headers: { 'content-length': '0' }, body: '' };
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { respond } });
    const result = await get(urlOf(digest));
    expect(result.status).toBe(502);
  });

  it('an answer without a length is streamed with the length that HEAD gave', async () => {
    const { registry, add, urlOf } = await scene();
    const digest = add(4 * MIB);
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { framing: 'chunked', stallAfter: { bytes: 2 * MIB, gate } },
    });
    const response = await openGet(urlOf(digest), { digestOnly: true });
    expect(response.headers['content-length']).toBe(String(4 * MIB));
    await response.read(MIB);
    gate.open();
    expect(await response.finished()).toMatchObject({ complete: true, digest });
  });

  it('a blob whose size the upstream tells nowhere comes whole all the same, and is cached', async () => {
    const { registry, add, urlOf } = await scene();
    const digest = add(3 * MIB);
    registry.faults.add({ match: { path: BLOBS }, action: { ignoreRange: true, framing: 'chunked' } });
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({
      status: 200,
      complete: true,
      digest,
    });
    await registry.stop();
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({ status: 200, digest });
  });

  it('an upstream that never answers a blob request with 200 is given up after one round of patience', async () => {
    const { registry, add, urlOf } = await scene();
    const digest = add(100_000);
    const fault = { respond: { status: 404, body: '{}' } };
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: fault });
    expect((await get(urlOf(digest))).status).toBe(404);
    expect(registry.count({ path: BLOBS, method: 'GET' })).toBe(1);
  });

  it('an upstream that sends a byte per connection is given up soon', async () => {
    const clock = new FakeClock();
    const registry = closeAfterTest(await FakeRegistry.start());
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
    const digest = registry.addBlob('library/app', { size: 50_000, seed: 1 });
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { cutAfter: 1 } });
    const over = new AbortController();
    const asked = get(`${app.url}/v2/library/app/blobs/${digest}`).finally(() => over.abort());
    while (!over.signal.aborted) {
      await clock.advance(200);
      await delay(5);
    }
    expect((await asked).status).toBe(503);
    expect(registry.count({ path: BLOBS, method: 'GET' })).toBe(6);
  });
});

describe('access', () => {
  it('a digest that another repository of the upstream holds is not given away through a fill that fails over', async () => {
    const { registry, urlOf } = await scene();
    const digest = registry.addBlob('library/private', { size: 300_000, seed: 3 });
    registry.addBlob('library/evil', { size: 3, seed: 4 });
    const gate = new Gate();
    registry.faults.add({ match: { path: /private\/blobs/, method: 'GET' }, action: { gate } });
    const legitimate = get(urlOf(digest, 'library/private'), { digestOnly: true });
    await gate.arrived(1);
    expect((await get(urlOf(digest, 'library/evil'))).status).toBe(404);
    expect((await get(urlOf(digest, 'library/evil'), { headers: { range: 'bytes=0-9' } })).status).toBe(404);
    gate.open();
    expect(await legitimate).toMatchObject({ status: 200, complete: true, digest });
    expect((await get(urlOf(digest, 'library/evil'))).status).toBe(404);
    expect((await get(urlOf(digest, 'library/evil'), { method: 'HEAD' })).status).toBe(404);
  });

  it('what one upstream sends wrong does not touch the pull of the same blob from another', async () => {
    const good = closeAfterTest(await FakeRegistry.start());
    const bad = closeAfterTest(await FakeRegistry.start());
    const app = await startApp({
      upstreams: [
        { name: 'docker.io', url: good.url },
        { name: 'bad.io', url: bad.url },
      ],
    });
    const recipe = { size: 3 * MIB, seed: 1 };
    const digest = good.addBlob('library/app', recipe);
    bad.addBlob('library/app', recipe);
    const gate = new Gate();
    bad.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { flipBitAt: 5, stallAfter: { bytes: MIB, gate } },
    });
    const fromBad = await openGet(`${app.url}/v2/bad.io/library/app/blobs/${digest}`, { digestOnly: true });
    await fromBad.read(MIB / 2);
    const fromGood = await get(`${app.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
    expect(fromGood).toMatchObject({ status: 200, complete: true, digest });
    gate.open();
    expect((await fromBad.finished()).complete).toBe(false);
  });
});

describe('without room', () => {
  it.each([1000, 60_000, 200_000])('a blob of %i bytes over a slow line ends right', async (size) => {
    const { registry, add, urlOf } = await scene({ maxSize: { bytes: 100 } });
    const digest = add(size);
    registry.faults.add({ match: { path: BLOBS, method: 'GET' }, action: { bytesPerSecond: 400_000 } });
    const result = await get(urlOf(digest), { digestOnly: true });
    expect(result).toMatchObject({ status: 200, complete: true, digest });
    expect(result.headers['x-cache']).toBe('BYPASS');
  });

  it('a blob larger than the cache reaches several readers right, each byte fetched once', async () => {
    const { registry, add, urlOf } = await scene({ maxSize: { bytes: MIB } });
    const digest = add(20 * MIB);
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { stallAfter: { bytes: MIB, gate } },
    });
    const readers = [1, 2, 3].map(() => openGet(urlOf(digest), { digestOnly: true }));
    const opened = await Promise.all(readers);
    gate.open();
    for (const reader of opened) expect(await reader.finished()).toMatchObject({ complete: true, digest });
    expect(registry.blobBodyBytes(digest)).toBe(20 * MIB);
  });

  it('clients that stop reading such blobs do not hold up the fill of another blob', async () => {
    const { add, urlOf } = await scene({ maxSize: { bytes: 4 * MIB } });
    const stalled = await Promise.all(
      Array.from({ length: 8 }, (_, number) =>
        openGet(urlOf(add(24 * MIB, 100 + number)), {
          digestOnly: true,
          pauseAfter: { bytes: 1000, gate: new Gate() },
        }),
      ),
    );
    const digest = add(500_000, 7);
    expect(await get(urlOf(digest), { digestOnly: true })).toMatchObject({ complete: true, digest });
    for (const reader of stalled) reader.destroy();
  });

  it('a range far ahead of such a fill costs one upstream request', async () => {
    const { registry, add, urlOf } = await scene({ maxSize: { bytes: MIB } });
    const digest = add(40 * MIB);
    const gate = new Gate();
    const slow = await openGet(urlOf(digest), { digestOnly: true, pauseAfter: { bytes: 100_000, gate } });
    const before = registry.count({ path: BLOBS, method: 'GET' });
    const range = await get(urlOf(digest), { headers: { range: `bytes=${30 * MIB}-${30 * MIB + 9999}` } });
    expect(range).toMatchObject({ status: 206, length: 10_000 });
    expect(range.headers['x-cache']).toBe('BYPASS');
    expect(registry.count({ path: BLOBS, method: 'GET' }) - before).toBe(1);
    slow.destroy();
  });

  it('a blob of unknown size that cannot be stored fails without a storm', async () => {
    const { registry, add, urlOf } = await scene({ maxSize: { bytes: MIB } });
    const digest = add(20 * MIB);
    registry.faults.add({
      match: { path: BLOBS },
      action: { framing: 'chunked', headers: { 'content-range': undefined } },
    });
    const result = await get(urlOf(digest), { digestOnly: true });
    expect(result.status === 200 && result.complete && result.digest !== digest).toBe(false);
    expect(registry.count({ path: BLOBS, method: 'GET' })).toBeLessThanOrEqual(3);
  });
});

describe('ranges', () => {
  it('a probe of a cold blob evicts nothing', async () => {
    const { add, urlOf } = await scene({ maxSize: { bytes: 10 * MIB } });
    const hot = add(6 * MIB);
    await get(urlOf(hot), { digestOnly: true });
    await expect
      .poll(async () => (await get(urlOf(hot), { digestOnly: true })).headers['x-cache'])
      .toBe('HIT');
    const cold = add(8 * MIB);
    expect((await get(urlOf(cold), { headers: { range: 'bytes=0-0' } })).length).toBe(1);
    expect((await get(urlOf(hot), { digestOnly: true })).headers['x-cache']).toBe('HIT');
  });

  it('several open-ended ranges at once fetch each byte once', async () => {
    const { registry, add, urlOf } = await scene();
    const size = 48 * MIB;
    const digest = add(size);
    const gate = new Gate();
    registry.faults.add({ match: { path: BLOBS, method: 'HEAD' }, action: { gate } });
    const asked = [0, 16, 32].map((mib) =>
      get(urlOf(digest), { digestOnly: true, headers: { range: `bytes=${mib * MIB}-` } }),
    );
    await gate.arrived(1);
    gate.open();
    const results = await Promise.all(asked);
    expect(results.map(({ length }) => length / MIB)).toEqual([48, 32, 16]);
    // A transfer that ends where another began has sent some more by then, which nobody reads.
    expect(results.every(({ complete }) => complete)).toBe(true);
    await expect
      .poll(async () => (await get(urlOf(digest), { digestOnly: true })).headers['x-cache'])
      .toBe('HIT');
    expect((await get(urlOf(digest), { digestOnly: true })).digest).toBe(digest);
    const asks = registry.requests
      .filter(({ method }) => method === 'GET')
      .map(({ headers }) => headers['range']);
    expect(new Set(asks).size).toBe(asks.length);
  });

  it('two demands in one plan share the tail between them', () => {
    const plan = planSegments({
      sizeBytes: 200,
      present: [],
      running: [{ position: 0, end: 200 }],
      demands: [
        { start: 50 * MIB, end: 200 * MIB },
        { start: 100 * MIB, end: 200 * MIB },
      ].map(({ start, end }) => ({ start, end })),
      isWholeWanted: true,
      canJump: true,
    });
    expect(plan.starts).toEqual([]);
    const large = planSegments({
      sizeBytes: 200 * MIB,
      present: [],
      running: [{ position: 0, end: 200 * MIB }],
      demands: [
        { start: 50 * MIB, end: 200 * MIB },
        { start: 100 * MIB, end: 200 * MIB },
      ],
      isWholeWanted: true,
      canJump: true,
    });
    expect(large.starts).toEqual([
      { start: 50 * MIB, end: 100 * MIB },
      { start: 100 * MIB, end: 200 * MIB },
    ]);
    expect(large.cuts).toEqual([{ index: 0, end: 50 * MIB }]);
  });
});

it('a reader notices bytes that come between its look and its wait', async () => {
  const chunk: Chunk = { bytes: Buffer.from('x'), release: () => undefined };
  let isReady = false;
  let looks = 0;
  const fetch: ReadableFetch = {
    tryRead: () => {
      looks += 1;
      if (isReady) return chunk;
      if (looks === 1) {
        queueMicrotask(() => {
          isReady = true;
          reader.wake();
        });
      }
      return undefined;
    },
    onWaiting: () => undefined,
    onMoved: () => undefined,
    onClosed: () => undefined,
  };
  const reader = new FetchReader(fetch, 1, [{ start: 0, end: 1 }]);
  const signal = new AbortController().signal;
  const read = reader.read(0, 1, signal);
  expect(await Promise.race([read, delay(2000, 'never')])).toBe(chunk);
});
