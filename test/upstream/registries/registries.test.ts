import { describe, expect, it } from 'vitest';
import { profileFor } from '../../../src/config-profile.ts';
import { KNOWN_REGISTRIES } from '../../../src/config-profiles.ts';
import { CAMPAIGN_SCALE } from '../../support/campaign-scale.ts';
import { KNOWN_WIRES } from '../../support/registries/known-wires.ts';
import { expectOwnError, hostsThatSaw, IMAGE, pullAll, startProduct } from './product-under-test.ts';

/** Where each registry's credentials may be seen; at its own host where nothing else is said. */
const CREDENTIAL_HOSTS: Readonly<Record<string, string>> = {
  'Docker Hub': 'auth.docker.io',
  'GitLab.com': 'gitlab.com',
  'GitLab, self-managed': 'gitlab.example.com',
  'registry:2 with a token service elsewhere': 'login.partner.example.net',
};
/** One of each way to ask for credentials, to send elsewhere and to refuse; campaigns go through all there are. */
const TYPICAL = [
  'ACR',
  'Artifact Registry',
  'Docker Hub',
  'ECR private',
  'GHCR',
  'Harbor',
  'registry:2 with htpasswd',
];
const wires = KNOWN_WIRES.filter(({ title }) => CAMPAIGN_SCALE > 1 || TYPICAL.includes(title));
const byTitle = wires.map((wire) => [wire.title, wire] as const);

it('every known registry is emulated, under the host that its profile is known by', () => {
  const emulated = new Set(KNOWN_WIRES.map(({ profile }) => profile));
  expect([...emulated].toSorted()).toEqual(KNOWN_REGISTRIES.map(({ name }) => name).toSorted());
  for (const { upstream, host, profile, chosen } of KNOWN_WIRES) {
    const found = profileFor({ name: upstream, url: `https://${host}` }).name;
    expect([host, found]).toEqual([host, chosen === true ? 'generic' : profile]);
  }
});

it('those that are typical are among them', () => {
  const titles = KNOWN_WIRES.map(({ title }) => title);
  expect(titles).toEqual(expect.arrayContaining(TYPICAL));
});

