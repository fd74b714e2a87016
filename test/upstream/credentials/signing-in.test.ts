import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { AuthConfig } from '../../../src/config.ts';
import { OCI_MANIFEST } from '../../../src/oci/media-type.ts';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeHost } from '../../support/fake-host.ts';
import type { FakeAuth } from '../../support/fake-registry-auth.ts';
import { FakeRegistry } from '../../support/fake-registry.ts';
import { get } from '../../support/http-get.ts';
import { startApp } from '../../support/running-app.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  failure,
  latest,
  manifestText,
  never,
  once,
  RecordingObserver,
  repository,
  upstreamAt,
} from '../upstream-under-test.ts';
import { aSecond, installHelper } from './credentials-under-test.ts';

const CANARY = 'canary-sign-in';
const user = { username: 'robot', password: `${CANARY}-password`, identityToken: `${CANARY}-refresh` };
const auth64 = (password: string) => Buffer.from(`${user.username}:${password}`).toString('base64');

async function registryWith(auth: FakeAuth): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth }));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  return registry;
}

const tokenCalls = (registry: FakeRegistry): readonly string[] =>
  registry.requests.filter(({ path }) => path === '/token').map(({ method }) => method);

describe('a refresh token', () => {
  it('is posted to the token endpoint, never sent to the registry', async () => {
    const registry = await registryWith({ mode: 'bearer', credentials: [user], post: true });
    const upstream = upstreamAt(registry.url, { auth: { identityToken: user.identityToken } });
    await upstream.getManifest(repository, latest, once, never());
    expect(tokenCalls(registry)).toEqual(['POST']);
    const asked = registry.requests.find(({ path }) => path === '/token');
    expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
      grant_type: 'refresh_token',
      service: 'fake',
      client_id: 'entrepot',
      scope: 'repository:team/app:pull',
      refresh_token: user.identityToken,
    });
    expect(asked?.headers.authorization).toBeUndefined();
    const sent = registry.requests.map(({ headers }) => headers.authorization ?? '').join();
    expect(sent).not.toContain(CANARY);
  });

  it.each([404, 405])('goes by GET where POST is answered with %i, which is remembered', async (status) => {
    const asUser = { username: '<token>', password: user.identityToken };
    const registry = await registryWith({ mode: 'bearer', credentials: [asUser] });
    registry.faults.add({ match: { path: /^\/token$/, method: 'POST' }, action: { respond: { status } } });
    const upstream = upstreamAt(registry.url, { auth: { identityToken: user.identityToken } });
    await upstream.getManifest(repository, latest, once, never());
    registry.auth.revoke();
    await upstream.getManifest(repository, latest, once, never());
    expect(tokenCalls(registry)).toEqual(['POST', 'GET', 'GET']);
  });

  it('follows no redirect, and goes to no foreign realm', async () => {
    const canary = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith({ mode: 'bearer', credentials: [user], post: true });
    const auth = { identityToken: user.identityToken };
    registry.faults.add({
      match: { path: /^\/token$/ },
      action: { respond: { status: 307, headers: { location: `${canary.url}/token` } } },
    });
    const trusting = upstreamAt(registry.url, { auth, trustedHosts: [canary.host] });
    expect((await failure(trusting.getManifest(repository, latest, once, never()))).reason).toBe('protocol');
    registry.configure({ auth: { mode: 'bearer', post: true, realm: `${canary.url}/token` } });
    const wary = upstreamAt(registry.url, { auth });
    expect((await failure(wary.getManifest(repository, latest, once, never()))).reason).toBe('refused');
    expect(canary.connections).toBe(0);
  });

  it('that is refused is not tried for ever', async () => {
    const registry = await registryWith({ mode: 'bearer', credentials: [user], post: true });
    const upstream = upstreamAt(registry.url, { auth: { identityToken: 'wrong' } });
    for (let count = 0; count < 5; count += 1) {
      const error = await failure(upstream.getManifest(repository, latest, once, never()));
      expect(error.reason).toBe('denied');
    }
    expect(registry.tokenRequests).toBe(1);
  });
});

