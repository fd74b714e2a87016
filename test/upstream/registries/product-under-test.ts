import { expect } from 'vitest';
import { profileFor } from '../../../src/config-profile.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { MANIFEST_MEDIA_TYPES } from '../../../src/oci/media-type.ts';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { get, type GetResult } from '../../support/http-get.ts';
import { type BuiltImage, buildImage, buildReferrer, pushTo } from '../../support/images.ts';
import { EmulatedRegistry, type Wire } from '../../support/registries/emulated-registry.ts';
import { type RunningApp, startApp } from '../../support/running-app.ts';

export const IMAGE = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
export const SIGNATURE = buildReferrer(IMAGE.root, {
  artifactType: 'application/x.signature',
  payload: 'ok',
});
const ACCEPT = { accept: MANIFEST_MEDIA_TYPES.join(', ') };

/** The whole product in front of one emulated registry. */
export interface ProductUnderTest {
  readonly registry: EmulatedRegistry;
  readonly app: RunningApp;
  readonly ask: (endpoint: string, method?: string) => Promise<GetResult>;
}

/** @param auth `known`: the wire's own credentials; `wrong`: the same user with another password */
export async function startProduct(
  wire: Wire,
  auth: 'known' | 'wrong' | 'none',
  options: { readonly tagTtlMs?: number } = {},
): Promise<ProductUnderTest> {
  const registry = closeAfterTest(await EmulatedRegistry.start(wire));
  for (const repository of [wire.publicRepository, wire.privateRepository]) {
    if (repository !== undefined) pushImage(registry, repository);
  }
  const credentials =
    auth === 'wrong' && wire.credentials
      ? { ...wire.credentials, password: 'wrong-canary' }
      : wire.credentials;
  const upstream = { name: wire.upstream, url: registry.url() };
  const app = await startApp({
    upstreams: [
      {
        ...upstream,
        trustedHosts: registry.trustedHosts,
        profile: profileFor(upstream, wire.chosen === true ? { base: wire.profile } : undefined),
        ...(auth !== 'none' && credentials && { auth: credentials }),
        ...options,
      },
    ],
    lookup: registry.lookup,
  });
  const ask = async (endpoint: string, method = 'GET'): Promise<GetResult> =>
    get(`${app.url}/v2/${endpoint}`, { method, headers: ACCEPT });
  return { registry, app, ask };
}

function pushImage({ registry }: EmulatedRegistry, repository: string): void {
  pushTo(registry.content, { repository, tag: 'v1', image: IMAGE });
  for (const { bytes } of SIGNATURE.blobs) registry.addBlob(repository, bytes);
  registry.addManifest(repository, SIGNATURE.manifest.bytes, SIGNATURE.manifest.mediaType);
}

/** Everything that a client does with an image: its tags, all manifests and blobs by HEAD and GET, its referrers. */
export async function pullAll(
  { ask, registry }: ProductUnderTest,
  repository: string,
  image: BuiltImage = IMAGE,
): Promise<void> {
  const tag = await ask(`${repository}/manifests/v1`, 'HEAD');
  expect([tag.status, tag.headers['docker-content-digest']]).toEqual([200, image.root.digest]);
  expect(tag.headers['content-type']).toBe(image.root.mediaType);
  expect(Number(tag.headers['content-length'])).toBe(image.root.size);
  for (const { digest } of [image.root, ...image.manifests]) {
    const manifest = await ask(`${repository}/manifests/${digest === image.root.digest ? 'v1' : digest}`);
    expect([manifest.status, digestOf(manifest.body)]).toEqual([200, digest]);
    expect(manifest.headers['content-encoding']).toBeUndefined();
  }
  const [first] = image.blobs;
  const head = await ask(`${repository}/blobs/${first?.digest ?? ''}`, 'HEAD');
  expect([head.status, Number(head.headers['content-length'])]).toEqual([200, first?.size]);
  const blobs = await Promise.all(image.blobs.map(({ digest }) => ask(`${repository}/blobs/${digest}`)));
  expect(blobs.map(({ status, digest }) => [status, digest])).toEqual(
    image.blobs.map(({ digest }) => [200, digest]),
  );
  const tags = await ask(`${repository}/tags/list`);
  expect([tags.status, JSON.parse(tags.body.toString())]).toEqual([200, { name: repository, tags: ['v1'] }]);
  const referrers = await ask(`${repository}/referrers/${image.root.digest}`);
  expect(referrers.status).toBe(registry.wire.referrers ? 200 : 404);
  if (registry.wire.referrers) expect(referrers.body.toString()).toContain(SIGNATURE.manifest.digest);
}

/** An error of ours: OCI JSON, and never a challenge that a client would answer. */
export function expectOwnError(answer: GetResult, status: number): void {
  expect([answer.status, answer.body.toString()]).toEqual([
    status,
    expect.stringMatching(/^\{"errors":\[\{"code":/),
  ]);
  expect(answer.headers['content-type']).toMatch(/^application\/json/);
  expect(answer.headers['www-authenticate']).toBeUndefined();
}

/** The hosts that saw an `Authorization` header, by its scheme. */
export function hostsThatSaw(registry: EmulatedRegistry, scheme: 'Basic' | 'Bearer'): Set<string> {
  const { host, otherHosts } = registry.wire;
  return new Set(
    [host, ...otherHosts].filter((name) =>
      registry.requestsTo(name).some(({ headers }) => headers.authorization?.startsWith(`${scheme} `)),
    ),
  );
}
