import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { readManifest } from '../../src/oci/manifest.ts';
import { buildImage, writeOciLayout } from './images.ts';
import { tempDir } from './temp-dir.ts';

it.each(['oci', 'docker'] as const)('builds a multi-platform image of %s flavour', (flavour) => {
  const image = buildImage({
    flavour,
    platforms: ['linux/amd64', 'linux/arm64'],
    base: { size: 100, seed: 3 },
  });
  const root = readManifest(image.root.bytes, image.root.mediaType);
  expect(root.descriptors.map(({ digest }) => digest)).toEqual(image.manifests.map(({ digest }) => digest));
  for (const manifest of image.manifests) {
    const { descriptors } = readManifest(manifest.bytes, manifest.mediaType);
    expect(descriptors.map(({ digest }) => digest)).toEqual(
      [manifest.config, ...manifest.layers].map(({ digest }) => digest),
    );
    const config = JSON.parse(manifest.config.bytes.toString()) as { rootfs: { diff_ids: string[] } };
    expect(config.rootfs.diff_ids).toEqual(manifest.layers.map(({ bytes }) => digestOf(gunzipSync(bytes))));
  }
  const [first, second] = image.manifests;
  expect(first?.layers[0]?.digest).toBe(second?.layers[0]?.digest);
  expect(first?.layers[1]?.digest).not.toBe(second?.layers[1]?.digest);
  expect(image.blobs).toHaveLength(7);
});

it('makes layers that tar reads', () => {
  const [layer] = buildImage({ layerSizes: [3000] }).manifests[0]?.layers ?? [];
  const listing = execFileSync('tar', ['-tzvf', '-'], { input: layer?.bytes }).toString();
  expect(listing).toMatch(/drwxr-xr-x 0\/0 +0 .* data\/\n-rw-r--r-- 0\/0 +3000 .* data\/layer-0\.bin\n/);
});

it('makes equal bytes of equal recipes', () => {
  expect(buildImage({ seed: 5 }).root.digest).toBe(buildImage({ seed: 5 }).root.digest);
  expect(buildImage({ seed: 6 }).root.digest).not.toBe(buildImage({ seed: 5 }).root.digest);
});

it('writes an image layout', async () => {
  const directory = await tempDir();
  const image = buildImage({ index: true });
  await writeOciLayout(directory, image, 'v1');
  const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as {
    manifests: { digest: string }[];
  };
  expect(index.manifests[0]?.digest).toBe(image.root.digest);
  for (const { digest, bytes } of [image.root, ...image.manifests, ...image.blobs]) {
    expect(await readFile(join(directory, 'blobs/sha256', digestHex(digest)))).toEqual(bytes);
  }
});
