import { expect, vi } from 'vitest';
import type { Digest } from '../../src/oci/digest.ts';
import { type ExportScene, exportScene } from '../commands/export-scene.ts';
import { get } from '../support/http-get.ts';
import { buildImage, buildReferrer, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

export const IMAGE = buildImage({ seed: 1, platforms: ['linux/amd64', 'linux/arm64'] });
export const SBOM = buildReferrer(IMAGE.root, { artifactType: 'text/spdx', payload: 'an SBOM' });
/** A signature of the SBOM, and one of cosign's of one platform's image. */
export const SIGNATURE = buildReferrer(SBOM.manifest, {
  artifactType: 'text/signature',
  payload: 'of the SBOM',
});
export const COSIGN = buildImage({ seed: 9, layerSizes: [100] });

/** All of them cached, as a client has them that asks for referrers and for cosign's tag. */
export async function signedImage({ without }: { readonly without?: Digest } = {}): Promise<ExportScene> {
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
  }, SOON);
  await app.close();
  return scene;
}
