import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { get } from '../../support/http-get.ts';
import { ARTIFACTORY, NEXUS } from '../../support/registries/artifactory.ts';
import { DISTRIBUTION_BEARER } from '../../support/registries/distribution.ts';
import { DOCKER_HUB } from '../../support/registries/docker-hub.ts';
import { ECR, ECR_PUBLIC } from '../../support/registries/ecr.ts';
import { EmulatedRegistry } from '../../support/registries/emulated-registry.ts';
import { GHCR } from '../../support/registries/ghcr.ts';
import { GCR } from '../../support/registries/google.ts';
import { HARBOR } from '../../support/registries/harbor.ts';
import { NVIDIA } from '../../support/registries/nvidia.ts';
import { KUBERNETES } from '../../support/registries/open-registries.ts';
import { QUAY } from '../../support/registries/quay.ts';
import { RED_HAT } from '../../support/registries/red-hat.ts';
import { buildImage, pushTo } from '../../support/images.ts';
import { startApp } from '../../support/running-app.ts';
import { expectOwnError, hostsThatSaw, IMAGE, pullAll, startProduct } from './product-under-test.ts';

const blob = IMAGE.blobs[0]?.digest ?? '';

describe('Docker Hub', () => {
  it('is asked for library/ where a name has one component', async () => {
    const { ask, registry } = await startProduct(DOCKER_HUB, 'none');
    expect((await ask('nginx/manifests/v1')).status).toBe(200);
    expect(registry.requestsTo(DOCKER_HUB.host).every(({ path }) => path.includes('/library/nginx/'))).toBe(
      true,
    );
  });

  it('with its quota used up still revalidates by HEAD, and tells metrics what is left', async () => {
    const { ask, app, registry } = await startProduct(DOCKER_HUB, 'known', { tagTtlMs: 0 });
    await pullAll({ ask, app, registry }, 'library/nginx');
    const image = buildImage({ seed: 2 });
    pushTo(registry.registry.content, { repository: 'acme/secret', tag: 'other', image });
    const [quota] = DOCKER_HUB.limits;
    const match = { method: 'GET', path: /\/manifests\// };
    registry.registry.faults.add({ match, action: { respond: { status: 429, ...quota } } });
    const again = await ask('library/nginx/manifests/v1');
    expect([again.status, again.headers['x-cache']]).toEqual([200, 'REVALIDATED']);
    expectOwnError(await ask('acme/secret/manifests/other'), 429);
    // What is here already needs no GET, whichever repository it came from.
    expect((await ask('acme/secret/manifests/v1')).status).toBe(200);
    const metrics = (await get(`${app.adminUrl}/metrics`)).body.toString();
    expect(metrics).toMatch(/^entrepot_upstream_ratelimit_remaining\{.*account="acme".*\} \d+$/m);
    expect(metrics).toMatch(/^entrepot_upstream_ratelimit_limit\{.*\} 100$/m);
  });

  it('keeps a blob that breaks off going, though the URL it came from is no good any more', async () => {
    const { ask, registry } = await startProduct(DOCKER_HUB, 'none');
    const large = registry.registry.addBlob('library/nginx', { size: 3_000_000, seed: 9 });
    const path = new RegExp(`^/bucket/${large}`);
    registry.registry.faults.add({ match: { path, nth: 1 }, action: { cutAfter: 1_000_000 } });
    const pulled = await ask(`library/nginx/blobs/${large}`);
    expect([pulled.status, pulled.digest, pulled.complete]).toEqual([200, large, true]);
    const urls = registry.requestsTo('production.cloudflare.docker.com').map(({ target }) => target);
    expect(new Set(urls).size).toBe(urls.length);
    expect(urls.length).toBeGreaterThan(1);
  });
});

describe('Quay', () => {
  it('says of an expired tag that it is not there', async () => {
    const { ask } = await startProduct(QUAY, 'none');
    expectOwnError(await ask('coreos/etcd/manifests/expired'), 404);
  });

  it('is never asked without naming what we take, whatever our client takes', async () => {
    const { app, registry } = await startProduct(QUAY, 'none');
    const pulled = await get(`${app.url}/v2/coreos/etcd/manifests/v1`);
    expect([pulled.status, pulled.digest]).toEqual([200, IMAGE.root.digest]);
    const asked = registry.requestsTo('quay.io').filter(({ path }) => path.includes('/manifests/'));
    expect(asked.every(({ headers }) => headers.accept?.includes('vnd.oci.image.index') === true)).toBe(true);
  });
});

it.each([
  ['GHCR', GHCR],
  ['registry.k8s.io', KUBERNETES],
])('%s is not asked for referrers, which it has not', async (_, wire) => {
  const { ask, registry } = await startProduct(wire, 'none');
  const name = wire.publicRepository ?? '';
  const answer = await ask(`${name}/referrers/${IMAGE.root.digest}`);
  expectOwnError(answer, 404);
  expect(answer.body.toString()).not.toContain('NAME_UNKNOWN');
  expect(registry.registry.requests).toHaveLength(0);
});

it('registry.k8s.io is asked for tags without a query, which it would lose', async () => {
  const { ask, registry } = await startProduct(KUBERNETES, 'none');
  expect((await ask('pause/tags/list?n=1')).status).toBe(200);
  expect(registry.registry.requests.map(({ target }) => target)).toEqual([
    '/v2/pause/tags/list',
    '/v2/k8s-artifacts-prod/images/pause/tags/list',
  ]);
});

describe('ECR', () => {
  it('tells the size of a blob although its storage refuses HEAD', async () => {
    const { ask } = await startProduct(ECR, 'known');
    const head = await ask(`team/app/blobs/${blob}`, 'HEAD');
    expect([head.status, Number(head.headers['content-length'])]).toEqual([200, IMAGE.blobs[0]?.size]);
  });

  it('Public gets a new token when it answers an old one with 400', async () => {
    const { ask, registry } = await startProduct(ECR_PUBLIC, 'none');
    expect((await ask('nginx/nginx/manifests/v1')).status).toBe(200);
    registry.expireAll();
    expect((await ask(`nginx/nginx/blobs/${blob}`)).digest).toBe(blob);
    expect(registry.registry.count({ path: /^\/token\/$/ })).toBe(2);
  });

  it('Public is not asked for the HEAD of a blob', async () => {
    const { ask, registry } = await startProduct(ECR_PUBLIC, 'none');
    expect((await ask(`nginx/nginx/blobs/${blob}`, 'HEAD')).status).toBe(200);
    expect(registry.registry.count({ method: 'HEAD' })).toBe(0);
  });
});

describe('Harbor', () => {
  it('that answers an expired token with Basic never gets the password but at its token service', async () => {
    const { ask, registry } = await startProduct(HARBOR, 'known');
    expect((await ask('team/app/manifests/v1')).status).toBe(200);
    registry.expireAll();
    expect((await ask(`team/app/blobs/${blob}`)).digest).toBe(blob);
    const basic = registry.registry.requests.filter(({ headers }) =>
      headers.authorization?.startsWith('Basic'),
    );
    expect(new Set(basic.map(({ path }) => path))).toEqual(new Set(['/service/token']));
  });

  it('has a blob that a proxy project denies to HEAD', async () => {
    const { ask } = await startProduct(HARBOR, 'none');
    expect((await ask(`proxy/library/nginx/blobs/${blob}`, 'HEAD')).status).toBe(200);
    const generic = await startProduct({ ...HARBOR, chosen: false }, 'none');
    expectHead(await generic.ask(`proxy/library/nginx/blobs/${blob}`, 'HEAD'), 404);
  });
});

describe('nvcr.io', () => {
  it('is asked anew for a challenge when a token expires, and the other realm is left alone', async () => {
    for (const auth of ['none', 'known'] as const) {
      const { ask, registry } = await startProduct(NVIDIA, auth);
      expect((await ask('nvidia/cuda/manifests/v1')).status).toBe(200);
      registry.expireAll();
      expect((await ask(`nvidia/cuda/blobs/${blob}`)).digest).toBe(blob);
      expect(registry.requestsTo('authn.nvidia.com')).toHaveLength(0);
    }
  });

  it('gives manifests as text, which our client gets under their type', async () => {
    const { ask } = await startProduct(NVIDIA, 'none');
    for (const method of ['HEAD', 'GET']) {
      const { status, headers } = await ask('nvidia/cuda/manifests/v1', method);
      expect([status, headers['content-type']]).toEqual([200, IMAGE.root.mediaType]);
    }
  });
});

describe('Artifactory and Nexus', () => {
  it('are not believed that a manifest is a blob', async () => {
    const { ask } = await startProduct(ARTIFACTORY, 'none');
    expectHead(await ask(`docker-public/app/blobs/${IMAGE.root.digest}`, 'HEAD'), 404);
  });

  it('may have no list of tags', async () => {
    const { ask, registry } = await startProduct(NEXUS, 'known');
    registry.registry.addBlob('team/untagged', { size: 10, seed: 1 });
    const { status, body } = await ask('team/untagged/tags/list');
    expect([status, JSON.parse(body.toString())]).toEqual([200, { name: 'team/untagged', tags: [] }]);
  });
});

it('gcr.io challenges at /v2/ only, which is asked once', async () => {
  const product = await startProduct(GCR, 'none');
  await pullAll(product, 'distroless/static');
  expect(product.registry.registry.count({ path: /^\/v2\/$/ })).toBe(1);
});

it('Red Hat compresses nothing for us, whatever our client takes', async () => {
  const { app, registry } = await startProduct(RED_HAT, 'none');
  const headers = { 'accept-encoding': 'gzip', accept: '*/*' };
  for (const endpoint of ['manifests/v1', `blobs/${blob}`]) {
    const answer = await get(`${app.url}/v2/ubi9/ubi/${endpoint}`, { headers });
    expect([answer.status, answer.headers['content-encoding']]).toEqual([200, undefined]);
  }
  expect(
    registry.registry.requests.every(({ headers: sent }) => sent['accept-encoding'] === 'identity'),
  ).toBe(true);
});

it('a token service on another domain gets no credentials unless it is trusted', async () => {
  const registry = closeAfterTest(await EmulatedRegistry.start(DISTRIBUTION_BEARER));
  const { credentials: auth, upstream: name, privateRepository } = DISTRIBUTION_BEARER;
  const app = await startApp({
    upstreams: [{ name, url: registry.url(), ...(auth && { auth }) }],
    lookup: registry.lookup,
  });
  const answer = await get(`${app.url}/v2/${privateRepository}/manifests/v1`);
  expectOwnError(answer, 502);
  expect(answer.body.toString()).toContain('trustedHosts');
  expect(hostsThatSaw(registry, 'Basic').size).toBe(0);
});

function expectHead(answer: { readonly status: number; readonly length: number }, status: number): void {
  expect([answer.status, answer.length]).toEqual([status, 0]);
}
