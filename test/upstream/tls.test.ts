import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo, LookupFunction } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import {
  certificateAuthority,
  clientCertificate,
  elsewhereCertificate,
  expiredCertificate,
  selfSignedCertificate,
  serverCertificate,
  type TestCertificate,
} from './certificates.ts';
import {
  accept,
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const ca = certificateAuthority;
const toLoopback: LookupFunction = (_hostname, _options, callback) =>
  callback(null, [{ address: '127.0.0.1', family: 4 }]);

async function registryWith(tls: TestCertificate, hostname = '127.0.0.1'): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ tls, hostname }));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  return registry;
}

describe('the upstream’s certificate', () => {
  it('is accepted from the configured authority', async () => {
    const registry = await registryWith(serverCertificate);
    await upstreamAt(registry.url, { tls: { ca, insecure: false } }).getManifest(
      repository,
      latest,
      once,
      never(),
    );
  });

  it.each([
    ['expired', expiredCertificate],
    ['another host’s', elsewhereCertificate],
    ['self-signed', selfSignedCertificate],
  ])('is refused when it is %s, and not asked again', async (_what, certificate) => {
    const registry = await registryWith(certificate);
    const upstream = upstreamAt(registry.url, { tls: { ca, insecure: false }, auth: credentials });
    const error = await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(error.reason).toBe('unavailable');
    expect(error.message).toMatch(
      /^the certificate of 127\.0\.0\.1:\d+ is not accepted \(\w+\); see upstreams\.test\.example\.tls(?:\.ca)?$/,
    );
    expect(registry.connections).toBe(1);
    expect(registry.requests).toHaveLength(0);
  });

  it('is refused from an authority that is not configured', async () => {
    const registry = await registryWith(serverCertificate);
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(error.message).toBe(
      `the certificate of ${registry.host} is not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE); see upstreams.test.example.tls.ca`,
    );
  });

  it('is taken unseen when the upstream is configured as insecure', async () => {
    const registry = await registryWith(selfSignedCertificate);
    const upstream = upstreamAt(registry.url, { tls: { insecure: true } });
    await upstream.getManifest(repository, latest, once, never());
  });
});

describe('another host’s certificate', () => {
  it('is accepted from the configured authority when the host is trusted', async () => {
    const storage = await registryWith(serverCertificate, '127.0.0.2');
    const registry = await registryWith(serverCertificate);
    registry.configure({ redirect: ({ path }) => `${storage.url}${path}` });
    const config = { tls: { ca, insecure: false }, trustedHosts: [storage.host] };
    await upstreamAt(registry.url, config).getManifest(repository, latest, once, never());
    expect(storage.requests).toHaveLength(1);
  });

  it('is checked even when the upstream is insecure', async () => {
    const storage = await registryWith(selfSignedCertificate, '127.0.0.2');
    const registry = await registryWith(selfSignedCertificate);
    registry.configure({ redirect: ({ path }) => `${storage.url}${path}` });
    const config = { tls: { insecure: true }, trustedHosts: [storage.host] };
    const error = await failure(
      upstreamAt(registry.url, config).getManifest(repository, latest, once, never()),
    );
    expect(error.message).toBe(
      `the certificate of ${storage.host} is not accepted (DEPTH_ZERO_SELF_SIGNED_CERT); see upstreams.test.example.tls.ca`,
    );
    expect(storage.requests).toHaveLength(0);
  });

  it('is said to need a trusted host for that where the host is none', async () => {
    const registry = await registryWith(serverCertificate);
    registry.configure({ redirect: () => 'https://cdn.example.com/x' });
    const proxy = closeAfterTest(await FakeProxy.start({ names: { 'cdn.example.com': registry.port } }));
    const server = {
      protocol: 'http:',
      host: '127.0.0.1',
      port: proxy.port,
      keyPath: 'upstreams.test.example.proxy',
    } as const;
    const config = {
      tls: { ca, insecure: false },
      proxy: { https: server, noProxy: ['127.0.0.1'], sparesLoopback: false },
    };
    const error = await failure(
      upstreamAt(registry.url, config).getManifest(repository, latest, once, never()),
    );
    expect(error.message).toBe(
      'the certificate of cdn.example.com is not accepted (UNABLE_TO_VERIFY_LEAF_SIGNATURE); see upstreams.test.example.trustedHosts',
    );
  });
});

describe('the client certificate', () => {
  it('is shown to the upstream, and to no host that it leads to', async () => {
    const shown: boolean[] = [];
    const places: string[] = [];
    const server = createServer(
      { ...serverCertificate, ca, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        if (!(request.socket instanceof TLSSocket)) throw new Error('not TLS');
        shown.push(request.socket.authorized);
        places.push(request.headers.host ?? '');
        const { port } = server.address() as AddressInfo;
        if (request.headers.host?.startsWith('registry.test') === true) {
          response.writeHead(307, { location: `https://127.0.0.1:${port}/away` }).end();
        } else {
          response.writeHead(404).end();
        }
      },
    );
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    onTestFinished(() => server.closeAllConnections());
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const tls = { ca, insecure: false, cert: clientCertificate.cert, key: clientCertificate.key };
    const config = { tls, trustedHosts: ['127.0.0.1'] };
    const upstream = upstreamAt(`https://registry.test:${port}`, config, { lookup: toLoopback });
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(places).toEqual([`registry.test:${port}`, `127.0.0.1:${port}`]);
    expect(shown).toEqual([true, false]);
  });
});

describe('https', () => {
  it('is never left by a redirect', async () => {
    const plain = closeAfterTest(await FakeRegistry.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith(serverCertificate);
    registry.configure({ redirect: () => `${plain.url}/v2/team/app/manifests/latest` });
    const config = { tls: { ca, insecure: false }, trustedHosts: [plain.host], auth: credentials };
    const error = await failure(
      upstreamAt(registry.url, config).getManifest(repository, latest, accept, never()),
    );
    expect(error.reason).toBe('refused');
    expect(plain.connections).toBe(0);
  });

  it('is never left for a token', async () => {
    const plain = closeAfterTest(await FakeRegistry.start());
    const registry = await registryWith(serverCertificate);
    registry.configure({ auth: { mode: 'bearer', credentials: [credentials], realm: `${plain.url}/token` } });
    const config = { tls: { ca, insecure: false }, trustedHosts: [plain.host], auth: credentials };
    const error = await failure(
      upstreamAt(registry.url, config).getManifest(repository, latest, accept, never()),
    );
    expect(error.reason).toBe('refused');
    expect(plain.connections).toBe(0);
  });
});

describe('undici', () => {
  it('is used for its dispatcher alone: no interceptors, fetch, cache or decoders', () => {
    const folder = new URL('../../src/upstream/', import.meta.url);
    const imports = readdirSync(folder, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
      if (!name.endsWith('.ts')) return [];
      const source = readFileSync(new URL(name, folder), 'utf8');
      const named = [...source.matchAll(/import (?:type )?\{([^}]*)\} from 'undici'/g)];
      const required = [...source.matchAll(/part\('lib\/[a-z/.]+', '(\w+)'\)/g)];
      return [...named, ...required].flatMap(([, names = '']) =>
        names.split(',').map((one) => one.trim().replace(/ as \w+$/, '')),
      );
    });
    expect(new Set(imports)).toEqual(new Set(['Agent', 'Dispatcher', 'buildConnector']));
  });
});
