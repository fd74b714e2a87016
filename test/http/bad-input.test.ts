import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { type RawOptions, type RawResult, sendRaw } from '../support/raw-http.ts';
import { rawHeader } from '../support/raw-response.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const BLOB = Buffer.alloc(200_000, 'entrepot');
/** Gives the server time to close the connection; over at once when it does. */
const CLOSING: RawOptions = { settleMs: 5000 };
const HEX = 'a'.repeat(64);
const UNKNOWN = `sha256:${HEX}`;

interface Setup {
  readonly app: RunningApp;
  readonly registry: FakeRegistry;
  readonly digest: Digest;
  readonly send: (bytes: string, options?: RawOptions) => Promise<RawResult>;
}

/** An app over a registry with one image and one blob, neither pulled yet. */
async function start(): Promise<Setup> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const digest = registry.addBlob('library/app', BLOB);
  registry.addManifest('library/app', '{}', 'application/vnd.oci.image.manifest.v1+json', ['v1']);
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const port = Number(new URL(app.url).port);
  return {
    app,
    registry,
    digest,
    send: (bytes, options) => sendRaw({ port }, bytes, { timeoutMs: 60_000, settleMs: 0, ...options }),
  };
}

/** A request of these lines, each with its line end. */
function requestOf(...lines: readonly string[]): string {
  return [...lines, '', ''].join('\r\n');
}

function getOf(target: string, ...headers: readonly string[]): string {
  return requestOf(`GET ${target} HTTP/1.1`, 'Host: cache', ...headers);
}

function blob(digest: string): string {
  return `/v2/app/blobs/${digest}`;
}

function tags(query: string): string {
  return `/v2/app/tags/list?${query}`;
}

/** The code of an OCI error body; checks that it is one. */
function ociCode({ headers, body }: Pick<RawResult, 'headers' | 'body'>): string {
  expect(rawHeader({ headers }, 'content-type')).toBe('application/json');
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
  expect(errors).toHaveLength(1);
  expect(errors[0]?.message).not.toBe('');
  return errors[0]?.code ?? '';
}

/** The upstream heard nothing, nothing went wrong inside, and a pull still works. */
async function expectUnharmed({ app, registry }: Setup): Promise<void> {
  expect(registry.requests.map(({ target }) => target)).toEqual([]);
  expect(app.logLines.filter(({ level }) => level === 'error')).toEqual([]);
  expect((await get(`${app.url}/v2/app/manifests/v1`)).status).toBe(200);
}

