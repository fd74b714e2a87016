import type { LookupFunction } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import type { ProxyConfig, ProxyServer, UpstreamConfig } from '../../src/config.ts';
import { GENERIC } from '../../src/config-profiles.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeHost } from '../support/fake-host.ts';
import {
  FakeProxy,
  type FakeProxyOptions,
  FakeSocksProxy,
  type FakeSocksOptions,
} from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { SOON } from '../support/soon.ts';
import { certificateAuthority as ca, selfSignedCertificate, serverCertificate } from './certificates.ts';
import {
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const PROXY_LOGIN = { username: 'proxy-user', password: 'canary-proxy-p4ss' };
/** Where the configuration would name it. */
const KEY = 'upstreams.test.example.proxy';
const ENCODED = Buffer.from(`${PROXY_LOGIN.username}:${PROXY_LOGIN.password}`).toString('base64');

/** Names exist at the proxy only. */
const nowhere: LookupFunction = (hostname, _options, callback) => {
  callback(Object.assign(new Error(`no ${hostname} here`), { code: 'ENOTFOUND' }), []);
};

function resolvingTo(address: string): LookupFunction {
  return (_hostname, _options, callback) => callback(null, [{ address, family: 4 }]);
}

function by(server: Partial<ProxyServer> & Pick<ProxyServer, 'port'>, noProxy: string[] = []): ProxyConfig {
  const full: ProxyServer = { protocol: 'http:', host: '127.0.0.1', keyPath: KEY, ...server };
  return { http: full, https: full, noProxy, sparesLoopback: false };
}

async function registryWith(tls = true): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start(tls ? { tls: serverCertificate } : {}));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  return registry;
}

async function proxyWith(options: FakeProxyOptions = {}): Promise<FakeProxy> {
  return closeAfterTest(await FakeProxy.start(options));
}

async function socksWith(options: FakeSocksOptions = {}): Promise<FakeSocksProxy> {
  return closeAfterTest(await FakeSocksProxy.start(options));
}

/** The registry by a name that only the proxy knows. */
function asked(registry: FakeRegistry, config: Partial<UpstreamConfig>, observer = new RecordingObserver()) {
  const scheme = registry.url.startsWith('https') ? 'https' : 'http';
  const tls = scheme === 'https' ? { tls: { ca, insecure: false } } : {};
  const upstream = upstreamAt(
    `${scheme}://registry.test:${registry.port}`,
    { ...tls, ...config },
    { lookup: nowhere, observer },
  );
  return upstream.getManifest(repository, latest, once, never());
}