describe('a bearer token', () => {
  it('is sent to the registry as it is, and to no token endpoint', async () => {
    const registry = await registryWith({ mode: 'bearer', credentials: [user], staticTokens: [CANARY] });
    const upstream = upstreamAt(registry.url, { auth: { token: CANARY } });
    await upstream.getManifest(repository, latest, once, never());
    await upstream.getManifest(repository, latest, once, never());
    expect(registry.tokenRequests).toBe(0);
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      `Bearer ${CANARY}`,
      `Bearer ${CANARY}`,
    ]);
  });

  it('that is refused is sent three times, then not for a minute', async () => {
    const clock = new FakeClock();
    const registry = await registryWith({ mode: 'bearer', credentials: [user], staticTokens: ['another'] });
    const upstream = upstreamAt(registry.url, { auth: { token: CANARY } }, { clock });
    const sent = () => registry.count({ where: ({ headers }) => headers.authorization !== undefined });
    for (let count = 0; count < 6; count += 1) {
      const error = await failure(upstream.getManifest(repository, latest, once, never()));
      expect(error.reason).toBe('denied');
    }
    expect(sent()).toBe(3);
    await clock.advance(61_000);
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(sent()).toBe(4);
  });
});

describe('credentials in a file that change', () => {
  it.each<[string, (password: string) => FakeAuth]>([
    ['Basic', (password) => ({ mode: 'basic', credentials: [{ ...user, password }] })],
    ['Bearer', (password) => ({ mode: 'bearer', credentials: [{ ...user, password }] })],
  ])(
    'are taken without a restart, and are not held back for what the old ones did: %s',
    async (_mode, auth) => {
      const clock = new FakeClock();
      const registry = await registryWith(auth('new'));
      const file = join(await tempDir(), 'password');
      await writeFile(file, 'old');
      const config = { auth: { username: user.username, password: { file } } };
      const upstream = upstreamAt(registry.url, config, { clock });
      for (let count = 0; count < 5; count += 1) {
        const error = await failure(upstream.getManifest(repository, latest, once, never()));
        expect(error.reason).toBe('denied');
      }
      await writeFile(file, 'new');
      await aSecond(clock);
      await upstream.getManifest(repository, latest, once, never());
    },
  );

  it('are read again within the request whose old ones are refused', async () => {
    const clock = new FakeClock();
    const registry = await registryWith({ mode: 'basic', credentials: [{ ...user, password: 'old' }] });
    const calls = join(await tempDir(), 'password');
    await writeFile(calls, 'old');
    await installHelper('rotating', `printf '{"Username":"robot","Secret":"%s"}' "$(cat ${calls})"`);
    const upstream = upstreamAt(registry.url, { auth: { helper: 'rotating' } }, { clock });
    await upstream.getManifest(repository, latest, once, never());
    await writeFile(calls, 'new');
    registry.configure({ auth: { mode: 'basic', credentials: [{ ...user, password: 'new' }] } });
    await clock.advance(11_000);
    await upstream.getManifest(repository, latest, once, never());
  });
});

