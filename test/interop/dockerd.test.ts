import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { DockerDaemon } from '../support/docker-daemon.ts';
import type { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import type { EntrepotProcess } from '../support/entrepot-process.ts';
import { eachBlobOnce } from '../support/image-layout.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const MULTI_PLATFORM = { platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [2000, 3_000_000] };

interface Setting {
  readonly upstream: DockerRegistryProcess;
  readonly entrepot: EntrepotProcess;
  readonly daemon: DockerDaemon;
}

/** A Docker daemon whose only mirror is entrepot, whose only upstream is a docker-registry. */
async function settle(image: BuiltImage, config: Readonly<Record<string, unknown>> = {}): Promise<Setting> {
  const scene = await RegistryScene.start({ 'docker.io': { 'library/sample:v1': image } }, config);
  const { entrepot } = scene;
  const daemon = await DockerDaemon.start({ 'registry-mirrors': [entrepot.url] });
  return { upstream: scene.upstream('docker.io'), entrepot, daemon };
}

function outcomes(entrepot: EntrepotProcess, kind: string): readonly unknown[] {
  return entrepot.requests.filter((facts) => facts['kind'] === kind).map((facts) => facts['outcome']);
}

function configDigests(image: BuiltImage): readonly string[] {
  return image.manifests.map(({ config }) => config.digest);
}

describeWith({ programs: ['dockerd', 'docker-registry'], root: true }, 'a Docker daemon', () => {
  test.each(['oci', 'docker'] as const)(
    'pulls a cold image of %s flavour through its mirror, and has what the upstream has',
    async (flavour) => {
      const image = buildImage({ flavour, layerSizes: [1000, 2_000_000, 500] });
      const { upstream, entrepot, daemon } = await settle(image);
      await daemon.pull('sample:v1');

      const pulled = await daemon.image('sample:v1');
      expect(pulled.Id).toBe(configDigests(image)[0]);
      expect(pulled.RepoDigests).toEqual([`sample@${image.root.digest}`]);
      expect(pulled.RootFS.Layers).toHaveLength(3);
      // It came through us, and each part was asked for upstream once.
      await expect.poll(() => outcomes(entrepot, 'blob')).toEqual(Array(4).fill('miss'));
      expect([...upstream.blobGets.keys()].toSorted()).toEqual(
        image.blobs.map(({ digest }) => digest).toSorted(),
      );
      expect([...upstream.blobGets.values()]).toEqual([1, 1, 1, 1]);
      expect(upstream.manifestGets).toHaveLength(1);
    },
  );

  test('pulls cold and warm through two workers, each part asked for upstream once', async () => {
    const image = buildImage({ layerSizes: [1000, 2_000_000, 3_000_000] });
    const { upstream, entrepot, daemon } = await settle(image, { workers: 2 });
    for (const outcome of ['miss', 'hit']) {
      await daemon.pull('sample:v1');
      expect((await daemon.image('sample:v1')).Id).toBe(configDigests(image)[0]);
      await expect.poll(() => outcomes(entrepot, 'blob').slice(-4)).toEqual(Array(4).fill(outcome));
      await daemon.remove('sample:v1');
    }
    expect([...upstream.blobGets.values()]).toEqual([1, 1, 1, 1]);
  });

  test('unpacks the very files that the image was made of', async () => {
    const image = buildImage({ layerSizes: [100_000] });
    const { daemon } = await settle(image);
    await daemon.pull('sample:v1');
    const layer = gunzipSync(image.manifests[0]?.layers[0]?.bytes ?? '');
    expect((await daemon.image('sample:v1')).RootFS.Layers).toEqual([digestOf(layer)]);
    // Behind the headers of the directory and of the file in it.
    const file = layer.subarray(1024, 1024 + 100_000);
    expect((await daemon.save('sample:v1')).includes(file)).toBe(true);
  });

  test.each(['1h', '0s'])('pulls warm, and with the upstream away (tags live for %s)', async (tagTtl) => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, entrepot, daemon } = await settle(image, { cache: { tagTtl } });
    await daemon.pull('sample:v1');
    await daemon.remove('sample:v1');
    upstream.forget();
    const pulled = { Id: configDigests(image)[0], RepoDigests: [`sample@${image.root.digest}`] };

    await daemon.pull('sample:v1');
    expect(await daemon.image('sample:v1')).toMatchObject(pulled);
    await expect.poll(() => outcomes(entrepot, 'blob').slice(-3)).toEqual(['hit', 'hit', 'hit']);
    // The tag is asked about after its lifetime, by HEAD, which counts against nobody's pull limit.
    expect(new Set(upstream.accesses.map(({ method }) => method))).toEqual(
      new Set(tagTtl === '0s' ? ['HEAD'] : []),
    );

    await daemon.remove('sample:v1');
    await upstream.stop();
    await daemon.pull('sample:v1');
    expect(await daemon.image('sample:v1')).toMatchObject(pulled);
    await expect.poll(() => outcomes(entrepot, 'manifest').includes('stale')).toBe(tagTtl === '0s');
  });

  test('two at once have a cold image, each blob fetched once', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, entrepot, daemon } = await settle(image);
    const both = [daemon, await DockerDaemon.start({ 'registry-mirrors': [entrepot.url] })];
    await Promise.all(both.map((one) => one.pull('sample:v1')));
    for (const one of both) {
      expect(await one.image('sample:v1')).toMatchObject({
        Id: configDigests(image)[0],
        RepoDigests: [`sample@${image.root.digest}`],
      });
    }
    expect(upstream.blobGets).toEqual(eachBlobOnce(image, 'linux/amd64'));
    expect(upstream.manifestGets).toHaveLength(2);
    await expect.poll(() => outcomes(entrepot, 'blob')).toHaveLength(2 * 3);
  });

  test('pulls both platforms of an index, each with its own layers', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { upstream, daemon } = await settle(image);
    for (const [number, { platform }] of image.manifests.entries()) {
      await daemon.pull('sample:v1', { platform });
      const pulled = await daemon.image('sample:v1');
      expect(pulled.Id).toBe(configDigests(image)[number]);
      expect(pulled.Architecture).toBe(platform.split('/')[1]);
    }
    expect(upstream.blobGets).toEqual(eachBlobOnce(image));
  });

  test('pulls by digest', async () => {
    const image = buildImage(MULTI_PLATFORM);
    const { daemon } = await settle(image);
    await daemon.pull(`sample@${image.root.digest}`);
    expect((await daemon.image(`sample@${image.root.digest}`)).Id).toBe(configDigests(image)[0]);
  });

  test('pulls from another registry by a path that names it', async () => {
    const image = buildImage();
    const { upstream, entrepot, daemon } = await settle(image);
    // No client adds library/ where the host is not Docker Hub's, so we do.
    const reference = `${entrepot.host}/docker.io/sample:v1`;
    await daemon.pull(reference);
    expect((await daemon.image(reference)).Id).toBe(configDigests(image)[0]);
    expect(upstream.manifestGets).toHaveLength(1);
  });

  test('gets a new image when its tag moves', async () => {
    const before = buildImage();
    const after = buildImage({ seed: 2 });
    const { upstream, daemon } = await settle(before, { cache: { tagTtl: '0s' } });
    await daemon.pull('sample:v1');
    await upstream.push('library/sample', 'v1', after);
    await daemon.pull('sample:v1');
    expect((await daemon.image('sample:v1')).Id).toBe(configDigests(after)[0]);
  });

  test('is told that an image does not exist, and nothing is kept of it', async () => {
    const { entrepot, daemon } = await settle(buildImage());
    // After a mirror's 404 it asks Docker Hub, which has no such image either, or cannot be reached.
    await expect(daemon.pull('sample:absent')).rejects.toThrow('pull sample:absent');
    await expect.poll(() => entrepot.requests[0]).toMatchObject({ status: 404 });
    expect(await entrepot.metric('entrepot_store_blobs')).toBe(0);
  });
});