describe('through an HTTP proxy', () => {
  it('https goes in a tunnel, checked against the host’s own certificate', async () => {
    const registry = await registryWith();
    const proxy = await proxyWith({ credentials: PROXY_LOGIN });
    await asked(registry, { proxy: by({ port: proxy.port, ...PROXY_LOGIN }), auth: credentials });
    expect(proxy.requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
      `CONNECT registry.test:${registry.port}`,
    ]);
    expect(registry.requests[0]?.headers['proxy-authorization']).toBeUndefined();
    expect(proxy.requests[0]?.headers.authorization).toBeUndefined();
  });

  it('plain http is asked for by its whole URL', async () => {
    const registry = await registryWith(false);
    const proxy = await proxyWith({ credentials: PROXY_LOGIN });
    await asked(registry, { proxy: by({ port: proxy.port, ...PROXY_LOGIN }) });
    expect(proxy.requests[0]).toMatchObject({
      method: 'GET',
      target: `http://registry.test:${registry.port}/v2/team/app/manifests/latest`,
    });
    expect(proxy.requests[0]?.headers.host).toBe(`registry.test:${registry.port}`);
  });

  it('that speaks TLS itself, checked with its own authority', async () => {
    const registry = await registryWith();
    const proxy = await proxyWith({ tls: serverCertificate });
    await asked(registry, { proxy: by({ port: proxy.port, protocol: 'https:', ca }) });
    expect(proxy.requests).toHaveLength(1);
    const unknown = await failure(asked(registry, { proxy: by({ port: proxy.port, protocol: 'https:' }) }));
    expect(unknown.message).toBe(
      `registry.test: the certificate of the proxy ${proxy.host} (${KEY}) is not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE)`,
    );
  });

  it('the host’s certificate is refused as without a proxy', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ tls: selfSignedCertificate }));
    const proxy = await proxyWith();
    const error = await failure(asked(registry, { proxy: by({ port: proxy.port }) }));
    expect(error.message).toMatch(/^the certificate of registry\.test:\d+ is not accepted/);
    expect(registry.requests).toHaveLength(0);
  });

  it('redirect targets and token realms go through it as well, but for those that need none', async () => {
    const storage = closeAfterTest(
      await FakeRegistry.start({ tls: serverCertificate, hostname: '127.0.0.2' }),
    );
    storage.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const registry = await registryWith();
    registry.configure({
      redirect: ({ path }) => `${storage.url}${path}`,
      auth: {
        mode: 'bearer',
        credentials: [credentials],
        realm: `https://registry.test:${registry.port}/token`,
      },
    });
    const proxy = await proxyWith();
    const config = {
      proxy: by({ port: proxy.port }, ['127.0.0.2']),
      auth: credentials,
      trustedHosts: ['127.0.0.2'],
    };
    await asked(registry, config);
    expect(new Set(proxy.requests.map(({ target }) => target))).toEqual(
      new Set([`registry.test:${registry.port}`]),
    );
    expect(storage.requests).toHaveLength(1);
  });

  it('mirrors are reached as their upstream is', async () => {
    const origin = await registryWith();
    const mirror = await registryWith();
    const proxy = await proxyWith();
    const url = `https://registry.test:${mirror.port}`;
    const mirrors = [{ url, trustedHosts: [], profile: GENERIC, tls: { ca, insecure: false } }];
    await asked(origin, { proxy: by({ port: proxy.port }), mirrors });
    expect(proxy.requests.map(({ target }) => target)).toContain(`registry.test:${mirror.port}`);
    expect(mirror.requests.length).toBeGreaterThan(0);
  });

  it.each([
    [407, 'wants a user name and password (407)', true],
    [403, 'does not let us connect (403)', true],
    [502, 'could not connect (502)', false],
  ])('that answers %i it says so', async (refuse, message, isFinal) => {
    const proxy = await proxyWith({ refuse });
    const error = await failure(asked(await registryWith(), { proxy: by({ port: proxy.port }) }));
    expect(error).toMatchObject({
      reason: 'unavailable',
      isFinal,
      message: `registry.test: the proxy ${proxy.host} (${KEY}) ${message}`,
    });
  });

  it('that wants other credentials it says so, of https and of http, and no secret with it', async () => {
    const proxy = await proxyWith({ credentials: { username: 'other', password: 'other' } });
    for (const tls of [true, false]) {
      const observer = new RecordingObserver();
      const config = { proxy: by({ port: proxy.port, ...PROXY_LOGIN }) };
      const error = await failure(asked(await registryWith(tls), config, observer));
      expect(error.message).toBe(
        `registry.test: the proxy ${proxy.host} (${KEY}) refuses our credentials (407)`,
      );
      const told = inspect([error, observer.events], { depth: 20, showHidden: true });
      expect(told).not.toContain('canary');
      expect(told).not.toContain(ENCODED);
    }
  });

  it.each([
    ['squid', 403, { server: 'squid/5.7', 'x-squid-error': 'ERR_ACCESS_DENIED 0', via: '1.1 p (squid/5.7)' }],
    ['squid, its name hidden', 404, { 'x-squid-error': 'ERR_CUSTOM 0' }],
    ['squid that reaches nobody', 503, { 'x-squid-error': 'ERR_CONNECT_FAIL 111' }],
    ['tinyproxy', 403, { server: 'tinyproxy/1.11.1', 'content-type': 'text/html' }],
    ['a proxy of RFC 9209', 404, { 'proxy-status': 'gate; error=http_request_denied' }],
    ['a proxy that wants a login', 401, { 'proxy-authenticate': 'Basic realm="gate"' }],
  ])('what %s itself says of plain http (%i) is not the registry’s word', async (_who, status, headers) => {
    const proxy = await proxyWith({ answer: { status, headers } });
    const config = { proxy: by({ port: proxy.port }), auth: credentials };
    const error = await failure(asked(await registryWith(false), config));
    const what = status < 500 ? 'does not let us connect' : 'could not connect';
    expect(error).toMatchObject({
      reason: 'unavailable',
      message: `registry.test: the proxy ${proxy.host} (${KEY}) ${what} (${status})`,
    });
  });

  it.each([
    ['squid passes on', { via: '1.1 p (squid/5.7)', 'x-cache': 'MISS from p', server: 'nginx' }],
    ['a reporting proxy passes on', { 'proxy-status': 'gate; received-status=404' }],
    ['a proxy says that tells nothing of itself', { 'content-type': 'text/html' }],
  ])('what %s is taken for the registry’s word', async (_what, headers) => {
    const proxy = await proxyWith({ answer: { status: 404, headers } });
    const error = await failure(asked(await registryWith(false), { proxy: by({ port: proxy.port }) }));
    expect(error.reason).toBe('not-found');
  });

  it('that is not there it says so, and is tried again', async () => {
    const proxy = await FakeProxy.start();
    const { host, port } = proxy;
    await proxy.close();
    for (const tls of [true, false]) {
      const error = await failure(asked(await registryWith(tls), { proxy: by({ port }) }));
      expect(error).toMatchObject({
        reason: 'unavailable',
        isFinal: false,
        message: `registry.test: the connection to the proxy ${host} (${KEY}) failed (ECONNREFUSED)`,
      });
    }
  });

  it.each(['proxy', 'HTTPS_PROXY'])(
    'that is everybody’s (by %s) it says for which upstream, and for which mirror',
    async (keyPath) => {
      const proxy = await proxyWith({ refuse: 403 });
      const registry = await registryWith();
      const config = { proxy: by({ port: proxy.port, keyPath }) };
      const error = await failure(asked(registry, config));
      expect(error.message).toBe(
        `registry.test: the proxy ${proxy.host} (${keyPath}, for upstreams.test.example) does not let us connect (403)`,
      );
      const observer = new RecordingObserver();
      const url = `https://mirror.test:${registry.port}`;
      const mirrors = [{ url, trustedHosts: [], profile: GENERIC }];
      const gone = await FakeProxy.start();
      const { host, port } = gone;
      await gone.close();
      const upstream = upstreamAt(url, { proxy: by({ port, keyPath }), mirrors }, { observer });
      for (let tries = 0; tries < 3; tries += 1)
        await failure(upstream.getManifest(repository, latest, once, never()));
      expect(observer.named('mirrorAvailabilityChanged')[0]?.facts['cause']).toMatchObject({
        message: `mirror.test: the connection to the proxy ${host} (${keyPath}, for upstreams.test.example.mirrors.0) failed (ECONNREFUSED)`,
      });
    },
  );

  it('that hangs does not hold a request longer than it may take', async () => {
    const proxy = await proxyWith({ hang: true });
    const error = await failure(asked(await registryWith(), { proxy: by({ port: proxy.port }) }));
    expect(error.reason).toBe('timeout');
  });
});