describe('every kind of credentials', () => {
  it('pulls a private image, and names its account in the rate limit', async () => {
    const registry = await registryWith({ mode: 'bearer', credentials: [user] });
    const host = new URL(registry.url).host;
    const file = join(await tempDir(), 'config.json');
    await writeFile(file, JSON.stringify({ auths: { [host]: { auth: auth64(user.password) } } }), {
      mode: 0o600,
    });
    await installHelper('fixed', `echo '{"Username":"robot","Secret":"${user.password}"}'`);
    const api = closeAfterTest(await FakeHost.start());
    const kinds: readonly [AuthConfig, string][] = [
      [{ username: 'robot', password: user.password }, 'robot'],
      [{ dockerConfig: file }, 'dockerConfig'],
      [{ helper: 'fixed' }, 'helper'],
    ];
    registry.faults.add({ action: { headers: { 'ratelimit-limit': '100;w=21600' } } });
    for (const [auth, account] of kinds) {
      const observer = new RecordingObserver();
      await upstreamAt(registry.url, { auth }, { observer }).getManifest(repository, latest, once, never());
      expect(observer.named('rateLimit').at(-1)?.facts).toMatchObject({ account });
    }
    expect(api.requests).toEqual([]);
  });

  it('of Azure: from the sign-in service by way of the registry’s exchange to an access token', async () => {
    const registry = await registryWith({ mode: 'bearer', credentials: [user], post: true });
    const body = JSON.stringify({ refresh_token: user.identityToken });
    registry.faults.add({
      match: { path: /^\/oauth2\/exchange$/, method: 'POST' },
      action: { respond: { status: 200, body } },
    });
    const reply = { token_type: 'Bearer', expires_in: 3600, access_token: 'aad-token' };
    const aad = closeAfterTest(await FakeHost.start());
    aad.faults.add({
      action: {
        respond: {
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(reply),
        },
      },
    });
    const azure = { tenantId: 't', clientId: 'c', clientSecret: CANARY, endpoint: aad.url };
    const upstream = upstreamAt(registry.url, { auth: { azure } });
    await upstream.getManifest(repository, latest, once, never());
    const exchanged = registry.requests.find(({ path }) => path === '/oauth2/exchange');
    expect(new URLSearchParams(exchanged?.body).get('access_token')).toBe('aad-token');
    expect(tokenCalls(registry)).toEqual(['POST']);
  });
});

describe('credentials that cannot be had', () => {
  it('fail that upstream by name and key, are not replaced by none, and leave the others working', async () => {
    const open = await registryWith({ mode: 'none' });
    const directory = await tempDir();
    const malformed = join(directory, 'malformed.json');
    await writeFile(malformed, `{"auths":{"x":{"auth":"${CANARY}"`);
    await installHelper('failing', `echo ${CANARY}; exit 1`);
    const wrong: Record<string, AuthConfig> = {
      'missing.example': { dockerConfig: join(directory, 'absent') },
      'malformed.example': { dockerConfig: malformed },
      'failing.example': { helper: 'failing' },
      'absent.example': { helper: 'absent' },
      'file.example': { token: { file: join(directory, 'absent') } },
      'google.example': { google: { keyFile: malformed } },
    };
    // Public images, which could be had anonymously.
    const registry = await registryWith({ mode: 'bearer', credentials: [user], anonymous: /./ });
    const app = await startApp({
      upstreams: [
        { name: 'open.example', url: open.url },
        ...Object.entries(wrong).map(([name, auth]) => ({ name, url: registry.url, auth })),
      ],
    });
    for (const [name, auth] of Object.entries(wrong)) {
      const { status, body } = await get(`${app.url}/v2/${name}/team/app/manifests/latest`);
      expect(status, name).toBe(503);
      expect(body.toString(), name).not.toContain(CANARY);
      const key = `upstreams.${name}.auth.${Object.keys(auth)[0] ?? ''}`;
      const told = app.logLines.filter((line) => JSON.stringify(line).includes(key));
      expect(told.length, name).toBeGreaterThan(0);
    }
    expect((await get(`${app.url}/v2/open.example/team/app/manifests/latest`)).status).toBe(200);
    expect(registry.tokenRequests).toBe(0);
    expect(JSON.stringify(app.logLines)).not.toContain(CANARY);
    expect((await get(`${app.adminUrl}/metrics`)).body.toString()).not.toContain(CANARY);
    const early = app.logLines.filter(({ msg }) => msg === 'the credentials for the upstream cannot be had');
    expect(early.map(({ level, upstream }) => `${level} ${String(upstream)}`).toSorted()).toEqual([
      'error file.example',
      'error google.example',
      'error malformed.example',
      'error missing.example',
    ]);
  });
});