describe('a request that two readers could read differently', () => {
  it('with two Host headers is refused, and its connection closed', async () => {
    const setup = await start();
    for (const second of [
      'Host: evil.example',
      'host: cache',
      'HOST:',
      `${'X: 1\r\n'.repeat(3000)}Host: evil.example`,
    ]) {
      const answer = await setup.send(getOf('/v2/app/manifests/v1', second), CLOSING);
      expect([answer.status, ociCode(answer), answer.closed]).toEqual([400, 'UNKNOWN', true]);
      expect(answer.received.toString()).not.toContain('evil.example');
    }
    await expectUnharmed(setup);
  });

  it('with a target in absolute form is refused and its host named nowhere', async () => {
    const setup = await start();
    for (const target of [
      'http://evil.example/v2/',
      'https://evil.example/v2/app/manifests/v1',
      'evil/v2/',
      '*',
    ]) {
      const answer = await setup.send(getOf(target), CLOSING);
      expect([answer.status, answer.closed], target).toEqual([400, true]);
      expect(answer.received.toString()).not.toContain('evil.example');
    }
    await expectUnharmed(setup);
  });

  it.each<[string, readonly string[], string]>([
    ['both a length and a coding', ['Content-Length: 5', 'Transfer-Encoding: chunked'], '0\r\n\r\n'],
    ['two lengths', ['Content-Length: 0', 'Content-Length: 5'], 'hello'],
    ['a length that is no number', ['Content-Length: +5'], 'hello'],
    ['chunked not as the last coding', ['Transfer-Encoding: chunked, identity'], '0\r\n\r\n'],
    ['a space before the colon', ['Content-Length : 5'], 'hello'],
    ['a header that goes on in the next line', ['Transfer-Encoding:', ' chunked'], '0\r\n\r\n'],
    ['a bare CR in a header', ['X: a\rContent-Length: 5'], 'hello'],
    ['a NUL in a header', ['X: a\0b'], ''],
    ['a header without a name', [': x'], ''],
  ])('with %s is 400, once, and its connection closed', async (_, headers, body) => {
    const setup = await start();
    const answer = await setup.send(getOf('/v2/', ...headers) + body + getOf('/v2/'), CLOSING);
    expect([answer.status, answer.closed, answer.rest.length]).toEqual([400, true, 0]);
    await expectUnharmed(setup);
  });

  it('with an unknown coding has its connection closed, and is served no more than a refusal', async () => {
    const setup = await start();
    const answer = await setup.send(
      `${getOf('/v2/app/manifests/v1', 'Transfer-Encoding: xchunked')}0\r\n\r\n${getOf('/v2/')}`,
      CLOSING,
    );
    expect([answer.status ?? 400, answer.closed, answer.rest.length]).toEqual([400, true, 0]);
    await expectUnharmed(setup);
  });

  it('with a line break or another version in its first line is 400', async () => {
    const setup = await start();
    const lines = [
      'GET /v2/app\r\nX: /manifests/v1 HTTP/1.1',
      'GET /v2/app\rX /manifests/v1 HTTP/1.1',
      'GET /v2/ app HTTP/1.1',
      'GET /v2/\0 HTTP/1.1',
      'GET /v2/\u00e4pp/manifests/v1 HTTP/1.1',
      'GET /v2/ HTTP/3.7',
      'GET /v2/',
      'GET',
      'FROB /v2/ HTTP/1.1',
      'get /v2/ HTTP/1.1',
    ];
    for (const line of lines) {
      const answer = await setup.send(requestOf(line, 'Host: cache'), CLOSING);
      expect([answer.status, answer.closed, answer.rest.length], line).toEqual([400, true, 0]);
    }
    await expectUnharmed(setup);
  });

  it('in HTTP/2 is 400: the listener speaks HTTP/1.1 only', async () => {
    const setup = await start();
    const answer = await setup.send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0', CLOSING);
    expect([answer.status, answer.closed]).toEqual([400, true]);
    const upgrade = [
      'Connection: Upgrade, HTTP2-Settings',
      'Upgrade: h2c',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
    ];
    const stays = await setup.send(getOf('/v2/', ...upgrade));
    expect(stays.statusLine).toBe('HTTP/1.1 200 OK');
    await expectUnharmed(setup);
  });
});

describe('a path', () => {
  it('with an encoded, dotted, empty or foreign part is refused as a bad name', async () => {
    const setup = await start();
    const targets = [
      '/v2/%2e%2e/%2E%2e/etc/passwd',
      '/v2/app/../app/manifests/v1',
      '/v2/./app/manifests/v1',
      '/v2/app/manifests/..',
      '/v2/app%2Fother/manifests/v1',
      '/v2/app/manifests/v%31',
      '/v2/app\\..\\..\\etc/manifests/v1',
      '/v2//app/manifests/v1',
      '//v2/app/manifests/v1',
      '/v2/app//manifests/v1',
      '/v2/app/manifests/v1%0d%0aX:y',
      '/v2/app/manifests/v1#x',
      '/v2/app;a=b/manifests/v1',
      "/v2/app'--/manifests/v1",
    ];
    for (const target of targets) {
      const answer = await setup.send(getOf(target));
      expect([answer.status, ociCode(answer)], target).toEqual([400, 'NAME_INVALID']);
    }
    await expectUnharmed(setup);
  });

  it('that is no endpoint of the pull side is 404 UNSUPPORTED', async () => {
    const setup = await start();
    const targets = [
      '/',
      '/v1/',
      '/v2/_catalog',
      '/v2/app',
      '/v2/app/blobs/uploads/',
      '/v2/app/manifests/v1/',
      '/v2/app/tags/list/',
      '/v2/app/tags',
      '/metrics',
      '/healthz',
      '/favicon.ico',
      '/__proto__',
      '/v2/constructor',
    ];
    for (const target of targets) {
      const answer = await setup.send(getOf(target));
      expect(answer.status, target).toBeGreaterThanOrEqual(400);
      expect(answer.status, target).toBeLessThan(405);
      expect(ociCode(answer), target).toMatch(/^(?:UNSUPPORTED|DIGEST_INVALID|TAG_INVALID)$/);
    }
    await expectUnharmed(setup);
  });
});

