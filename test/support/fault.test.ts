import { describe, expect, it } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from './close-after-test.ts';
import { FakeRegistry } from './fake-registry.ts';
import type { FaultAction, FaultMatch } from './fault.ts';
import { Gate } from './gate.ts';
import { get, openGet } from './http-get.ts';
import { type RawResult, sendRaw } from './raw-http.ts';
import { rawHeader } from './raw-response.ts';

const TEXT = '0123456789';

async function start(): Promise<{ registry: FakeRegistry; digest: Digest; path: string; url: string }> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const digest = registry.addBlob('a', Buffer.from(TEXT));
  const path = `/v2/a/blobs/${digest}`;
  return { registry, digest, path, url: `${registry.url}${path}` };
}

/** The wire's view of one GET that `action` befalls. */
async function wire(action: FaultAction, headers = ''): Promise<RawResult> {
  const { registry, path } = await start();
  registry.faults.add({ action });
  const request = `GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
  return sendRaw(registry, request, { timeoutMs: 250, settleMs: 50 });
}

describe('a fault', () => {
  it('leaves a request alone that it does not match', async () => {
    const { registry, url } = await start();
    const matches: FaultMatch[] = [{ method: 'HEAD' }, { path: /manifests/ }, { where: () => false }];
    for (const match of matches) registry.faults.add({ match, action: { respond: { status: 500 } } });
    expect((await get(url)).status).toBe(200);
  });

  it('hits the nth request that matches, or so many in a row', async () => {
    const { registry, url } = await start();
    const statuses = async (match: FaultMatch): Promise<number[]> => {
      const fault = registry.faults.add({ match, action: { respond: { status: 503 } } });
      const found: number[] = [];
      for (let count = 0; count < 4; count++) found.push((await get(url)).status);
      fault.remove();
      expect(fault.hits).toBe(found.filter((status) => status === 503).length);
      return found;
    };
    expect(await statuses({})).toEqual([503, 503, 503, 503]);
    expect(await statuses({ times: 2 })).toEqual([503, 503, 200, 200]);
    expect(await statuses({ nth: 3 })).toEqual([200, 200, 503, 200]);
    expect(await statuses({ nth: 2, times: 2 })).toEqual([200, 503, 503, 200]);
  });

  it('answers something else', async () => {
    const found = await wire({
      respond: { status: 429, headers: { 'retry-after': '7', 'content-type': 'text/html' }, body: '<p>' },
    });
    expect([found.status, rawHeader(found, 'retry-after'), found.body.toString()]).toEqual([429, '7', '<p>']);
  });

  it('overrides, removes and repeats headers', async () => {
    const found = await wire({ headers: { 'docker-content-digest': ['a', 'b'], etag: undefined } });
    expect(
      found.headers.filter(([name]) => name === 'docker-content-digest').map(([, value]) => value),
    ).toEqual(['a', 'b']);
    expect(rawHeader(found, 'etag')).toBeUndefined();
    expect(found.body.toString()).toBe(TEXT);
  });

  it('drops the connection without an answer', async () => {
    expect(await wire({ drop: 'reset' })).toMatchObject({ ended: 'reset', statusLine: '' });
    expect(await wire({ drop: 'end' })).toMatchObject({ ended: 'closed-early', statusLine: '' });
  });

  it('never answers', async () => {
    expect(await wire({ hang: true })).toMatchObject({ ended: 'open', closed: false, statusLine: '' });
  });

  it('puts raw bytes on the socket', async () => {
    const found = await wire({ raw: 'SSH-2.0-x\r\n' });
    expect(found).toMatchObject({ ended: 'open', received: Buffer.from('SSH-2.0-x\r\n') });
    const dropped = await wire({ raw: 'HTTP/1.1 200 OK\r\n\r\nabc', drop: 'end' });
    expect(dropped).toMatchObject({ ended: 'complete', closed: true, body: Buffer.from('abc') });
  });

  it.each([0, 1, 9])('cuts the body after %i bytes', async (cutAfter) => {
    const found = await wire({ cutAfter });
    expect(found).toMatchObject({
      status: 200,
      ended: 'closed-early',
      body: Buffer.from(TEXT.slice(0, cutAfter)),
    });
    expect(rawHeader(found, 'content-length')).toBe('10');
  });

  it('cuts a body with a reset, a chunked body, and one that only the close ends', async () => {
    expect(await wire({ cutAfter: 4, cutWith: 'reset' })).toMatchObject({ ended: 'reset' });
    const chunked = await wire({ cutAfter: 4, framing: 'chunked' });
    expect(chunked).toMatchObject({ ended: 'closed-early', body: Buffer.from('0123') });
    const close = await wire({ cutAfter: 4, framing: 'close' });
    expect(close).toMatchObject({ ended: 'complete', closed: true, body: Buffer.from('0123') });
    expect(rawHeader(close, 'content-length')).toBeUndefined();
    expect(rawHeader(close, 'transfer-encoding')).toBeUndefined();
  });

  it('sends a body without a length', async () => {
    for (const framing of ['chunked', 'close'] as const) {
      expect(await wire({ framing })).toMatchObject({ ended: 'complete', body: Buffer.from(TEXT) });
    }
  });

  it('stalls the body until its gate opens', async () => {
    const { registry, url } = await start();
    const gate = new Gate();
    registry.faults.add({ action: { stallAfter: { bytes: 4, gate } } });
    const response = await openGet(url);
    await Promise.all([gate.arrived(), response.read(4)]);
    expect(response.length).toBe(4);
    gate.open();
    expect(await response.finished()).toMatchObject({ body: Buffer.from(TEXT), complete: true });
  });

  it('holds requests at a gate', async () => {
    const { registry, url } = await start();
    const gate = new Gate();
    registry.faults.add({ match: { method: 'GET' }, action: { gate } });
    const held = [get(url), get(url)];
    await gate.arrived(2);
    expect(gate.waiting).toBe(2);
    expect(registry.requests.map(({ status }) => status)).toEqual([undefined, undefined]);
    gate.open();
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('delays and throttles', async () => {
    const { registry } = await start();
    const digest = registry.addBlob('a', { size: 100_000, seed: 1 });
    registry.faults.add({ action: { delayMs: 50, bytesPerSecond: 1_000_000 } });
    const found = await get(`${registry.url}/v2/a/blobs/${digest}`);
    expect(found).toMatchObject({ digest, complete: true });
    // From one instant: a busy event loop, which is the registry's too, may see the first byte late and the last soon after it.
    expect(found.ttfbMs).toBeGreaterThan(45);
    expect(found.totalMs).toBeGreaterThan(45 + 75);
  });

  it('turns one bit, at a position of the content', async () => {
    expect((await wire({ flipBitAt: 3 })).body.toString()).toBe('0122456789');
    expect((await wire({ flipBitAt: 3 }, 'Range: bytes=2-4\r\n')).body.toString()).toBe('224');
    expect((await wire({ flipBitAt: 3 }, 'Range: bytes=4-\r\n')).body.toString()).toBe('456789');
  });

  it('sends a byte more or less than it says, or says what it sends', async () => {
    const less = await wire({ extraBytes: -1 });
    expect(less).toMatchObject({ ended: 'open', closed: false, body: Buffer.from('012345678') });
    const more = await wire({ extraBytes: 1 });
    expect(more).toMatchObject({ ended: 'complete', body: Buffer.from(TEXT), rest: Buffer.from('x') });
    const honest = await wire({ extraBytes: 1, declaredLength: 11 });
    expect(honest).toMatchObject({ ended: 'complete', body: Buffer.from(`${TEXT}x`), rest: Buffer.alloc(0) });
  });

  it('sends for ever, as fast as it is read', async () => {
    const { registry, url } = await start();
    registry.faults.add({ action: { endless: true } });
    const found = await get(url, { abortAfter: 20_000_000, digestOnly: true });
    expect(found.complete).toBe(false);
    expect(found.length).toBeGreaterThanOrEqual(20_000_000);
    expect(found.headers['transfer-encoding']).toBe('chunked');
  });

  it('ignores a range, serves another one, and lies about one', async () => {
    const range = 'Range: bytes=2-4\r\n';
    expect(await wire({ ignoreRange: true }, range)).toMatchObject({ status: 200, body: Buffer.from(TEXT) });
    const other = await wire({ serveRange: { start: 5, end: 7 } }, range);
    expect([other.status, rawHeader(other, 'content-range'), other.body.toString()]).toEqual([
      206,
      'bytes 5-6/10',
      '56',
    ]);
    const lie = await wire({ headers: { 'content-range': 'bytes 2-4/99', etag: '"other"' } }, range);
    expect([lie.status, rawHeader(lie, 'content-range'), lie.body.toString()]).toEqual([
      206,
      'bytes 2-4/99',
      '234',
    ]);
    expect(rawHeader(lie, 'etag')).toBe('"other"');
  });

  it('sends two responses to one request', async () => {
    const second = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil';
    const found = await wire({ trailing: second });
    expect(found).toMatchObject({ ended: 'complete', body: Buffer.from(TEXT), rest: Buffer.from(second) });
  });

  it('is noted with the bytes that were written and as not finished', async () => {
    const { registry, digest, url } = await start();
    registry.faults.add({ match: { times: 1 }, action: { cutAfter: 4 } });
    expect(await get(url)).toMatchObject({ complete: false, length: 4 });
    expect(registry.requests[0]).toMatchObject({ bodyBytes: 4, finished: false });
    await get(url);
    expect(registry.blobBodyBytes(digest)).toBe(14);
  });

  it('does not outlive a client that leaves', async () => {
    const { registry, digest } = await start();
    const big = registry.addBlob('a', { size: 200_000_000, seed: 2 });
    const response = await openGet(`${registry.url}/v2/a/blobs/${big}`, { abortAfter: 1_000_000 });
    expect((await response.finished()).complete).toBe(false);
    expect(registry.blobBodyBytes(big)).toBeLessThan(200_000_000);
    expect(registry.blobBodyBytes(digest)).toBe(0);
  });
});
