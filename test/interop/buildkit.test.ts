import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestHex } from '../../src/oci/digest.ts';
import { sourceBytes } from '../support/byte-source.ts';
import { BuildkitDaemon } from '../support/buildkit-daemon.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { eachBlobOnce } from '../support/image-layout.ts';
import { buildImage } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { RegistryScene } from '../support/registry-scene.ts';

const REGISTRY = 'quay.example';
const IMAGE = `${REGISTRY}/team/app:v1`;
const LAYER_SIZE = 1_500_000;

/** A mirror's own table says how it is reached: the path goes behind `/v2`. */
function mirrorToml(host: string): string {
  return [
    `[registry."${REGISTRY}"]`,
    `mirrors = ["${host}/${REGISTRY}"]`,
    `[registry."${host}"]`,
    'http = true',
    '',
  ].join('\n');
}

describeWith(
  { programs: ['buildkitd', 'buildctl', 'crun', 'docker-registry'], root: true },
  'BuildKit',
  () => {
    test('builds from an image of its mirror cold, warm and with the upstream away', async () => {
      const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [LAYER_SIZE] });
      const scene = await RegistryScene.start(
        { 'docker.io': { 'team/app:v1': buildImage({ seed: 2 }) }, [REGISTRY]: { 'team/app:v1': image } },
        { cache: { tagTtl: '0s' } },
      );
      const upstream = scene.upstream(REGISTRY);
      const buildkit = await BuildkitDaemon.start(mirrorToml(scene.entrepot.host));
      // The layer of the first platform; the recipe is buildImage's.
      const expected = sourceBytes(generatedBlob({ size: LAYER_SIZE, seed: 10_000 }));
      const build = async (name: string) => {
        const output = await buildkit.build(name, `FROM ${IMAGE}\n`);
        const file = await readFile(join(output, 'data', 'layer-0.bin'));
        expect(file.equals(expected)).toBe(true);
        await buildkit.prune();
      };
      await build('cold');
      const [config, layer] = [image.manifests[0]?.config.digest, image.manifests[0]?.layers[0]?.digest];
      expect(upstream.blobGets).toEqual(new Map([config, layer].map((digest) => [digest, 1])));
      upstream.forget();
      await build('warm');
      expect(upstream.blobGets.size).toBe(0);
      expect(upstream.manifestGets).toEqual([]);
      await upstream.stop();
      await build('alone');
      expect(scene.upstream('docker.io').accesses).toEqual([]);
      await expect.poll(() => scene.entrepot.requests.some(({ outcome }) => outcome === 'stale')).toBe(true);
    });

    test('two at once build for all platforms of a cold image, each blob fetched once', async () => {
      const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [LAYER_SIZE] });
      const scene = await RegistryScene.start({ [REGISTRY]: { 'team/app:v1': image } });
      await Promise.all(
        ['first', 'second'].map(async (name) => {
          const buildkit = await BuildkitDaemon.start(mirrorToml(scene.entrepot.host));
          const platforms = `platform=${image.manifests.map(({ platform }) => platform).join(',')}`;
          const output = await buildkit.build(
            name,
            `FROM ${IMAGE}\n`,
            platforms,
            'attest:provenance=mode=min',
          );
          for (const [number, { platform }] of image.manifests.entries()) {
            const place = join(output, platform.replace('/', '_'));
            const file = await readFile(join(place, 'data', 'layer-0.bin'));
            const seed = 10_000 + number * 1000;
            expect(file.equals(sourceBytes(generatedBlob({ size: LAYER_SIZE, seed })))).toBe(true);
            // What it says the build was made of is what the upstream has.
            expect(await readFile(join(place, 'provenance.json'), 'utf8')).toContain(
              digestHex(image.root.digest),
            );
          }
        }),
      );
      expect(scene.upstream(REGISTRY).blobGets).toEqual(eachBlobOnce(image));
      expect(scene.upstream(REGISTRY).manifestGets).toHaveLength(1 + image.manifests.length);
    });
  },
);
