import type { LookupFunction } from 'node:net';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { UpstreamConfig } from '../../src/config.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import type { ProbeReport } from '../../src/upstream/probe-report.ts';
import { type ProbeOptions, probeUpstream } from '../../src/upstream/upstream-probe.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import {
  certificateAuthority,
  expiredCertificate,
  selfSignedCertificate,
  serverCertificate,
} from './certificates.ts';
import { credentials, latest, manifestText, never, repository } from './upstream-under-test.ts';

const image = { repository, reference: latest };
const canary = { repositories: undefined, ...credentials };

async function registry(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const fake = closeAfterTest(await FakeRegistry.start(options));
  fake.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  return fake;
}

async function probe(
  url: string,
  config: Partial<UpstreamConfig> = {},
  options: Partial<ProbeOptions> = { image },
): Promise<ProbeReport> {
  const report = await probeUpstream(
    {
      config: {
        name: 'test.example',
        url,
        default: false,
        prefixes: [],
        hosts: [],
        trustedHosts: [],
        tagTtlMs: 60_000,
        maxStaleMs: 60_000,
        ...config,
      },
      clock: systemClock,
      version: '0.0.0-test',
      limitMs: 10_000,
      ...options,
    },
    never(),
  );
  expect(JSON.stringify(report)).not.toContain('canary');
  return report;
}

const toLoopback: LookupFunction = (_name, _options, callback) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }]);
const toNothing: LookupFunction = (_name, _options, callback) =>
  callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), []);

const ok = (detail: unknown = expect.any(String)) => ({ outcome: 'ok', detail });
const failed = (detail: RegExp) => ({ outcome: 'failed', detail: expect.stringMatching(detail) });
const skipped = (detail: string) => ({ outcome: 'skipped', detail });

test('a registry that is well is asked for nothing but its base, a token and one HEAD', async () => {
  const fake = await registry({
    auth: { mode: 'bearer', credentials: [canary] },
    pullLimit: { limit: 200, remaining: 150 },
  });
  const report = await probe(fake.url, { auth: credentials });
  expect(report).toEqual({
    name: ok('127.0.0.1'),
    connection: ok('connected, without TLS'),
    api: ok(`401, bearer from ${fake.host}`),
    clock: ok(expect.stringMatching(/^[01] s apart$/)),
    token: ok('given'),
    manifest: ok(expect.stringMatching(/^sha256:[0-9a-f]{64}$/)),
    quota: ok('150 of 200 left (robot)'),
  });
  expect(fake.requests.filter(({ method, path }) => method === 'GET' && path.includes('manifests'))).toEqual(
    [],
  );
});

test('a registry without access control needs no token and tells no quota', async () => {
  const fake = await registry();
  expect(await probe(fake.url)).toMatchObject({
    api: ok('200, open'),
    token: skipped('not needed'),
    manifest: ok(),
    quota: skipped('none told'),
  });
});

test('over TLS it says who gave the certificate and until when it lasts', async () => {
  const fake = await registry({ tls: serverCertificate });
  const report = await probe(fake.url, { tls: { ca: certificateAuthority, insecure: false } });
  expect(report.connection).toEqual(ok('TLSv1.3, certificate by entrepot test ca, until 2120-01-01'));
  expect(report.manifest.outcome).toBe('ok');
});

