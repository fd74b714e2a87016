import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { type BuiltContent, buildImage, buildReferrer, descriptorOf, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { warm } from './warming-under-test.ts';

const INDEX = 'application/vnd.oci.image.index.v1+json';
const REPOSITORY = 'library/app';

async function start(options: FakeRegistryOptions = {}) {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
  pushTo(registry, { repository: REPOSITORY, tag: 'v1', image });
  const add = (subject: BuiltContent, payload: string): BuiltContent => {
    const { manifest, blobs } = buildReferrer(subject, { artifactType: 'application/spdx+json', payload });
    for (const { bytes } of blobs) registry.addBlob(REPOSITORY, bytes);
    registry.addManifest(REPOSITORY, manifest.bytes, manifest.mediaType);
    return manifest;
  };
  const isHere = async (digest: string) =>
    (await get(`${app.url}/v2/${REPOSITORY}/manifests/${digest}`)).headers['x-cache'] === 'HIT';
  return { registry, app, image, add, isHere };
}

const tagOf = ({ digest }: BuiltContent, suffix = '') => `${digest.replace(':', '-')}${suffix}`;

describe('warming with referrers', () => {
  it('brings in what refers to the image and to its platforms, and what refers to that', async () => {
    const { registry, app, image, add, isHere } = await start();
    const [amd64] = image.manifests;
    if (amd64 === undefined) throw new Error('no manifest');
    const sbom = add(image.root, 'an sbom');
    const signature = add(sbom, 'a signature of it');
    const attestation = add(amd64, 'an attestation');
    await warm(app, ['docker.io/library/app:v1']);
    expect(await isHere(sbom.digest)).toBe(false);
    const { done, of } = await warm(app, ['docker.io/library/app:v1'], { withReferrers: true });
    expect(of('failed')).toEqual([]);
    expect(done).toMatchObject({ images: { whole: 1 }, manifests: { failed: 0 } });
    await registry.stop();
    for (const { digest } of [sbom, signature, attestation]) expect(await isHere(digest)).toBe(true);
    const listed = await get(`${app.url}/v2/${REPOSITORY}/referrers/${image.root.digest}`);
    expect(JSON.parse(listed.body.toString())).toMatchObject({ manifests: [{ digest: sbom.digest }] });
  });

  it('finds them by cosign’s tags', async () => {
    const { registry, app, image, isHere } = await start();
    const tags = ['.sig', '.att', '.sbom'].map((suffix) => tagOf(image.root, suffix));
    // Without a subject, as cosign makes them.
    for (const [at, tag] of tags.entries())
      pushTo(registry, {
        repository: REPOSITORY,
        tag,
        image: buildImage({ seed: 50 + at, layerSizes: [900] }),
      });
    const { done } = await warm(app, ['docker.io/library/app:v1'], { withReferrers: true });
    expect(done).toMatchObject({ images: { whole: 1 }, manifests: { fetched: 6 }, failures: [] });
    await registry.stop();
    for (const tag of tags) expect(await isHere(tag)).toBe(true);
  });

  it('finds them by the tag that stands for the API where there is none', async () => {
    const { registry, app, image, add, isHere } = await start({ referrers: false });
    const sbom = add(image.root, 'an sbom');
    const list = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: [descriptorOf(sbom)] });
    registry.addManifest(REPOSITORY, list, INDEX, [tagOf(image.root)]);
    const { done } = await warm(app, ['docker.io/library/app:v1'], { withReferrers: true });
    expect(done).toMatchObject({ images: { whole: 1 }, failures: [] });
    await registry.stop();
    expect(await isHere(sbom.digest)).toBe(true);
    expect(await isHere(tagOf(image.root))).toBe(true);
  });

  it('ends where they refer to each other in a circle', async () => {
    const { registry, app, image } = await start();
    const list = descriptorOf(image.root);
    registry.addReferrer(REPOSITORY, image.root.digest, list);
    for (const manifest of image.manifests) registry.addReferrer(REPOSITORY, manifest.digest, list);
    const { done } = await warm(app, ['docker.io/library/app:v1'], { withReferrers: true });
    expect(done).toMatchObject({ images: { whole: 1 }, manifests: { fetched: 3 } });
  });

  it('says what of them is missing', async () => {
    const { registry, app, image, add } = await start();
    const sbom = add(image.root, 'an sbom');
    registry.deleteManifest(REPOSITORY, sbom.digest);
    const { of, done } = await warm(app, ['docker.io/library/app:v1'], { withReferrers: true });
    expect(of('failed')).toMatchObject([{ digest: sbom.digest, reason: 'not-found' }]);
    expect(done.images).toEqual({ total: 1, whole: 0, failed: 1 });
  });
});