describe('through a SOCKS proxy', () => {
  it.each([true, false])('that resolves names itself (https: %s)', async (tls) => {
    const registry = await registryWith(tls);
    const proxy = await socksWith({ credentials: PROXY_LOGIN });
    await asked(registry, { proxy: by({ port: proxy.port, protocol: 'socks5h:', ...PROXY_LOGIN }) });
    expect(proxy.targets).toEqual([`registry.test:${registry.port}`]);
  });

  it('names are resolved here when it is socks5', async () => {
    const registry = await registryWith();
    const proxy = await socksWith();
    const lookup = resolvingTo('192.0.2.7');
    const config = { tls: { ca, insecure: false }, proxy: by({ port: proxy.port, protocol: 'socks5:' }) };
    const upstream = upstreamAt(`https://registry.test:${registry.port}`, config, { lookup });
    await upstream.getManifest(repository, latest, once, never());
    expect(proxy.targets).toEqual([`192.0.2.7:${registry.port}`]);
  });

  it.each<[string, FakeSocksOptions, RegExp]>([
    ['refuses us', { credentials: { username: 'other', password: 'other' } }, /refuses our credentials/],
    ['may not connect', { refuse: 2 }, /could not connect \(NotAllowed\)$/],
    ['finds nobody there', { refuse: 5 }, /could not connect \(ConnectionRefused\)$/],
  ])('that %s it says so, without a secret', async (_what, options, message) => {
    const proxy = await socksWith(options);
    const config = { proxy: by({ port: proxy.port, protocol: 'socks5h:', ...PROXY_LOGIN }) };
    const error = await failure(asked(await registryWith(), config));
    expect(error.message).toMatch(
      /^registry\.test: the proxy 127\.0\.0\.1:\d+ \(upstreams\.test\.example\.proxy\) /,
    );
    expect(error.message).toMatch(message);
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain('canary');
  });
});

