import { describe, expect, it } from 'vitest';
import { GENERIC, type RegistryProfile } from '../../src/config-profiles.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { HostTrust } from '../../src/upstream/host-trust.ts';
import { judgeRealm } from '../../src/upstream/realm-policy.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
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

async function registryWith(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  return registry;
}

function profile(facts: Partial<RegistryProfile>): { profile: RegistryProfile } {
  return { profile: { ...GENERIC, ...facts } };
}

describe('a profile', () => {
  it('without referrers says so without asking', async () => {
    const registry = await registryWith();
    const upstream = upstreamAt(registry.url, profile({ referrers: false }));
    const error = await failure(upstream.listReferrers(repository, digestOf(Buffer.from('x')), {}, never()));
    expect([error.reason, error.status]).toEqual(['not-found', 404]);
    expect(registry.requests).toHaveLength(0);
  });

  it('without HEAD of blobs asks for one byte of them', async () => {
    const registry = await registryWith({ headRefused: 404 });
    const digest = registry.addBlob(repository, { size: 3000, seed: 1 });
    const upstream = upstreamAt(registry.url, profile({ headBlobs: false }));
    expect(await upstream.headBlob(repository, digest, never())).toBe(3000);
    expect(registry.requests.map(({ method, headers }) => [method, headers.range])).toEqual([
      ['GET', 'bytes=0-0'],
    ]);
  });

  it.each([
    [0, ''],
    [7, '?n=7'],
  ])('with %i tags a page asks for the list as %j', async (tagsPerPage, query) => {
    const registry = await registryWith();
    const upstream = upstreamAt(registry.url, profile({ tagsPerPage }));
    expect(await upstream.listTags(repository, {}, never())).toEqual(['latest']);
    expect(registry.requests.map(({ target }) => target)).toEqual([`/v2/${repository}/tags/list${query}`]);
  });

  it('that hides what is missing tells whom it refuses that it may not exist', async () => {
    const auth = { mode: 'bearer', credentials: [{ ...credentials, repositories: /^other$/ }] } as const;
    const registry = await registryWith({ auth });
    const plain = upstreamAt(registry.url, { auth: credentials });
    const hiding = upstreamAt(registry.url, { auth: credentials, ...profile({ hidesMissing: true }) });
    const messages = await Promise.all(
      [plain, hiding].map(async (upstream) => {
        const { reason, message } = await failure(upstream.getManifest(repository, latest, once, never()));
        return `${reason}: ${message}`;
      }),
    );
    expect(messages[0]).toMatch(
      /^denied: 127\.0\.0\.1:\d+ answered 401 to the credentials under upstreams\.\S+\.auth$/,
    );
    expect(messages[1]).toMatch(
      /^denied: 127\.0\.0\.1:\d+ answered 401 to the credentials under upstreams\.\S+\.auth, which it also says of what does not/,
    );
  });

  it('with manifests as text takes their type from their own words', async () => {
    const registry = await registryWith();
    registry.faults.add({ action: { headers: { 'content-type': 'text/plain; charset=utf-8' } } });
    const upstream = upstreamAt(registry.url, profile({ textManifests: true }));
    expect((await upstream.headManifest(repository, latest, accept, never())).mediaType).toBeUndefined();
    const { facts } = await upstream.getManifest(repository, latest, accept, never());
    expect(facts.mediaType).toBe(OCI_MANIFEST);
    const strict = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(strict.reason).toBe('protocol');
  });

  it.each(['"mediaType": "text/html"', '"mediaType": 3', '"name": "no type"'])(
    'with manifests as text takes none that does not say what it is: {%s}',
    async (text) => {
      const registry = await registryWith();
      registry.faults.add({
        action: { respond: { status: 200, headers: { 'content-type': 'text/plain' }, body: `{${text}}` } },
      });
      const upstream = upstreamAt(registry.url, profile({ textManifests: true }));
      expect((await failure(upstream.getManifest(repository, latest, once, never()))).reason).toBe(
        'protocol',
      );
    },
  );

  it('lets its token hosts see the credentials over https, at their own port, and nobody else', () => {
    const trust = new HostTrust(new URL('https://nvcr.io'), [], ['authn.nvidia.com']);
    const verdict = (realm: string) => judgeRealm(realm, trust, true).verdict;
    expect(verdict('https://authn.nvidia.com/token')).toBe('credentials');
    expect(verdict('https://AUTHN.nvidia.com:443/token')).toBe('credentials');
    expect(verdict('http://authn.nvidia.com/token')).toBe('refused');
    expect(verdict('https://authn.nvidia.com:8443/token')).toBe('refused');
    expect(verdict('https://nvidia.com/token')).toBe('refused');
    expect(trust.standing({ hostname: 'authn.nvidia.com', port: 443 })).toBe('foreign');
  });
});
