import { expect, test } from 'vitest';
import { profileFor } from '../../src/config-profile.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

const LOGIN = { username: 'me', password: 'canary-password' };
const REALM = 'http://auth.example.net/token';

/** A private image of a registry whose token service is on another domain, as `tokenHosts` may name it. */
async function pulled(tokenHosts: readonly string[]) {
  const registry = closeAfterTest(
    await FakeRegistry.start({ auth: { mode: 'bearer', credentials: [LOGIN], realm: REALM } }),
  );
  pushTo(registry, { repository: 'team/app', tag: 'v1', image: buildImage() });
  // Both names are the fake's, to this proxy alone: nothing is looked up here.
  const names = { 'registry.example.com': registry.port, 'auth.example.net': registry.port };
  const proxy = closeAfterTest(await FakeProxy.start({ names }));
  const http = { protocol: 'http:', host: '127.0.0.1', port: proxy.port, keyPath: 'proxy' } as const;
  const upstream = { name: 'registry.example.com', url: 'http://registry.example.com' };
  const app = await startApp({
    upstreams: [
      {
        ...upstream,
        auth: LOGIN,
        profile: profileFor(upstream, { tokenHosts: [...tokenHosts] }),
        proxy: { http, noProxy: [], sparesLoopback: false },
      },
    ],
  });
  const { status } = await get(`${app.url}/v2/team/app/manifests/v1`);
  const sentTo = proxy.requests
    .filter(({ headers }) => headers.authorization?.startsWith('Basic ') === true)
    .map(({ target }) => new URL(target).host);
  return { status, sentTo };
}

test('a token host of the profile is sent the credentials, and a pull succeeds', async () => {
  expect(await pulled(['auth.example.net'])).toEqual({
    status: 200,
    sentTo: ['auth.example.net'],
  });
});

test('another host is not, whatever the registry says', async () => {
  expect(await pulled(['other.example.net'])).toEqual({ status: 502, sentTo: [] });
});
