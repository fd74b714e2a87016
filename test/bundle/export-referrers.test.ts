import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bundleManifest } from '../../src/bundle/bundle-manifest.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { tarEntries } from '../commands/export-scene.ts';
import { COSIGN, IMAGE, SBOM, SIGNATURE, signedImage } from './signed-scene.ts';

interface ListedRoot {
  readonly digest: Digest;
  readonly annotations: Readonly<Record<string, string>>;
}

test('what refers to an image comes with it: by the API, by cosign’s tags, and what refers to that', async () => {
  const { run, workingDir } = await signedImage();
  const ended = await run('export', 'app:v1', '--with-referrers', '--output', 'signed.tar');
  expect(ended).toMatchObject({ code: 0 });
  const entries = await tarEntries(join(workingDir, 'signed.tar'));
  for (const { digest, bytes } of [
    COSIGN.root,
    ...COSIGN.blobs,
    SBOM.manifest,
    ...SBOM.blobs,
    SIGNATURE.manifest,
    ...SIGNATURE.blobs,
  ])
    expect(entries.get(`blobs/${digest.replace(':', '/')}`)?.equals(bytes)).toBe(true);
  const { images } = bundleManifest.parse(JSON.parse(String(entries.get('entrepot.json'))));
  expect(images.map(({ digest, subject }) => [digest, subject])).toEqual([
    [IMAGE.root.digest, undefined],
    [SBOM.manifest.digest, IMAGE.root.digest],
    [SIGNATURE.manifest.digest, SBOM.manifest.digest],
    [COSIGN.root.digest, IMAGE.manifests[0]?.digest],
  ]);
  // None of them is taken for an image that somebody runs.
  const { manifests } = JSON.parse(String(entries.get('index.json'))) as { manifests: readonly ListedRoot[] };
  expect(manifests.map(({ annotations }) => annotations['io.containerd.manifest.subject'])).toEqual(
    images.map(({ subject }) => subject),
  );
  expect(manifests[1]?.annotations['io.containerd.image.name']).toBeUndefined();
});

test('without being asked for it does not', async () => {
  const { run, workingDir } = await signedImage();
  await run('export', 'app:v1', '--output', 'plain.tar');
  const entries = await tarEntries(join(workingDir, 'plain.tar'));
  const { images } = bundleManifest.parse(JSON.parse(String(entries.get('entrepot.json'))));
  expect(images.map(({ digest }) => digest)).toEqual([IMAGE.root.digest]);
});

test('one that is listed and not cached is told, and the image is written', async () => {
  const { run, workingDir } = await signedImage({ without: SIGNATURE.manifest.digest });
  const ended = await run('export', 'app:v1', '--with-referrers', '--output', 'signed.tar');
  expect(ended).toMatchObject({ code: 1 });
  expect(ended.stderr).toContain(SIGNATURE.manifest.digest);
  const entries = await tarEntries(join(workingDir, 'signed.tar'));
  expect(entries.has(`blobs/${IMAGE.root.digest.replace(':', '/')}`)).toBe(true);
});
