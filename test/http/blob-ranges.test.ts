import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { sourceBytes } from '../support/byte-source.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { get, openGet } from '../support/http-get.ts';
import { partsOf } from '../support/multipart-parts.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;

async function start(size: number, { warm }: { warm: boolean }) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache: { finishFillBytes: 64 * MIB },
  });
  const recipe = { size, seed: 5 };
  const digest = registry.addBlob('library/app', recipe);
  const url = `${app.url}/v2/library/app/blobs/${digest}`;
  const ask = (headers: Record<string, string>, method = 'GET') => get(url, { headers, method });
  if (warm) {
    await expect
      .poll(async () => (await get(url, { digestOnly: true })).headers['x-cache'], {
        interval: 10,
      })
      .toBe('HIT');
  }
  return { registry, app, digest, url, ask, bytes: sourceBytes(generatedBlob(recipe)) };
}

describe.each([{ warm: true }, { warm: false }])('a range of a blob (warm: $warm)', ({ warm }) => {
  const SIZE = 3 * MIB + 7;

  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-299', 100, 300],
    [`bytes=${MIB - 1}-${2 * MIB}`, MIB - 1, 2 * MIB + 1],
    [`bytes=${SIZE - 1}-`, SIZE - 1, SIZE],
    ['bytes=-5', SIZE - 5, SIZE],
    [`bytes=-${SIZE * 2}`, 0, SIZE],
    ['bytes=5-9223372036854775807', 5, SIZE],
    ['bytes=0-9,10-19', 0, 20],
  ])('%s is exactly these bytes', async (range, first, end) => {
    const { ask, bytes, digest } = await start(SIZE, { warm });
    const result = await ask({ range });
    expect(result).toMatchObject({ status: 206, complete: true });
    expect(result.headers).toMatchObject({
      'content-range': `bytes ${first}-${end - 1}/${SIZE}`,
      'content-length': String(end - first),
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
      'accept-ranges': 'bytes',
      'x-cache': warm ? 'HIT' : 'MISS',
    });
    expect(result.body.equals(bytes.subarray(first, end))).toBe(true);
  });

  it('that names several stretches is a multipart body with each of them', async () => {
    const { ask, bytes } = await start(SIZE, { warm });
    const asked = [
      [0, 10],
      [1000, 2000],
      [MIB, 2 * MIB],
      [SIZE - 3, SIZE],
    ] as const;
    const header = asked.map(([from, to]) => `${from}-${to - 1}`).join(', ');
    const result = await ask({ range: `bytes=${header}` });
    expect(result).toMatchObject({ status: 206, complete: true });
    expect(result.headers['content-range']).toBeUndefined();
    const parts = partsOf(result);
    expect(parts.map(({ range }) => range)).toEqual(
      asked.map(([from, to]) => `bytes ${from}-${to - 1}/${SIZE}`),
    );
    for (const [at, { type, bytes: part }] of parts.entries()) {
      const [from, to] = asked[at] ?? [0, 0];
      expect(type).toBe('application/octet-stream');
      expect(part.equals(bytes.subarray(from, to))).toBe(true);
    }
  });

  it('beyond its end is 416 with the size, and what is no range is, too', async () => {
    const { ask } = await start(SIZE, { warm });
    for (const range of [`bytes=${SIZE}-`, 'bytes=-0', 'bytes=9-1', 'bytes=x', `bytes=${'9'.repeat(30)}-`]) {
      const result = await ask({ range });
      expect(result).toMatchObject({ status: 416, complete: true });
      expect(result.headers['content-range']).toBe(`bytes */${SIZE}`);
      expect(JSON.parse(result.body.toString())).toMatchObject({ errors: [{ code: 'RANGE_INVALID' }] });
    }
  });

  it('under If-Range is a part with our tag, and the whole with any other', async () => {
    const { ask, digest } = await start(SIZE, { warm });
    expect(await ask({ range: 'bytes=1-2', 'if-range': `"${digest}"` })).toMatchObject({
      status: 206,
      length: 2,
    });
    for (const other of ['"sha256:0"', `W/"${digest}"`, 'Wed, 21 Oct 2015 07:28:00 GMT']) {
      const whole = await ask({ range: 'bytes=1-2', 'if-range': other });
      expect(whole).toMatchObject({ status: 200, complete: true, digest });
    }
  });

  it('in another unit is ignored, and HEAD ignores ranges', async () => {
    const { ask, digest } = await start(SIZE, { warm });
    const head = await ask({ range: 'bytes=1-2' }, 'HEAD');
    expect(head).toMatchObject({ status: 200, length: 0 });
    expect(head.headers['content-length']).toBe(String(SIZE));
    expect(await ask({ range: 'pages=1-2' })).toMatchObject({ status: 200, complete: true, digest });
  });

  it('is 304 without a body when the client has it, and costs no download', async () => {
    const { ask, digest, registry } = await start(SIZE, { warm });
    const before = registry.blobBodyBytes();
    for (const method of ['GET', 'HEAD']) {
      for (const tag of [`"${digest}"`, `W/"${digest}"`, `"x", "${digest}"`, '*']) {
        const result = await ask({ 'if-none-match': tag, range: 'bytes=0-9' }, method);
        expect(result).toMatchObject({ status: 304, length: 0, complete: true });
        expect(result.headers).toMatchObject({ etag: `"${digest}"`, 'docker-content-digest': digest });
        expect(result.headers['content-length']).toBeUndefined();
      }
    }
    expect(registry.blobBodyBytes()).toBe(before);
    expect(await ask({ 'if-none-match': '"other"' })).toMatchObject({ status: 200, complete: true, digest });
  });
});

