import type { Digest } from '../oci/digest.ts';
import { descriptorFrom } from '../oci/descriptor.ts';
import { blobPath } from './image-layout.ts';

/** An image in `manifest.json`, by which Docker before 25 loads. */
export interface DockerImage {
  readonly config: Digest;
  /** From the lowest to the topmost, as often as the image lists each. */
  readonly layers: readonly Digest[];
}

const CONFIG_TYPES: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);

/** @returns `undefined` for what no container runs from (a chart, a signature), or whose layers are elsewhere */
export function dockerImageOf(manifest: Uint8Array): DockerImage | undefined {
  const { config, layers } = JSON.parse(Buffer.from(manifest).toString()) as Record<string, unknown>;
  const named = descriptorFrom(config);
  if (named === undefined || !CONFIG_TYPES.has(named.mediaType) || !Array.isArray(layers)) return undefined;
  const listed = layers.map((layer: unknown) => descriptorFrom(layer));
  const held = listed.flatMap((layer) => (layer?.held === true ? [layer.digest] : []));
  return held.length === listed.length ? { config: named.digest, layers: held } : undefined;
}

/** `manifest.json`. @param images with their tags in full; those without are loaded without a name */
export function dockerManifest(
  images: readonly (DockerImage & { readonly tags: readonly string[] })[],
): string {
  return JSON.stringify(
    images.map(({ config, layers, tags }) => ({
      Config: blobPath(config),
      RepoTags: tags.length === 0 ? null : tags,
      Layers: layers.map(blobPath),
    })),
  );
}