describe('a malformed', () => {
  it.each<[string, string, readonly string[]]>([
    [
      'name',
      'NAME_INVALID',
      ['App', 'a__-b', '-a', 'a.', '_a', 'a/_b', 'a:5000/b', `${'a/'.repeat(130)}a`].map(
        (name) => `/v2/${name}/manifests/v1`,
      ),
    ],
    ['tag', 'TAG_INVALID', ['.v1', '-v1', 'v1+x', 'v'.repeat(129)].map((tag) => `/v2/app/manifests/${tag}`)],
    [
      'digest',
      'DIGEST_INVALID',
      [
        'sha256',
        'sha256:',
        `SHA256:${HEX}`,
        `sha256:${HEX.toUpperCase()}`,
        `sha256:${HEX}a`,
        `sha256:${HEX.slice(1)}`,
        `sha512:${HEX}`,
        `md5:${HEX.slice(32)}`,
        `blake3:${HEX}`,
        `sha256+b64u:${HEX}`,
        `sha256-${HEX}`,
      ].map(blob),
    ],
    ['digest of a subject', 'DIGEST_INVALID', ['/v2/app/referrers/v1', `/v2/app/referrers/blake3:${HEX}`]],
    [
      'digest of a manifest',
      'DIGEST_INVALID',
      ['/v2/app/manifests/sha256:1', `/v2/app/manifests/blake3:${HEX}`],
    ],
    [
      'n',
      'PAGINATION_NUMBER_INVALID',
      ['-1', '1.5', '1e309', 'NaN', '', '0x10', '%201', '%2B1', '9999999999', '1&n=2'].map((n) =>
        tags(`n=${n}`),
      ),
    ],
    ['last', 'PAGINATION_NUMBER_INVALID', [tags('last=a&last=b'), tags(`last=${'a'.repeat(257)}`)]],
    [
      'ns',
      'NAME_INVALID',
      [
        '',
        'http://evil.example',
        'user@evil.example',
        'evil.example/v2',
        'evil.example%0d%0aX:%20y',
        'evil.example:port',
        '[::1]',
        '..',
        'docker.io&ns=docker.io',
      ].map((ns) => `/v2/app/manifests/v1?ns=${ns}`),
    ],
  ])('%s is 400 %s', async (_, code, targets) => {
    const setup = await start();
    for (const target of targets) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await setup.send(getOf(target).replace('GET', method));
        expect(answer.status, target).toBe(400);
        if (method === 'GET') expect(ociCode(answer), target).toBe(code);
        else expect([answer.body.length, answer.rest.length]).toEqual([0, 0]);
      }
    }
    await expectUnharmed(setup);
  });

  it('range is 416 RANGE_INVALID with the size, and more ranges than the limit are 400', async () => {
    const setup = await start();
    const { app, digest, registry } = setup;
    await get(`${app.url}${blob(digest)}`);
    registry.forget();
    for (const range of [
      'bytes=',
      'bytes=5-1',
      'bytes=a-b',
      'bytes=-',
      'bytes=-0',
      'bytes=0-1,x',
      'bytes=200000-',
    ]) {
      const answer = await setup.send(getOf(blob(digest), `Range: ${range}`));
      expect([answer.status, ociCode(answer)], range).toEqual([416, 'RANGE_INVALID']);
      expect(rawHeader(answer, 'content-range')).toBe('bytes */200000');
    }
    const many = await setup.send(getOf(blob(digest), `Range: bytes=${'0-1,'.repeat(5000)}0-1`));
    expect([many.status, ociCode(many)]).toEqual([400, 'RANGE_INVALID']);
    await expectUnharmed(setup);
  });
});