function rangesEach(step: number, count: number): string {
  return `bytes=${Array.from({ length: count }, (_, at) => `${at * step}-${at * step}`).join(',')}`;
}

describe('many ranges', () => {
  it('of a cold blob are answered up to sixteen, and beyond are 400, at which lazy pullers ask for fewer', async () => {
    const { ask, registry, bytes } = await start(2 * MIB, { warm: false });
    const refused = await ask({ range: rangesEach(1000, 17) });
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.body.toString())).toMatchObject({ errors: [{ code: 'RANGE_INVALID' }] });
    expect(registry.count({ path: BLOBS, method: 'GET' })).toBe(0);
    const answered = await ask({ range: rangesEach(1000, 16) });
    expect(answered.status).toBe(206);
    const parts = partsOf(answered);
    expect(parts).toHaveLength(16);
    for (const [at, { bytes: part }] of parts.entries()) expect(part[0]).toBe(bytes[at * 1000]);
  });

  it('of a stored blob are answered by the thousand', async () => {
    const { ask, bytes } = await start(2 * MIB, { warm: true });
    const parts = partsOf(await ask({ range: rangesEach(1000, 1400) }));
    expect(parts).toHaveLength(1400);
    for (const [at, { bytes: part }] of parts.entries()) expect(part[0]).toBe(bytes[at * 1000]);
  });
});

describe('a range of a blob on its way in', () => {
  it('behind the tip is answered at once, and one that reaches beyond it when it is there', async () => {
    const { registry, url, ask, bytes } = await start(6 * MIB, { warm: false });
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 1 },
      action: { stallAfter: { bytes: 3 * MIB, gate } },
    });
    const whole = await openGet(url, { digestOnly: true });
    await whole.read(2 * MIB);
    const behind = await ask({ range: `bytes=${MIB}-${MIB + 999}` });
    expect(behind).toMatchObject({ status: 206, length: 1000 });
    expect(behind.headers['x-cache']).toBe('JOINED');
    expect(behind.body.equals(bytes.subarray(MIB, MIB + 1000))).toBe(true);
    const across = await openGet(url, { headers: { range: `bytes=${MIB}-${5 * MIB - 1}` } });
    await across.read(MIB);
    gate.open();
    const result = await across.finished();
    expect(result).toMatchObject({ status: 206, complete: true, length: 4 * MIB });
    expect(result.body.equals(bytes.subarray(MIB, 5 * MIB))).toBe(true);
    expect(await whole.finished()).toMatchObject({ complete: true });
    expect(registry.blobBodyBytes()).toBe(6 * MIB);
  });

  it('is broken off, not ended, when the transfer fails for good in its middle', async () => {
    const { registry, url } = await start(6 * MIB, { warm: false });
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 1 },
      action: { stallAfter: { bytes: 3 * MIB, gate }, cutAfter: 4 * MIB },
    });
    registry.faults.add({
      match: { path: BLOBS, method: 'GET', nth: 2, times: Infinity },
      action: { respond: { status: 404 } },
    });
    const across = await openGet(url, { headers: { range: `bytes=${MIB}-${6 * MIB - 1}` } });
    await across.read(MIB);
    gate.open();
    const result = await across.finished();
    expect(result.status).toBe(206);
    expect(result.complete).toBe(false);
  });
});
