import { describe, expect, it } from 'vitest';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeHost } from '../support/fake-host.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import type { BearerAuthMode } from '../support/fake-registry-auth.ts';
import { Gate } from '../support/gate.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import {
  accept,
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

const other = parseRepositoryName('team/other');
const manifests = /\/manifests\//;

async function registryWith(
  auth: Omit<BearerAuthMode, 'mode'>,
  options: FakeRegistryOptions = {},
): Promise<FakeRegistry> {
  const registry = closeAfterTest(
    await FakeRegistry.start({ ...options, auth: { mode: 'bearer', ...auth } }),
  );
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  registry.addManifest(other, manifestText('other'), OCI_MANIFEST, ['latest']);
  return registry;
}

const paths = (registry: FakeRegistry): readonly string[] => registry.requests.map(({ path }) => path);
const withAuthorization = ({ headers }: RecordedRequest): boolean => headers.authorization !== undefined;

describe('Bearer', () => {
  it.each<[string, Omit<BearerAuthMode, 'mode'>]>([
    ['token', { replyAs: 'token' }],
    ['access_token', { replyAs: 'access_token' }],
    ['no service', { service: undefined }],
    ['no scope', { scope: undefined }],
    ['no expires_in', { expiresIn: 'absent' }],
    ['a realm with its own query', { realmQuery: 'tenant=a' }],
    ['a lower-case scheme', { scheme: 'bearer' }],
    ['an upper-case scheme', { scheme: 'BEARER' }],
    ['another challenge before it', { challengesBefore: ['Negotiate', 'Basic realm="a, b"'] }],
    [
      'several challenges in one line',
      { challengesBefore: ['Negotiate abc==', 'Basic realm="x"'], joined: true },
    ],
  ])('gets a token where the upstream uses %s', async (_what, auth) => {
    const registry = await registryWith(auth);
    await upstreamAt(registry.url).getManifest(repository, latest, once, never());
    const asked = registry.requests.find(({ path }) => path === '/token');
    expect(asked?.query.get('scope')).toBe('repository:team/app:pull');
    expect(asked?.query.get('service')).toBe('service' in auth ? null : 'fake');
    expect(asked?.headers.authorization).toBeUndefined();
  });

  it('sends the credentials to the token endpoint only, and the token to the registry', async () => {
    const registry = await registryWith({ credentials: [credentials] });
    await upstreamAt(registry.url, { auth: credentials }).getManifest(repository, latest, once, never());
    const sent = registry.requests.map(({ path, headers }) => [path, headers.authorization?.split(' ')[0]]);
    expect(sent).toEqual([
      ['/v2/team/app/manifests/latest', undefined],
      ['/token', 'Basic'],
      ['/v2/team/app/manifests/latest', 'Bearer'],
    ]);
  });

  it('keeps one token for each repository, and asks for the next without a challenge', async () => {
    const registry = await registryWith({});
    const upstream = upstreamAt(registry.url);
    await upstream.getManifest(repository, latest, once, never());
    await upstream.getManifest(repository, latest, once, never());
    registry.forget();
    await upstream.getManifest(other, latest, once, never());
    expect(paths(registry)).toEqual(['/token', '/v2/team/other/manifests/latest']);
    expect(registry.auth.issued).toBe(2);
  });

  it('shares one token request among many', async () => {
    const registry = await registryWith({});
    const gate = new Gate();
    registry.faults.add({ match: { path: /^\/token$/ }, action: { gate } });
    const upstream = upstreamAt(registry.url);
    const asked = Array.from({ length: 20 }, () => upstream.getManifest(repository, latest, once, never()));
    await registry.received({ path: manifests }, 20);
    gate.open();
    await Promise.all(asked);
    expect(registry.tokenRequests).toBe(1);
  });

  it('leaves a shared token request to the others when one gives up', async () => {
    const registry = await registryWith({});
    const gate = new Gate();
    registry.faults.add({ match: { path: /^\/token$/ }, action: { gate } });
    const upstream = upstreamAt(registry.url);
    const leaver = new AbortController();
    const left = failure(upstream.getManifest(repository, latest, once, leaver.signal));
    await registry.received({ path: /^\/token$/ });
    const stayed = upstream.getManifest(repository, latest, once, never());
    leaver.abort(new Error('left'));
    expect((await left).message).toBe('left');
    gate.open();
    await stayed;
    expect(registry.tokenRequests).toBe(1);
  });

  it('renews a token beside its use before it expires, and waits for a new one after', async () => {
    const clock = new FakeClock();
    const registry = await registryWith({ tokenTtlMs: 300_000 }, { now: () => clock.monotonic() });
    const upstream = upstreamAt(registry.url, {}, { clock });
    const get = async (): Promise<unknown> => upstream.getManifest(repository, latest, once, never());
    await get();
    await clock.advance(200_000);
    await get();
    expect(registry.tokenRequests).toBe(1);
    await clock.advance(50_000);
    await get();
    await registry.received({ path: /^\/token$/ }, 2);
    await clock.advance(500_000);
    registry.forget();
    await get();
    expect(paths(registry)).toEqual(['/token', '/v2/team/app/manifests/latest']);
  });

  it('believes no clock but the monotonic one', async () => {
    const clock = new FakeClock();
    const registry = await registryWith({}, { now: () => clock.monotonic() });
    const upstream = upstreamAt(registry.url, {}, { clock });
    const year = 365 * 24 * 3_600_000;
    await upstream.getManifest(repository, latest, once, never());
    for (const wall of [clock.now() + year, 0, clock.now() - year]) {
      clock.setWall(wall);
      await upstream.getManifest(repository, latest, once, never());
    }
    expect(registry.tokenRequests).toBe(1);
  });

  it.each([
    ['absent', 60],
    [-5, 60],
    [1, 5],
    [1e12, 3600],
  ] as const)('takes expires_in %s as %i seconds', async (expiresIn, seconds) => {
    const clock = new FakeClock();
    const registry = await registryWith({ expiresIn, tokenTtlMs: 1e12 }, { now: () => clock.monotonic() });
    const upstream = upstreamAt(registry.url, {}, { clock });
    const get = async (): Promise<unknown> => upstream.getManifest(repository, latest, once, never());
    await get();
    await clock.advance(seconds * 1000 * 0.7);
    await get();
    expect(registry.tokenRequests).toBe(1);
    await clock.advance(seconds * 1000);
    await get();
    expect(registry.tokenRequests).toBe(2);
  });

  it('gets a new token once when the old one is refused in mid-life', async () => {
    const registry = await registryWith({});
    const upstream = upstreamAt(registry.url);
    await upstream.getManifest(repository, latest, once, never());
    registry.auth.revoke();
    registry.forget();
    await upstream.getManifest(repository, latest, once, never());
    const path = '/v2/team/app/manifests/latest';
    expect(paths(registry)).toEqual([path, '/token', path]);
  });

  it('does not go round in circles when every token is refused', async () => {
    const registry = await registryWith({});
    const upstream = upstreamAt(registry.url);
    await upstream.getManifest(repository, latest, once, never());
    registry.faults.add({
      match: { path: manifests },
      action: {
        respond: {
          status: 401,
          headers: { 'www-authenticate': `Bearer realm="${registry.url}/token",service="fake"` },
        },
      },
    });
    registry.forget();
    const error = await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(error).toMatchObject({ reason: 'not-found', status: 401 });
    expect(registry.count({ path: manifests })).toBe(2);
    expect(registry.tokenRequests).toBe(1);
  });

  it('takes insufficient_scope to a fresh token for the last word', async () => {
    const registry = await registryWith({ credentials: [credentials], anonymous: /^team\/app$/ });
    const upstream = upstreamAt(registry.url);
    await upstream.getManifest(repository, latest, once, never());
    registry.forget();
    const error = await failure(upstream.getManifest(other, latest, accept, never()));
    expect(error.reason).toBe('not-found');
    expect(paths(registry)).toEqual(['/token', '/v2/team/other/manifests/latest']);
  });

  it('treats ECR Public’s 400 to an expired token like a 401', async () => {
    const registry = await registryWith({});
    const upstream = upstreamAt(registry.url);
    await upstream.getManifest(repository, latest, once, never());
    registry.auth.revoke();
    registry.faults.add({ match: { path: manifests, nth: 1 }, action: { respond: { status: 400 } } });
    await upstream.getManifest(repository, latest, once, never());
    expect(registry.auth.issued).toBe(2);
  });

  it('drops an expired token that Harbor answers with a Basic challenge', async () => {
    const registry = await registryWith({ credentials: [credentials] });
    const upstream = upstreamAt(registry.url, { auth: credentials });
    await upstream.getManifest(repository, latest, once, never());
    registry.auth.revoke();
    registry.forget();
    const headers = { 'www-authenticate': 'Basic realm="harbor"' };
    registry.faults.add({
      match: { path: manifests, where: withAuthorization, nth: 1 },
      action: { respond: { status: 401, headers } },
    });
    await upstream.getManifest(repository, latest, once, never());
    const basic = registry.requests.filter(({ headers: sent }) => sent.authorization?.startsWith('Basic'));
    expect(basic.map(({ path }) => path)).toEqual(['/token']);
  });

  it('asks /v2/ for the challenge when the 401 has none', async () => {
    const registry = await registryWith({});
    registry.faults.add({
      match: { path: manifests, nth: 1 },
      action: { respond: { status: 401 } },
    });
    await upstreamAt(registry.url).getManifest(repository, latest, once, never());
    expect(paths(registry)).toContain('/v2/');
  });

  it('takes the scope that the upstream names for a repository, but no more than pulling', async () => {
    const registry = await registryWith({ scope: 'repository:mapped/app:pull' });
    const upstream = upstreamAt(registry.url);
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(registry.requests.find(({ path }) => path === '/token')?.query.get('scope')).toBe(
      'repository:mapped/app:pull',
    );
    const greedy = await registryWith({ scope: 'repository:team/app:pull,push registry:catalog:*' });
    await upstreamAt(greedy.url).getManifest(repository, latest, once, never());
    expect(greedy.requests.find(({ path }) => path === '/token')?.query.get('scope')).toBe(
      'repository:team/app:pull',
    );
  });

  it.each([
    ['no token', { respond: { status: 200, body: '{}' } }],
    ['an HTML page', { respond: { status: 200, body: '<html>' } }],
    ['a token with a line break', { respond: { status: 200, body: '{"token":"a\\r\\nX-Evil: 1"}' } }],
    ['an endless reply', { endless: true }],
    ['a compressed reply', { gzip: true }],
    ['a 404', { respond: { status: 404 } }],
  ] as const)('refuses %s from the token endpoint', async (_what, action) => {
    const registry = await registryWith({});
    registry.faults.add({ match: { path: /^\/token$/ }, action });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('protocol');
  });

  it('waits out a token endpoint in short trouble', async () => {
    const registry = await registryWith({});
    registry.faults.add({ match: { path: /^\/token$/, nth: 1 }, action: { respond: { status: 503 } } });
    await upstreamAt(registry.url).getManifest(repository, latest, accept, never());
    expect(registry.tokenRequests).toBe(2);
  });

  it('asks for a new challenge when the remembered realm is of no use any more', async () => {
    const registry = await registryWith({});
    const upstream = upstreamAt(registry.url);
    registry.configure({ auth: { mode: 'bearer', realm: 'http://evil.example/token' } });
    expect((await failure(upstream.getManifest(repository, latest, once, never()))).reason).toBe('refused');
    registry.configure({ auth: { mode: 'bearer' } });
    await upstream.getManifest(repository, latest, once, never());
  });
});