describe.each(byTitle)('%s', (title, wire) => {
  const { publicRepository, privateRepository, credentials, host, otherHosts } = wire;

  if (publicRepository !== undefined)
    it('gives a public image without credentials', async () => {
      const product = await startProduct(wire, 'none');
      await pullAll(product, publicRepository);
      expect(hostsThatSaw(product.registry, 'Basic').size).toBe(0);
      for (const other of otherHosts) expect(hostsThatSaw(product.registry, 'Bearer')).not.toContain(other);
    });

  if (credentials !== undefined)
    it('gives everything with credentials, which nobody else sees', async () => {
      const product = await startProduct(wire, 'known');
      for (const repository of [publicRepository, privateRepository]) {
        if (repository !== undefined) await pullAll(product, repository);
      }
      expect([...hostsThatSaw(product.registry, 'Basic')]).toEqual([CREDENTIAL_HOSTS[title] ?? host]);
      for (const other of otherHosts) expect(hostsThatSaw(product.registry, 'Bearer')).not.toContain(other);
    });

  it('serves again what it has without asking for any of it', async () => {
    const product = await startProduct(wire, credentials === undefined ? 'none' : 'known');
    const repository = privateRepository ?? publicRepository ?? '';
    await pullAll(product, repository);
    product.registry.registry.forget();
    for (const { digest } of IMAGE.blobs) {
      const { status, headers } = await product.ask(`${repository}/blobs/${digest}`);
      expect([status, headers['x-cache']]).toEqual([200, expect.stringMatching(/^(?:HIT|JOINED)$/)]);
    }
    expect((await product.ask(`${repository}/manifests/v1`)).headers['x-cache']).toBe('HIT');
    expect(product.registry.registry.requests).toHaveLength(0);
  });

  it('goes on when every token and every signed URL has expired', async () => {
    const product = await startProduct(wire, credentials === undefined ? 'none' : 'known');
    const repository = privateRepository ?? publicRepository ?? '';
    const [first] = IMAGE.blobs;
    expect((await product.ask(`${repository}/manifests/v1`)).status).toBe(200);
    expect((await product.ask(`${repository}/blobs/${first?.digest ?? ''}`, 'HEAD')).status).toBe(200);
    product.registry.expireAll();
    await pullAll(product, repository);
  });

  it('says of what is missing that it is not there, in our own words', async () => {
    const product = await startProduct(wire, 'none');
    const endpoints = ['manifests/v1', `manifests/${IMAGE.root.digest}`];
    if (wire.sharesBlobs !== true) endpoints.push(`blobs/${IMAGE.blobs[0]?.digest ?? ''}`);
    for (const endpoint of [...endpoints, 'tags/list', `referrers/${IMAGE.root.digest}`]) {
      expectOwnError(await product.ask(`no/such/thing/${endpoint}`), 404);
    }
    const name = publicRepository;
    if (name !== undefined) expectOwnError(await product.ask(`${name}/manifests/no-such-tag`), 404);
  });

  if (privateRepository !== undefined)
    it('says of what is private to who has no credentials that it is not there, in our own words', async () => {
      const product = await startProduct(wire, 'none');
      for (const endpoint of ['manifests/v1', `blobs/${IMAGE.blobs[0]?.digest ?? ''}`, 'tags/list']) {
        expectOwnError(await product.ask(`${privateRepository}/${endpoint}`), 404);
      }
    });

  if (credentials !== undefined)
    it('says of what is missing as much as it tells who has credentials', async () => {
      const product = await startProduct(wire, 'known');
      expectOwnError(await product.ask('no/such/thing/manifests/v1'), wire.missingWithCredentials);
      const held = privateRepository ?? publicRepository ?? '';
      expectOwnError(await product.ask(`${held}/manifests/no-such-tag`), 404);
    });

  if (credentials !== undefined)
    it('is not asked over and over with credentials that it refuses', async () => {
      const product = await startProduct(wire, 'wrong');
      const repository = privateRepository ?? publicRepository ?? '';
      for (let tries = 0; tries < 12; tries += 1) {
        expectOwnError(await product.ask(`${repository}/manifests/v1`), 403);
      }
      const tried = product.registry.registry.requests.filter(({ headers }) =>
        headers.authorization?.startsWith('Basic '),
      );
      expect(tried.length).toBeLessThanOrEqual(wire.refusesBy403 === true ? 24 : 4);
      expect(JSON.stringify(product.app.logLines)).not.toContain('canary');
    });

  it.each(wire.limits.map((limit) => [limit.what, limit] as const))(
    'ends a 429 that is %s as one with a time to wait, and serves what it has meanwhile',
    async (_, limit) => {
      const product = await startProduct(wire, credentials === undefined ? 'none' : 'known', { tagTtlMs: 0 });
      const repository = privateRepository ?? publicRepository ?? '';
      await pullAll(product, repository);
      const { registry } = product.registry;
      const { status = 429, headers, body } = limit;
      registry.faults.add({
        match: { path: /^\/v2\/.*\/manifests\// },
        action: { respond: { status, headers, body } },
      });
      // The first one is told at once: who names no time is not waited for.
      const cold = await product.ask(`${repository}/manifests/other`);
      expectOwnError(cold, 429);
      expect(cold.body.toString()).toContain('TOOMANYREQUESTS');
      const seconds = Number(cold.headers['retry-after']);
      expect(seconds).toBeGreaterThan((limit.retryAfter ?? 5) - 5);
      expect(seconds).toBeLessThanOrEqual(limit.retryAfter ?? 5);
      const stale = await product.ask(`${repository}/manifests/v1`);
      expect([stale.status, stale.headers['x-cache']]).toEqual([200, 'STALE']);
    },
  );
});