describe('a proxy that says nothing', () => {
  it.each(['CONNECT', 'SOCKS', 'TLS with the proxy', 'TLS with the host'])(
    'is left at once when the upstream is closed, in %s',
    async (what) => {
      const isSocks = what === 'SOCKS';
      // Who takes connections and never says a word speaks no TLS either.
      const silent = isSocks || what.startsWith('TLS') ? await socksWith({ hang: true }) : undefined;
      const names = { 'registry.test': silent?.port ?? 0 };
      const proxy =
        silent !== undefined && what !== 'TLS with the host'
          ? silent
          : await proxyWith(what === 'CONNECT' ? { hang: true } : { names });
      const protocol = isSocks ? 'socks5h:' : what === 'TLS with the proxy' ? 'https:' : 'http:';
      const upstream = upstreamAt('https://registry.test', { proxy: by({ port: proxy.port, protocol }) });
      const failed = failure(upstream.getManifest(repository, latest, once, never()));
      await vi.waitFor(() => expect((silent ?? proxy).openCount).toBeGreaterThan(0), SOON);
      await upstream.close();
      expect((await failed).reason).toBe('unavailable');
      // Long before connecting or a handshake takes too long.
      await vi.waitFor(() => expect(proxy.openCount).toBe(0), { timeout: 4_000 });
    },
  );
});

describe('a host that an upstream leads to, through a proxy', () => {
  it.each([
    'https://127.0.0.1/x',
    'https://169.254.169.254/x',
    'https://[::1]/x',
    'https://localhost/x',
    'https://metadata/x',
    'https://metadata.google.internal/x',
    'https://registry.local/x',
  ])('is not asked for at %s', async (location) => {
    const registry = await registryWith();
    registry.configure({ redirect: () => location });
    const proxy = await proxyWith();
    const error = await failure(asked(registry, { proxy: by({ port: proxy.port }) }));
    expect(error.reason).toBe('refused');
    expect(proxy.requests).toHaveLength(1);
  });

  it('is asked for by a name that can be registered, or that is trusted', async () => {
    const proxy = await proxyWith({ refuse: 502 });
    const storage = await proxyWith();
    for (const [hostname, trustedHosts] of [
      ['cdn.example.com', []],
      ['minio.internal', ['minio.internal']],
    ] as const) {
      const registry = await registryWith(false);
      registry.configure({ redirect: () => `https://${hostname}/x` });
      const config = {
        proxy: { ...by({ port: proxy.port }), http: by({ port: storage.port }).http },
        trustedHosts,
      };
      const error = await failure(asked(registry, config));
      expect(error.message).toBe(`${hostname}: the proxy ${proxy.host} (${KEY}) could not connect (502)`);
    }
  });

  it('is resolved and checked here when the proxy is socks5', async () => {
    const canary = closeAfterTest(await FakeHost.start());
    const registry = await registryWith(false);
    registry.configure({ redirect: () => `http://cdn.example.com:${canary.port}/x` });
    const proxy = await socksWith();
    const lookup = resolvingTo('10.0.0.1');
    const upstream = upstreamAt(
      registry.url,
      { proxy: by({ port: proxy.port, protocol: 'socks5:' }) },
      { lookup },
    );
    const error = await failure(upstream.getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('refused');
    expect(proxy.targets).toHaveLength(1);
  });
});