test.each([
  [
    'from an unknown authority',
    serverCertificate,
    undefined,
    /until 2120-01-01: not accepted \(UNABLE_TO_VERIFY\w+\); see upstreams\.test\.example\.tls\.ca$/,
  ],
  ['of itself', selfSignedCertificate, undefined, /not accepted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
  [
    'that has expired',
    expiredCertificate,
    certificateAuthority,
    /until 2020-01-02: not accepted \(CERT_HAS_EXPIRED\); see upstreams\.test\.example\.tls$/,
  ],
])('a certificate %s is shown with what is wrong, and no request follows', async (_, tls, ca, detail) => {
  const fake = await registry({ tls });
  const report = await probe(fake.url, { tls: { ca, insecure: false }, auth: credentials });
  expect(report).toMatchObject({ name: ok(), connection: failed(detail), api: skipped('connection failed') });
  expect(fake.requests).toEqual([]);
});

test('a certificate for another name is not accepted', async () => {
  const fake = await registry({ tls: serverCertificate });
  const report = await probe(
    `https://other.test:${fake.port}`,
    { tls: { ca: certificateAuthority, insecure: false } },
    { image, lookup: toLoopback },
  );
  expect(report.connection).toEqual(failed(/not accepted \(ERR_TLS_CERT_ALTNAME_INVALID\)/));
});

test('a certificate that is not checked, or expires within two weeks, is warned of', async () => {
  const fake = await registry({ tls: selfSignedCertificate });
  expect((await probe(fake.url, { tls: { insecure: true } })).connection).toEqual({
    outcome: 'warning',
    detail: expect.stringContaining('not checked (tls.insecure)'),
  });
  const other = await registry({ tls: serverCertificate });
  const clock = { ...systemClock, now: () => Date.parse('2119-12-25') };
  const report = await probe(
    other.url,
    { tls: { ca: certificateAuthority, insecure: false } },
    { image, clock },
  );
  expect(report.connection).toEqual({ outcome: 'warning', detail: expect.stringContaining('expires soon') });
});

test('a name that has no address is the end of it', async () => {
  const report = await probe('https://registry.invalid', {}, { image, lookup: toNothing });
  expect(report.name).toEqual(failed(/^registry\.invalid has no address \(ENOTFOUND\)$/));
  expect(
    new Set(
      Object.values(report)
        .slice(1)
        .map(({ detail }) => detail),
    ),
  ).toEqual(new Set(['name failed']));
});

test('a name with many addresses shows some', async () => {
  const fake = await registry();
  const addresses = Array.from({ length: 6 }, () => ({ address: '127.0.0.1', family: 4 }));
  const lookup: LookupFunction = (_name, _options, callback) => callback(null, addresses);
  const report = await probe(`http://registry.test:${fake.port}`, {}, { image, lookup });
  expect(report).toMatchObject({ name: ok(expect.stringMatching(/and 2 more$/)), manifest: ok() });
});

test('a port where nobody listens', async () => {
  const fake = await registry();
  await fake.stop();
  expect((await probe(fake.url)).connection).toEqual(
    failed(/^no connection to 127\.0\.0\.1:\d+ \(ECONNREFUSED\)$/),
  );
});

test('a host that does not speak TLS', async () => {
  const fake = await registry();
  expect((await probe(fake.url.replace('http:', 'https:'))).connection).toEqual(failed(/^no TLS connection/));
});

test.each([404, 429, 503])('%d to /v2/ is no registry, or none now', async (status) => {
  const fake = await registry();
  fake.faults.add({ match: { path: /^\/v2\/$/ }, action: { respond: { status } } });
  expect((await probe(fake.url)).api).toEqual(failed(new RegExp(`answered ${status} to /v2/`)));
});

test('credentials that the token service refuses', async () => {
  const fake = await registry({ auth: { mode: 'bearer', credentials: [canary] } });
  const report = await probe(fake.url, { auth: { username: 'robot', password: 'canary-wrong' } });
  expect(report).toMatchObject({ token: failed(/refused with 401/), manifest: failed(/./) });
});

test('Basic credentials that the registry refuses', async () => {
  const fake = await registry({ auth: { mode: 'basic', credentials: [canary] } });
  const report = await probe(fake.url, { auth: { username: 'robot', password: 'canary-wrong' } });
  expect(report).toMatchObject({ api: ok('401, basic'), manifest: failed(/401/) });
  expect((await probe(fake.url, { auth: credentials })).manifest.outcome).toBe('ok');
});

test('a token realm elsewhere is not asked, and named', async () => {
  const fake = await registry({
    auth: { mode: 'bearer', credentials: [canary], realm: 'https://elsewhere.example/token?canary=1' },
  });
  const report = await probe(fake.url, { auth: credentials });
  expect(report.token).toEqual(failed(/^not asked at elsewhere\.example: name it in trustedHosts$/));
});

test('a used-up quota is told, with the 429', async () => {
  const fake = await registry();
  const headers = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '0;w=21600' };
  fake.faults.add({ match: { path: /manifests/ }, action: { respond: { status: 429, headers } } });
  expect(await probe(fake.url)).toMatchObject({
    manifest: failed(/429/),
    quota: { outcome: 'warning', detail: '0 of 100 left (anonymous)' },
  });
});

