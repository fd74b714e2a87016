import { expect, test } from 'vitest';
import type { UpstreamConfig } from '../../src/config.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { selfSignedCertificate } from '../upstream/certificates.ts';

/** One upstream that cannot be reached as configured, beside one that can. */
async function pulled(broken: Partial<UpstreamConfig> & { readonly url: string }) {
  const open = closeAfterTest(await FakeRegistry.start());
  pushTo(open, { repository: 'team/app', tag: 'v1', image: buildImage() });
  const app = await startApp({
    upstreams: [
      { name: 'open', url: open.url },
      { name: 'broken.example', ...broken },
    ],
  });
  const pull = async (upstream: string) => get(`${app.url}/v2/${upstream}/team/app/manifests/v1`);
  const answer = await pull('broken.example');
  expect((await pull('open')).status).toBe(200);
  const { errors } = JSON.parse(answer.body.toString('utf8')) as { errors: readonly { message: string }[] };
  const line = app.logLines.find(({ msg }) => msg === 'request refused');
  const { message: logged } = (line?.['error'] ?? {}) as { message?: string };
  expect(line).toMatchObject({ upstream: 'broken.example', status: answer.status });
  expect(logged).toBe(errors[0]?.message);
  return { status: answer.status, message: logged };
}

test('a proxy that refuses is named with its key, to the operator and to the client', async () => {
  const proxy = closeAfterTest(await FakeProxy.start({ refuse: 403 }));
  const keyPath = 'upstreams.broken.example.proxy';
  const login = { username: 'me', password: 'canary-proxy-password' };
  const server = { protocol: 'http:', host: '127.0.0.1', port: proxy.port, keyPath, ...login } as const;
  const found = await pulled({
    url: 'https://registry.nowhere',
    proxy: { https: server, noProxy: [], sparesLoopback: false },
  });
  expect(found).toEqual({
    status: 503,
    message: `registry.nowhere: the proxy ${proxy.host} (${keyPath}) does not let us connect (403)`,
  });
});

test('a proxy of the environment that wants a login is named with its variable and the upstream', async () => {
  const { host, port } = closeAfterTest(await FakeProxy.start({ refuse: 407 }));
  const server = { protocol: 'http:', host: '127.0.0.1', port, keyPath: 'HTTPS_PROXY' } as const;
  const found = await pulled({
    url: 'https://registry.nowhere',
    proxy: { https: server, noProxy: [], sparesLoopback: true },
  });
  expect(found).toEqual({
    status: 503,
    message: `registry.nowhere: the proxy ${host} (HTTPS_PROXY, for upstreams.broken.example) wants a user name and password (407)`,
  });
});

test('what the proxy itself says of plain http takes no held tag away', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'team/app', tag: 'v1', image: buildImage() });
  let denies = false;
  const denial = { status: 404, headers: { server: 'squid/5.7', 'x-squid-error': 'ERR_CUSTOM 0' } };
  const proxy = closeAfterTest(await FakeProxy.start({ answer: () => (denies ? denial : undefined) }));
  const keyPath = 'upstreams.plain.proxy';
  const server = { protocol: 'http:', host: '127.0.0.1', port: proxy.port, keyPath } as const;
  const app = await startApp({
    upstreams: [
      {
        name: 'plain',
        url: registry.url,
        tagTtlMs: 0,
        proxy: { http: server, noProxy: [], sparesLoopback: false },
      },
    ],
  });
  const pull = async () => get(`${app.url}/v2/plain/team/app/manifests/v1`);
  expect((await pull()).headers['x-cache']).toBe('MISS');
  denies = true;
  const { status, headers } = await pull();
  expect([status, headers['x-cache']]).toEqual([200, 'STALE']);
  const { status: unknown, body } = await get(`${app.url}/v2/plain/team/other/manifests/v1`);
  expect(unknown).toBe(503);
  expect(body.toString('utf8')).toContain(
    `the proxy ${proxy.host} (${keyPath}) does not let us connect (404)`,
  );
});

test('a certificate that is not accepted is told with the key of its authority', async () => {
  const registry = closeAfterTest(await FakeRegistry.start({ tls: selfSignedCertificate }));
  expect(await pulled({ url: registry.url })).toEqual({
    status: 503,
    message: `the certificate of ${registry.host} is not accepted (DEPTH_ZERO_SELF_SIGNED_CERT); see upstreams.broken.example.tls.ca`,
  });
});
