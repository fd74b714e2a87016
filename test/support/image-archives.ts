import { gunzipSync } from 'node:zlib';
import type { KeyObject } from 'node:crypto';
import {
  BUNDLE_MANIFEST_NAME,
  BUNDLE_SIGNATURE_NAME,
  type BundleManifest,
} from '../../src/bundle/bundle-manifest.ts';
import { signatureOf } from '../../src/bundle/signature.ts';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts';
import { type BuiltContent, type BuiltImage, descriptorOf } from './images.ts';
import type { TarEntry } from './tar-archive.ts';

/** Files of archives as various programs write them, in their order. */

export interface NamedImage {
  readonly image: BuiltImage;
  /** As annotations; none: it has no name. */
  readonly fullName?: string;
  readonly refName?: string;
}

/** With the bytes of some entries changed. */
export function replaced(
  entries: readonly TarEntry[],
  isMeant: (path: string) => boolean,
  change: (bytes: Buffer) => Buffer,
): readonly TarEntry[] {
  return entries.map(({ path, bytes = Buffer.alloc(0) }) => {
    return { path, bytes: isMeant(path) ? change(Buffer.from(bytes)) : bytes };
  });
}

export function json(path: string, document: unknown): TarEntry {
  return { path, bytes: Buffer.from(JSON.stringify(document)) };
}

export function blobEntry({ digest, bytes }: Pick<BuiltContent, 'digest' | 'bytes'>): TarEntry {
  return { path: `blobs/sha256/${digestHex(digest)}`, bytes };
}

/** Manifests first, each content once. */
export function contentsOf(images: readonly BuiltImage[]): readonly BuiltContent[] {
  const all = images.flatMap(({ root, manifests, blobs }) => [root, ...manifests, ...blobs]);
  return [...new Map(all.map((content) => [content.digest, content])).values()];
}

export function layoutIndex(images: readonly NamedImage[]): TarEntry {
  const manifests = images.map(({ image, fullName, refName }) => ({
    ...descriptorOf(image.root),
    annotations: {
      ...(fullName !== undefined && { 'io.containerd.image.name': fullName }),
      ...(refName !== undefined && { 'org.opencontainers.image.ref.name': refName }),
    },
  }));
  return json('index.json', { schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}

/** An OCI layout with its index at its end, as skopeo and containerd write it. */
export function layoutEntries(images: readonly NamedImage[]): readonly TarEntry[] {
  return [
    ...contentsOf(images.map(({ image }) => image)).map(blobEntry),
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    layoutIndex(images),
  ];
}

/** As `docker save` of 1.10 to 24: one directory for each layer, a manifest for docker alone, no OCI. */
export function dockerSaveEntries(
  images: readonly { image: BuiltImage; tags: readonly string[] }[],
): readonly TarEntry[] {
  const saved = images.map(({ image, tags }) => {
    const [manifest] = image.manifests;
    if (manifest === undefined) throw new Error('an image of one platform is needed');
    const layers = manifest.layers.map(({ bytes }) => {
      const tar = gunzipSync(bytes);
      return { path: `${digestHex(digestOf(Buffer.from(`id of ${digestOf(tar)}`)))}/layer.tar`, bytes: tar };
    });
    const { config } = manifest;
    return { tags, layers, config: { path: `${digestHex(config.digest)}.json`, bytes: config.bytes } };
  });
  const layers = new Map(saved.flatMap((one) => one.layers.map((layer) => [layer.path, layer])));
  return [
    ...[...layers.values()].flatMap((layer) => [
      { path: layer.path.replace('layer.tar', '') },
      { path: layer.path.replace('layer.tar', 'VERSION'), bytes: Buffer.from('1.0') },
      { path: layer.path.replace('layer.tar', 'json'), bytes: Buffer.from('{"id":"x"}') },
      layer,
    ]),
    ...saved.map(({ config }) => config),
    json(
      'manifest.json',
      saved.map(({ config, layers: own, tags }) => ({
        Config: config.path,
        RepoTags: tags.length === 0 ? null : tags,
        Layers: own.map(({ path }) => path),
      })),
    ),
    json('repositories', {}),
  ];
}

export interface BundleRecipe {
  readonly images: readonly {
    image: BuiltImage;
    upstream: string;
    repository: string;
    tags: readonly string[];
  }[];
  readonly checkedAt?: number;
  readonly signingKey?: KeyObject;
  /** What the other side has. */
  readonly leftOut?: readonly BuiltContent[];
}

/** As entrepot writes it: what a reader needs first comes first. */
export function bundleEntries({
  images,
  checkedAt = Date.now() - 3_600_000,
  signingKey,
  leftOut = [],
}: BundleRecipe): readonly TarEntry[] {
  const files = [
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    layoutIndex(
      images.map(({ image, upstream, repository, tags }) => {
        return { image, fullName: `${upstream}/${repository}:${tags[0] ?? 'none'}` };
      }),
    ),
  ];
  const contents = contentsOf(images.map(({ image }) => image)).filter((one) => !leftOut.includes(one));
  const manifest: BundleManifest = {
    entrepotBundle: 1,
    createdAt: new Date(checkedAt).toISOString(),
    createdBy: 'test',
    platforms: [],
    images: images.map(({ image, upstream, repository, tags }) => ({
      upstream,
      repository: parseRepositoryName(repository),
      tags: tags.map(parseTag),
      digest: image.root.digest,
      mediaType: image.root.mediaType,
      checkedAt,
    })),
    contents: contents.map(({ digest, size }) => [digest, size]),
    leftOut: leftOut.map(({ digest, size }) => [digest, size]),
    files: Object.fromEntries(
      files.map(({ path, bytes = Buffer.alloc(0) }) => [path, [digestOf(bytes), bytes.length]]),
    ),
  };
  const own = Buffer.from(JSON.stringify(manifest));
  const [mark, ...others] = files;
  return [
    ...(mark === undefined ? [] : [mark]),
    { path: BUNDLE_MANIFEST_NAME, bytes: own },
    ...(signingKey === undefined
      ? []
      : [{ path: BUNDLE_SIGNATURE_NAME, bytes: Buffer.from(signatureOf(own, signingKey)) }]),
    ...others,
    ...contents.map(blobEntry),
  ];
}