test.each([
  [3600, 'failed', /^ours is 3(?:599|600|601) s behind$/],
  [-3600, 'failed', /^ours is 3(?:599|600|601) s ahead$/],
  [120, 'warning', /^ours is 1(?:19|20|21) s behind$/],
])('a clock that is %d s off is %s, and the rest is looked at', async (seconds, outcome, detail) => {
  const fake = await registry();
  const date = new Date(Date.now() + seconds * 1000).toUTCString();
  fake.faults.add({ match: { path: /^\/v2\/$/ }, action: { headers: { date } } });
  const report = await probe(fake.url);
  expect(report.clock).toEqual({ outcome, detail: expect.stringMatching(detail) });
  expect(report.manifest.outcome).toBe('ok');
});

test.each([/^\/v2\/$/, /manifests/])('an upstream that does not answer %s in time', async (path) => {
  const fake = await registry();
  fake.faults.add({ match: { path }, action: { hang: true } });
  const report = await probe(fake.url, {}, { image, limitMs: 1000 });
  expect(report[path.test('manifests') ? 'manifest' : 'api']).toEqual(
    failed(/no answer in 1000 ms|no answer in 1 s|in time/),
  );
});

test('a slow one is waited for', async () => {
  const fake = await registry();
  fake.faults.add({ action: { delayMs: 200 } });
  expect((await probe(fake.url)).manifest.outcome).toBe('ok');
});

test('an image that is missing, where one was named', async () => {
  const fake = await registry();
  fake.untag(repository, 'latest');
  expect((await probe(fake.url)).manifest).toEqual(failed(/404/));
});

test('without an image, what does not exist is asked for, and not finding it is well', async () => {
  const fake = await registry({ auth: { mode: 'bearer', credentials: [canary] } });
  expect(await probe(fake.url, { auth: credentials }, {})).toMatchObject({
    token: ok('given'),
    manifest: ok(expect.stringContaining('not found, as it should be')),
  });
});

test('through a proxy, name and connection are its business, and it tells of what follows', async () => {
  const fake = await registry();
  const proxy = closeAfterTest(await FakeProxy.start());
  const http = {
    protocol: 'http:',
    host: '127.0.0.1',
    port: proxy.port,
    username: 'u',
    password: 'canary',
    keyPath: 'proxy',
  } as const;
  const config = { proxy: { http, noProxy: [], sparesLoopback: false } };
  const report = await probe(`http://registry.nowhere:${fake.port}`, config);
  expect(report).toMatchObject({
    name: skipped(`by the proxy ${proxy.host}`),
    connection: skipped(`by the proxy ${proxy.host}`),
    api: ok('200, open'),
    manifest: ok(),
  });
  await proxy.close();
  expect((await probe(`http://registry.nowhere:${fake.port}`, config)).api).toEqual(
    failed(/the proxy 127\.0\.0\.1:\d+ \(proxy, for upstreams\.test\.example\)/),
  );
});

test('a signal that aborts ends it', async () => {
  const fake = await registry();
  fake.faults.add({ action: { hang: true } });
  const controller = new AbortController();
  const probing = probeUpstream(
    {
      config: {
        name: 'test.example',
        url: fake.url,
        default: false,
        prefixes: [],
        hosts: [],
        trustedHosts: [],
        tagTtlMs: 0,
        maxStaleMs: 0,
      },
      clock: systemClock,
      version: '0',
      limitMs: 10_000,
    },
    controller.signal,
  );
  await fake.received();
  controller.abort(new Error('enough'));
  await expect(probing).rejects.toThrow('enough');
});