describe('refused credentials', () => {
  it('are remembered, so that an account is not locked out', async () => {
    const clock = new FakeClock();
    const registry = await registryWith({ credentials: [credentials] });
    const auth = { ...credentials, password: 'wrong' };
    const upstream = upstreamAt(registry.url, { auth }, { clock });
    for (let count = 0; count < 5; count += 1) {
      expect((await failure(upstream.getManifest(repository, latest, accept, never()))).reason).toBe(
        'denied',
      );
    }
    expect(registry.tokenRequests).toBe(1);
    await clock.advance(61_000);
    await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(registry.tokenRequests).toBe(2);
  });

  it('are not tried for ever new repositories', async () => {
    const registry = await registryWith({ credentials: [credentials] });
    const upstream = upstreamAt(registry.url, { auth: { ...credentials, password: 'wrong' } });
    for (let count = 0; count < 10; count += 1) {
      const name = parseRepositoryName(`team/app${count}`);
      expect((await failure(upstream.getManifest(name, latest, accept, never()))).reason).toBe('denied');
    }
    expect(registry.tokenRequests).toBe(3);
  });

  it('for one repository (GHCR’s 403) do not keep others away', async () => {
    const registry = await registryWith({
      credentials: [{ ...credentials, repositories: /^team\/app$/ }],
      refusal: 'denied',
    });
    const upstream = upstreamAt(registry.url, { auth: credentials });
    for (let count = 0; count < 5; count += 1) {
      const name = parseRepositoryName(`private/app${count}`);
      expect((await failure(upstream.getManifest(name, latest, accept, never()))).reason).toBe('denied');
    }
    await upstream.getManifest(repository, latest, once, never());
  });

  it('by 400 (OAuth2’s invalid_grant, ECR Public) are refused all the same, and remembered', async () => {
    const registry = await registryWith({ credentials: [credentials] });
    registry.faults.add({ match: { path: /^\/token$/ }, action: { respond: { status: 400 } } });
    const upstream = upstreamAt(registry.url, { auth: credentials });
    for (let count = 0; count < 5; count += 1) {
      const error = await failure(upstream.getManifest(repository, latest, accept, never()));
      expect([error.reason, error.status]).toEqual(['denied', 400]);
    }
    expect(registry.tokenRequests).toBe(1);
    const anonymous = await failure(
      upstreamAt(registry.url).getManifest(repository, latest, accept, never()),
    );
    expect(anonymous.reason).toBe('protocol');
  });

  it('mean not-found to who asks without any', async () => {
    const registry = await registryWith({ credentials: [credentials], refusal: 'denied' });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, accept, never()));
    expect(error).toMatchObject({ reason: 'not-found', status: 403 });
  });
});

