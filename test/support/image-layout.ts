import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Digest, digestHex } from '../../src/oci/digest.ts';
import type { BuiltImage } from './images.ts';

/** An OCI image layout that a client wrote names the image and holds it, byte for byte. */
export async function expectImageInLayout(directory: string, image: BuiltImage): Promise<void> {
  expect(await namedInLayout(directory)).toContain(image.root.digest);
  for (const { digest, bytes } of [image.root, ...image.manifests, ...image.blobs]) {
    const stored = await readFile(join(directory, 'blobs', 'sha256', digestHex(digest)));
    expect(stored.equals(bytes), digest).toBe(true);
  }
}

/** The digests that its `index.json` names. */
async function namedInLayout(directory: string): Promise<readonly Digest[]> {
  const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8')) as {
    readonly manifests: readonly { readonly digest: Digest }[];
  };
  return index.manifests.map(({ digest }) => digest);
}

/** As `DockerRegistryProcess.blobGets` counts them when each blob was asked for once: all, or one platform's. */
export function eachBlobOnce(image: BuiltImage, platform?: string): ReadonlyMap<string, number> {
  const manifest = image.manifests.find((one) => one.platform === platform);
  const blobs = manifest ? [manifest.config, ...manifest.layers] : image.blobs;
  return new Map(blobs.map(({ digest }) => [digest, 1]));
}
