import { describe, expect, it } from 'vitest';
import type { AuthConfig } from '../../src/config.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { parseRepositoryName, type RepositoryName } from '../../src/oci/reference.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import type { FakeAuth } from '../support/fake-registry-auth.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import { jsonReply } from '../support/reply.ts';
import {
  credentials,
  failure,
  latest,
  manifestText,
  never,
  once,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

/** What counts as a refusal of the credentials, and what is only about one repository or one question. */

const TOKEN = 'canary-direct-token';
const other = parseRepositoryName('team/other');
const missing = parseRepositoryName('team/missing');
const signed = ({ headers }: RecordedRequest): boolean => headers.authorization !== undefined;

type Kind = readonly [string, FakeAuth, AuthConfig];
const BASIC: Kind = ['Basic', { mode: 'basic', credentials: [credentials] }, credentials];
const DIRECT: Kind = [
  'a bearer token',
  { mode: 'bearer', credentials: [credentials], staticTokens: [TOKEN] },
  { token: TOKEN },
];
const ENDPOINT: Kind = [
  'tokens of a token endpoint',
  { mode: 'bearer', credentials: [credentials] },
  credentials,
];

async function registryWith(auth: FakeAuth): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth }));
  for (const name of [repository, other])
    registry.addManifest(name, manifestText(name), OCI_MANIFEST, ['latest']);
  return registry;
}

const pull = async (upstream: Upstream, name: RepositoryName = repository): Promise<unknown> =>
  upstream.getManifest(name, latest, once, never());

async function denied(upstream: Upstream, names: readonly string[]): Promise<void> {
  for (const name of names)
    expect((await failure(pull(upstream, parseRepositoryName(name)))).reason).toBe('denied');
}

const many = Array.from({ length: 10 }, (_, at) => `team/app${at}`);