describe('a write', () => {
  const targets = [
    '/',
    '/v2/',
    '/v2/app/manifests/v1',
    `/v2/app/manifests/${UNKNOWN}`,
    `/v2/app/blobs/${UNKNOWN}`,
    '/v2/app/blobs/uploads/',
    `/v2/app/blobs/uploads/?mount=${UNKNOWN}&from=other`,
    '/v2/app/blobs/uploads/1-2-3',
    '/v2/app/tags/list',
    '/v2/app/tags/v1',
    `/v2/app/referrers/${UNKNOWN}`,
    '/docker.io/v2/app/manifests/v1',
    '/nowhere',
  ];
  it.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'PURGE'])(
    'by %s is 405 with Allow on every route',
    async (method) => {
      const setup = await start();
      for (const target of targets) {
        const answer = await setup.send(
          requestOf(`${method} ${target} HTTP/1.1`, 'Host: cache', 'Content-Length: 0'),
          CLOSING,
        );
        expect([answer.status, ociCode(answer), answer.closed], target).toEqual([405, 'UNSUPPORTED', true]);
        expect(rawHeader(answer, 'allow')).toBe('GET, HEAD');
      }
      await expectUnharmed(setup);
    },
  );

  it('by CONNECT gets no tunnel', async () => {
    const setup = await start();
    const answer = await setup.send(
      requestOf('CONNECT evil.example:443 HTTP/1.1', 'Host: evil.example'),
      CLOSING,
    );
    expect(answer.closed).toBe(true);
    expect(answer.status ?? 400).toBeGreaterThanOrEqual(400);
    await expectUnharmed(setup);
  });

  it('that waits to be told to go on is told 405', async () => {
    const setup = await start();
    const lines = ['Host: cache', 'Expect: 100-continue', 'Content-Length: 1000000'];
    const answer = await setup.send(requestOf('PUT /v2/app/manifests/v1 HTTP/1.1', ...lines), CLOSING);
    expect([answer.status, answer.closed]).toEqual([405, true]);
    await expectUnharmed(setup);
  });

  it('whose body never ends is answered, and closed after two reads of 64 KiB at most', async () => {
    const setup = await start();
    const served = servedSockets();
    const socket = connect(Number(new URL(setup.app.url).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      requestOf('POST /v2/app/blobs/uploads/ HTTP/1.1', 'Host: cache', 'Transfer-Encoding: chunked'),
    );
    const chunk = `10000\r\n${'x'.repeat(0x1_00_00)}\r\n`;
    const pump = (): void => {
      while (socket.writable && socket.write(chunk));
    };
    socket.on('drain', pump);
    pump();
    await new Promise((resolve) => socket.once('close', resolve));
    expect(served).toHaveLength(1);
    expect(served[0]?.bytesRead).toBeLessThanOrEqual(2 * 64 * 1024);
    await expectUnharmed(setup);
  });
});

/** The server's side of each connection that brings a request from now on; of this process, so of the app under test. */
function servedSockets(): readonly Socket[] {
  const sockets: Socket[] = [];
  const note = (message: unknown): void => {
    sockets.push((message as { readonly request: IncomingMessage }).request.socket);
  };
  subscribe('http.server.request.start', note);
  onTestFinished(() => void unsubscribe('http.server.request.start', note));
  return sockets;
}