describe('Basic', () => {
  it('is sent to the upstream with each request, after one challenge', async () => {
    const registry = closeAfterTest(
      await FakeRegistry.start({ auth: { mode: 'basic', credentials: [credentials] } }),
    );
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url, { auth: credentials });
    await upstream.getManifest(repository, latest, once, never());
    await upstream.getManifest(repository, latest, once, never());
    expect(registry.requests.map(withAuthorization)).toEqual([false, true, true]);
  });

  it('fails as not-found without credentials, and as denied with wrong ones, tried three times', async () => {
    const registry = closeAfterTest(
      await FakeRegistry.start({ auth: { mode: 'basic', credentials: [credentials] } }),
    );
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    expect(
      (await failure(upstreamAt(registry.url).getManifest(repository, latest, accept, never()))).reason,
    ).toBe('not-found');
    registry.forget();
    const upstream = upstreamAt(registry.url, { auth: { ...credentials, password: 'wrong' } });
    for (let count = 0; count < 6; count += 1) {
      expect((await failure(upstream.getManifest(repository, latest, accept, never()))).reason).toBe(
        'denied',
      );
    }
    expect(registry.count({ where: withAuthorization })).toBe(3);
  });
});

describe('a realm elsewhere', () => {
  it.each(['', '?service=x', '/../token'])('gets no credential and no request (%s)', async (tail) => {
    const canary = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith({ credentials: [credentials], realm: `${canary.url}/token${tail}` });
    const observer = new RecordingObserver();
    const upstream = upstreamAt(registry.url, { auth: credentials }, { observer });
    const error = await failure(upstream.getManifest(repository, latest, accept, never()));
    expect(error.reason).toBe('refused');
    expect(error.message).toContain(canary.host);
    expect(error.message).toContain('trustedHosts');
    expect(error.message).not.toContain('token?');
    expect(canary.requests).toHaveLength(0);
    expect(observer.events).toContainEqual({ name: 'refused', facts: { what: 'realm', host: canary.host } });
  });

  it('gets them when it is trusted', async () => {
    const canary = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith({ credentials: [credentials], realm: `${canary.url}/token` });
    const upstream = upstreamAt(registry.url, { auth: credentials, trustedHosts: [canary.host] });
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(canary.count({ where: withAuthorization })).toBe(1);
  });

  it('on another port of the upstream’s private address is refused by the address guard', async () => {
    const canary = closeAfterTest(await FakeHost.start());
    const registry = await registryWith({ credentials: [credentials], realm: `${canary.url}/token` });
    const upstream = upstreamAt(registry.url, { auth: credentials });
    expect((await failure(upstream.getManifest(repository, latest, once, never()))).reason).toBe('refused');
    expect(canary.connections).toBe(0);
  });

  it('named in the second challenge is refused like in the first', async () => {
    const canary = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith({ credentials: [credentials] });
    const upstream = upstreamAt(registry.url, { auth: credentials });
    await upstream.getManifest(repository, latest, once, never());
    registry.auth.revoke();
    registry.configure({
      auth: { mode: 'bearer', credentials: [credentials], realm: `${canary.url}/token` },
    });
    expect((await failure(upstream.getManifest(repository, latest, once, never()))).reason).toBe('refused');
    expect(canary.connections).toBe(0);
  });

  it('that the realm redirects to gets no credential', async () => {
    const canary = closeAfterTest(await FakeHost.start({ hostname: '127.0.0.2' }));
    const registry = await registryWith({ credentials: [credentials] });
    registry.faults.add({
      match: { path: /^\/token$/ },
      action: { respond: { status: 307, headers: { location: `${canary.url}/steal` } } },
    });
    const upstream = upstreamAt(registry.url, { auth: credentials, trustedHosts: [canary.host] });
    await failure(upstream.getManifest(repository, latest, once, never()));
    expect(canary.requests).toHaveLength(1);
    expect(canary.count({ where: withAuthorization })).toBe(0);
  });
});
