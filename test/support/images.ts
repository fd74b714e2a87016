import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../../src/oci/digest.ts';
import { DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { sourceBytes } from './byte-source.ts';
import type { FakeContent } from './fake-content.ts';
import { generatedBlob } from './generated-blob.ts';
import { tarArchive } from './tar-archive.ts';

export interface ImageRecipe {
  /** Bytes of incompressible file content in each layer. Default: two layers, of 2,000 and 5,000 bytes. */
  readonly layerSizes?: readonly number[];
  /** `os/architecture` each. Default: linux/amd64. */
  readonly platforms?: readonly string[];
  /** Whether there is an index above the manifests. Default: when there are several platforms. */
  readonly index?: boolean;
  readonly flavour?: 'oci' | 'docker';
  /** Two seeds give two images. Default 1. */
  readonly seed?: number;
  /** A first layer that is the same in every image with this seed and size, whatever the image's own seed. */
  readonly base?: { readonly size: number; readonly seed: number };
}

/** Some content with its descriptor. */
export interface BuiltContent {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** One platform's manifest and what it lists. */
export interface BuiltManifest extends BuiltContent {
  readonly platform: string;
  readonly config: BuiltContent;
  readonly layers: readonly BuiltContent[];
}

/** An image that container engines can unpack and run through `docker create`; its files are data only. */
export interface BuiltImage {
  /** What a tag points to: the index, or the one manifest. */
  readonly root: BuiltContent;
  readonly index: BuiltContent | undefined;
  readonly manifests: readonly BuiltManifest[];
  /** Configs and layers of all platforms, each digest once. */
  readonly blobs: readonly BuiltContent[];
}

const TYPES = {
  oci: {
    index: OCI_INDEX,
    manifest: OCI_MANIFEST,
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    index: DOCKER_MANIFEST_LIST,
    manifest: DOCKER_MANIFEST,
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

/** Equal recipes give equal bytes. */
export function buildImage(recipe: ImageRecipe = {}): BuiltImage {
  const { platforms = ['linux/amd64'], flavour = 'oci' } = recipe;
  const manifests = platforms.map((platform, number) => buildManifest(recipe, platform, number));
  const withIndex = recipe.index ?? platforms.length > 1;
  const index = withIndex
    ? jsonContent(TYPES[flavour].index, {
        schemaVersion: 2,
        mediaType: TYPES[flavour].index,
        manifests: manifests.map((manifest) => {
          const [os, architecture] = manifest.platform.split('/');
          return { ...descriptorOf(manifest), platform: { architecture, os } };
        }),
      })
    : undefined;
  const root = index ?? manifests[0];
  if (!root) throw new Error('an image without an index needs a platform');
  const blobs = new Map<Digest, BuiltContent>();
  for (const { config, layers } of manifests) {
    for (const blob of [config, ...layers]) blobs.set(blob.digest, blob);
  }
  return { root, index, manifests, blobs: [...blobs.values()] };
}

/** Puts all of it into a repository of a fake registry. */
export function pushTo(
  registry: Pick<FakeContent, 'addBlob' | 'addManifest'>,
  { repository, tag, image }: { repository: string; tag: string; image: BuiltImage },
): void {
  for (const { bytes } of image.blobs) registry.addBlob(repository, bytes);
  for (const { bytes, mediaType } of image.manifests) registry.addManifest(repository, bytes, mediaType);
  registry.addManifest(repository, image.root.bytes, image.root.mediaType, [tag]);
}

/** Writes an OCI image layout, which `skopeo copy oci:<directory>:<tag>` reads. For images of OCI flavour. */
export async function writeOciLayout(directory: string, image: BuiltImage, tag: string): Promise<void> {
  const contents = [image.root, ...image.manifests, ...image.blobs];
  for (const { digest, bytes } of contents) {
    const folder = join(directory, 'blobs', digestAlgorithm(digest));
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, digestHex(digest)), bytes);
  }
  const entry = {
    ...descriptorOf(image.root),
    annotations: { 'org.opencontainers.image.ref.name': tag },
  };
  await writeFile(join(directory, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
  await writeFile(
    join(directory, 'index.json'),
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [entry] }),
  );
}

/** The manifest of an artifact that refers to `subject`, as a signature or an SBOM does, with its blobs. */
export function buildReferrer(
  subject: BuiltContent,
  { artifactType, payload }: { readonly artifactType: string; readonly payload: string },
): { readonly manifest: BuiltContent; readonly blobs: readonly BuiltContent[] } {
  const config = content('application/vnd.oci.empty.v1+json', Buffer.from('{}'));
  const layer = content('application/octet-stream', Buffer.from(payload));
  const manifest = jsonContent(OCI_MANIFEST, {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    artifactType,
    config: descriptorOf(config),
    layers: [descriptorOf(layer)],
    subject: descriptorOf(subject),
  });
  return { manifest, blobs: [config, layer] };
}

/** What a manifest or an index says of it. */
export function descriptorOf({ mediaType, digest, size }: BuiltContent): {
  mediaType: string;
  digest: Digest;
  size: number;
} {
  return { mediaType, digest, size };
}

function buildManifest(recipe: ImageRecipe, platform: string, number: number): BuiltManifest {
  const { layerSizes = [2000, 5000], flavour = 'oci', seed = 1, base } = recipe;
  const recipes = layerSizes.map((size, layer) => ({ size, seed: seed * 10_000 + number * 1000 + layer }));
  const archives = (base ? [base, ...recipes] : recipes).map(({ size, seed: layerSeed }, layer) =>
    tarArchive([
      { path: 'data/' },
      {
        path: `data/layer-${layer}.bin`,
        bytes: sourceBytes(generatedBlob({ size, seed: layerSeed })),
      },
    ]),
  );
  const layers = archives.map((archive) => content(TYPES[flavour].layer, gzipSync(archive, { level: 1 })));
  const [os, architecture] = platform.split('/');
  const created = '2030-01-01T00:00:00Z';
  const config = jsonContent(TYPES[flavour].config, {
    created,
    architecture,
    os,
    config: { Env: ['PATH=/bin'], Cmd: ['/data'], Labels: { seed: String(seed) } },
    rootfs: { type: 'layers', diff_ids: archives.map((archive) => digestOf(archive)) },
    history: archives.map((_, layer) => ({ created, created_by: `layer ${layer}` })),
  });
  const manifest = jsonContent(TYPES[flavour].manifest, {
    schemaVersion: 2,
    mediaType: TYPES[flavour].manifest,
    config: descriptorOf(config),
    layers: layers.map(descriptorOf),
  });
  return { ...manifest, platform, config, layers };
}

function content(mediaType: string, bytes: Buffer): BuiltContent {
  return { digest: digestOf(bytes), size: bytes.length, mediaType, bytes };
}

function jsonContent(mediaType: string, document: unknown): BuiltContent {
  return content(mediaType, Buffer.from(JSON.stringify(document, undefined, 2)));
}