describe('a GET', () => {
  it.each<[string, readonly string[], string]>([
    ['a body', ['Content-Length: 5'], 'hello'],
    ['a chunked body', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'],
    ['a body that never comes', ['Content-Length: 10000000000'], ''],
    ['an endless body', ['Transfer-Encoding: chunked'], '5\r\nhello\r\n'],
    ['a request as its body', ['Content-Length: 44'], getOf('/v2/')],
    [
      'a body that a header behind 3000 others announces',
      [...Array.from({ length: 3000 }, () => 'X: 1'), 'Content-Length: 10000000000'],
      'hello',
    ],
  ])('with %s is refused and its connection closed', async (_, headers, body) => {
    const setup = await start();
    const answer = await setup.send(getOf('/v2/app/manifests/v1', ...headers) + body, CLOSING);
    expect([answer.status, ociCode(answer)]).toEqual([400, 'UNKNOWN']);
    expect([answer.closed, answer.rest.length]).toEqual([true, 0]);
    await expectUnharmed(setup);
  });

  it('with a body of no bytes is served', async () => {
    const setup = await start();
    expect((await setup.send(getOf('/v2/', 'Content-Length: 0'))).status).toBe(200);
  });

  it('with headers named like parts of JavaScript’s objects is served', async () => {
    const setup = await start();
    const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'prototype'];
    const answer = await setup.send(
      getOf('/v2/?__proto__=x&constructor=y', ...names.map((name) => `${name}: x`)),
    );
    expect(answer.status).toBe(200);
    await expectUnharmed(setup);
  });

  it('believes no header of a proxy that nobody configured', async () => {
    const { app, send } = await start();
    const headers = [
      'X-Forwarded-Host: evil.example',
      'X-Forwarded-Proto: gopher',
      'Forwarded: host=evil.example',
    ];
    const answer = await send(getOf('/v2/app/tags/list?n=0', ...headers, 'X-Forwarded-For: 192.0.2.7'));
    expect(answer.status).toBe(200);
    expect(answer.received.toString()).not.toMatch(/evil|gopher/);
    expect(JSON.stringify(app.logLines)).not.toContain('192.0.2.7');
  });

  it('with 1400 ranges in 20 KB of header is served', async () => {
    const { app, digest, send } = await start();
    await vi.waitFor(async () => {
      expect((await get(`${app.url}${blob(digest)}`)).headers['x-cache']).toBe('HIT');
    }, SOON);
    const pairs = Array.from({ length: 1400 }, (_, at) => `${100_000 + at * 3}-${100_000 + at * 3}`);
    const range = `bytes=${pairs.join(',')}`;
    expect(range.length).toBeGreaterThan(19_000);
    const answer = await send(getOf(`/v2/app/blobs/${digest}`, `Range: ${range}`));
    expect([answer.status, answer.ended]).toEqual([206, 'complete']);
    expect(rawHeader(answer, 'content-type')).toMatch(/^multipart\/byteranges; boundary=/);
    expect(answer.body.toString('latin1').match(/^Content-Range: bytes/gm)).toHaveLength(1400);
  });

  it('with 70 KB of headers is 431 and its connection closed', async () => {
    const setup = await start();
    for (const headers of [
      [`X: ${'x'.repeat(70_000)}`],
      Array.from({ length: 7000 }, (_, at) => `X-${at}: 1234567`),
    ]) {
      const answer = await setup.send(getOf('/v2/', ...headers), CLOSING);
      expect([answer.status, answer.closed]).toEqual([431, true]);
    }
    await expectUnharmed(setup);
  });
});

describe('a connection', () => {
  it('is closed behind a body that turned out wrong, whatever else was asked on it', async () => {
    const { app, digest, registry, send } = await start();
    registry.faults.add({ match: { path: /\/blobs\// }, action: { flipBitAt: 100_000 } });
    const target = `/v2/app/blobs/${digest}`;
    const answer = await send(getOf(target) + getOf('/v2/'), CLOSING);
    expect(answer.closed).toBe(true);
    expect(answer.ended).not.toBe('complete');
    if (answer.status === 200) expect(answer.body.length).toBeLessThan(BLOB.length);
    registry.faults.clear();
    const again = await get(`${app.url}${target}`);
    expect([again.status, again.headers['x-cache'], again.body.equals(BLOB)]).toEqual([200, 'MISS', true]);
  });
});
