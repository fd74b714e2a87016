import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { bundleManifest } from '../../src/bundle/bundle-manifest.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { type ExportScene, exportScene, tarEntries } from '../commands/export-scene.ts';
import { get } from '../support/http-get.ts';
import { buildImage, buildReferrer, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

const IMAGE = buildImage({ seed: 1, platforms: ['linux/amd64', 'linux/arm64'] });
const SBOM = buildReferrer(IMAGE.root, { artifactType: 'text/spdx', payload: 'an SBOM' });
/** A signature of the SBOM, and one of cosign's of one platform's image. */
const SIGNATURE = buildReferrer(SBOM.manifest, { artifactType: 'text/signature', payload: 'of the SBOM' });
const COSIGN = buildImage({ seed: 9, layerSizes: [100] });

interface ListedRoot {
  readonly digest: Digest;
  readonly annotations: Readonly<Record<string, string>>;
}

/** All of them cached, as a client has them that asks for referrers and for cosign's tag. */
async function signedImage({ without }: { readonly without?: Digest } = {}): Promise<ExportScene> {
  const scene = await exportScene([{ repository: 'library/app', tag: 'v1', image: IMAGE }]);
  const { registry, dataDir } = scene;
  const cosignTag = `${String(IMAGE.manifests[0]?.digest).replace(':', '-')}.sig`;
  pushTo(registry, { repository: 'library/app', tag: cosignTag, image: COSIGN });
  for (const { manifest, blobs } of [SBOM, SIGNATURE]) {
    for (const { bytes } of blobs) registry.addBlob('library/app', bytes);
    registry.addManifest('library/app', manifest.bytes, manifest.mediaType);
  }
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], dataDir });
  const base = `${app.url}/v2/library/app`;
  const paths = [
    `manifests/${cosignTag}`,
    ...COSIGN.blobs.map(({ digest }) => `blobs/${digest}`),
    ...[IMAGE.root, SBOM.manifest].map(({ digest }) => `referrers/${digest}`),
    ...[SBOM, SIGNATURE].map(({ manifest }) => `manifests/${manifest.digest}`),
    ...[...SBOM.blobs, ...SIGNATURE.blobs].map(({ digest }) => `blobs/${digest}`),
  ];
  const wanted = paths.filter((path) => without === undefined || !path.endsWith(`s/${without}`));
  for (const path of wanted) expect((await get(`${base}/${path}`)).status).toBe(200);
  const stored = new Set(
    wanted.filter((path) => !path.startsWith('referrers/')).map((path) => path.split('/')[1]),
  );
  const own = [IMAGE.root, ...IMAGE.manifests, ...IMAGE.blobs].length;
  await vi.waitFor(async () => {
    const status = await (await fetch(`${app.adminUrl}/api/v1/status`)).json();
    expect(status).toMatchObject({ blobs: own + stored.size });
  });
  await app.close();
  return scene;
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