describe('a 400 is no refusal', () => {
  it.each([BASIC, DIRECT, ENDPOINT])('of %s when it is about the page size', async (_kind, auth, config) => {
    const registry = await registryWith(auth);
    const upstream = upstreamAt(registry.url, { auth: config });
    await pull(upstream);
    registry.faults.add({
      match: { path: /\/tags\//, where: (asked) => signed(asked) && asked.query.has('n') },
      action: { respond: { status: 400 } },
    });
    expect(await upstream.listTags(repository, { patienceMs: 0 }, never())).toEqual(['latest']);
  });

  it.each([BASIC, DIRECT, ENDPOINT])(
    'of %s where there is no referrers API, however often',
    async (_kind, auth, config) => {
      const registry = await registryWith(auth);
      const upstream = upstreamAt(registry.url, { auth: config });
      registry.faults.add({
        match: { path: /\/referrers\//, where: signed },
        action: { respond: { status: 400 } },
      });
      for (const text of ['a', 'b', 'c', 'd']) {
        const digest = digestOf(Buffer.from(text), 'sha256');
        const error = await failure(upstream.listReferrers(repository, digest, { patienceMs: 0 }, never()));
        expect(error).toMatchObject({ reason: 'not-found', status: 400 });
      }
      await pull(upstream);
    },
  );

  it('where the token endpoint gives the same token again', async () => {
    const registry = await registryWith({ mode: 'bearer', staticTokens: [TOKEN], anonymous: /^$/ });
    registry.intercept((asked, plain) =>
      asked.path === '/token' ? jsonReply(200, { token: TOKEN }) : plain(asked),
    );
    const upstream = upstreamAt(registry.url);
    await pull(upstream);
    registry.faults.add({
      match: { path: /\/tags\//, where: (asked) => signed(asked) && asked.query.has('n') },
      action: { respond: { status: 400 } },
    });
    expect(await upstream.listTags(repository, { patienceMs: 0 }, never())).toEqual(['latest']);
  });
});

describe('a 401 for one repository', () => {
  it.each([BASIC, DIRECT])(
    'does not lock out credentials that are good for another: %s',
    async (_kind, auth, config) => {
      const clock = new FakeClock();
      const registry = await registryWith(auth);
      const upstream = upstreamAt(registry.url, { auth: config }, { clock });
      await pull(upstream);
      const challenge =
        auth.mode === 'basic' ? 'Basic realm="fake"' : `Bearer realm="${registry.url}/token",service="fake"`;
      registry.faults.add({
        match: { path: /missing/ },
        action: { respond: { status: 401, headers: { 'www-authenticate': challenge } } },
      });
      registry.forget();
      await denied(
        upstream,
        Array.from({ length: 6 }, () => missing),
      );
      expect(registry.count({ where: signed })).toBe(3);
      await pull(upstream, other);
      await pull(upstream);
    },
  );

  it('with insufficient_scope does not count at all', async () => {
    const [, auth, config] = DIRECT;
    const registry = await registryWith(auth);
    const upstream = upstreamAt(registry.url, { auth: config });
    const challenge = `Bearer realm="${registry.url}/token",service="fake",scope="repository:team/missing:pull",error="insufficient_scope"`;
    registry.faults.add({
      match: { path: /missing/, where: signed },
      action: { respond: { status: 401, headers: { 'www-authenticate': challenge } } },
    });
    await denied(
      upstream,
      Array.from({ length: 4 }, () => missing),
    );
    expect(registry.count({ where: signed })).toBe(4);
    await pull(upstream);
  });
});

describe('credentials that are no good', () => {
  it.each<Kind>([
    ['Basic', BASIC[1], { ...credentials, password: 'wrong' }],
    ['a bearer token', DIRECT[1], { token: 'wrong' }],
    ['a token endpoint', ENDPOINT[1], { ...credentials, password: 'wrong' }],
  ])('are tried three times in a minute, whatever the repository: %s', async (_kind, auth, config) => {
    const registry = await registryWith(auth);
    await denied(upstreamAt(registry.url, { auth: config }, { clock: new FakeClock() }), many);
    expect(registry.count({ where: signed })).toBe(3);
  });

  it.each([BASIC, DIRECT])(
    'any more are tried three times where they were good, and then nowhere: %s',
    async (_kind, auth, config) => {
      const clock = new FakeClock();
      const registry = await registryWith(auth);
      const upstream = upstreamAt(registry.url, { auth: config }, { clock });
      await pull(upstream);
      registry.configure({
        auth: { ...auth, credentials: [], staticTokens: [], anonymous: /^$/ } as FakeAuth,
      });
      registry.forget();
      await denied(upstream, [repository, repository, repository, ...many]);
      expect(registry.count({ where: signed })).toBe(3);
      await clock.advance(61_000);
      await denied(upstream, many);
      expect(registry.count({ where: signed })).toBe(6);
    },
  );

  it('any more are tried three times a minute once they have not been good for one', async () => {
    const clock = new FakeClock();
    const [, auth, config] = BASIC;
    const registry = await registryWith(auth);
    const upstream = upstreamAt(registry.url, { auth: config }, { clock });
    await pull(upstream);
    registry.configure({ auth: { mode: 'basic', credentials: [] } });
    await clock.advance(61_000);
    registry.forget();
    await denied(upstream, many);
    expect(registry.count({ where: signed })).toBe(3);
  });
});

/** Takes the credentials for `team/app`, and then answers 400 for `team/app0` and on. */
async function refusing(body: string): Promise<{ registry: FakeRegistry; upstream: Upstream }> {
  const [, auth, config] = ENDPOINT;
  const registry = await registryWith(auth);
  const upstream = upstreamAt(registry.url, { auth: config }, { clock: new FakeClock() });
  await pull(upstream);
  registry.faults.add({
    match: { path: /^\/token$/, where: ({ query }) => /team\/app\d/.test(query.get('scope') ?? '') },
    action: { respond: { status: 400, body } },
  });
  registry.forget();
  return { registry, upstream };
}

describe('a token endpoint’s 400', () => {
  it.each([
    ['no body', ''],
    ['text', 'scope?'],
    ['another document', '{"errors":[]}'],
    ['an endless one', '"'.repeat(100_000)],
  ])('to a scope, with %s, is remembered for that scope and keeps no other away', async (_what, body) => {
    const { registry, upstream } = await refusing(body);
    await denied(upstream, [...many, ...many]);
    expect(registry.tokenRequests).toBe(10);
    await pull(upstream, other);
  });

  it.each(['invalid_grant', 'invalid_client'])('that says %s is about the credentials', async (error) => {
    const { registry, upstream } = await refusing(JSON.stringify({ error, error_description: 'no' }));
    await denied(upstream, [...many, other]);
    expect(registry.tokenRequests).toBe(3);
  });
});
