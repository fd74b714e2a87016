import { type Descriptor, descriptorFrom } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { ImageArchive } from './image-archive.ts';
import { jsonOf } from './layout-json.ts';
import { objectFrom } from './json-object.ts';
import { LayoutError } from './layout-error.ts';

/** What `index.json` of an OCI layout lists (image-spec, "Image Layout"). */
export interface FoundRoot {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
  /** In full, as containerd and Docker annotate it. */
  readonly fullName: string | undefined;
  /** A name, or a tag alone: `org.opencontainers.image.ref.name`. */
  readonly refName: string | undefined;
}

const ROOT_COUNT_LIMIT = 50_000;

/** Does it say that it is one? */
export function isImageLayout({ entries }: ImageArchive): boolean {
  return entries.has('index.json');
}

/** @throws LayoutError */
export async function layoutRoots(
  archive: ImageArchive,
  signal: AbortSignal,
): Promise<{ readonly roots: readonly FoundRoot[]; readonly remarks: readonly string[] }> {
  const { name } = archive;
  if (archive.entries.has('oci-layout')) {
    const { imageLayoutVersion: version } = objectFrom(await jsonOf(archive, 'oci-layout', signal));
    if (typeof version !== 'string' || !version.startsWith('1.'))
      throw new LayoutError('invalid', `${name}: oci-layout: is of another version than 1`);
  }
  const { manifests } = objectFrom(await jsonOf(archive, 'index.json', signal));
  if (!Array.isArray(manifests))
    throw new LayoutError('invalid', `${name}: index.json: has no list of manifests`);
  if (manifests.length > ROOT_COUNT_LIMIT)
    throw new LayoutError('too-large', `${name}: index.json: lists more than ${ROOT_COUNT_LIMIT} manifests`);
  const remarks: string[] = [];
  const roots = manifests.flatMap((value: unknown, at): FoundRoot[] => {
    const descriptor = descriptorFrom(value);
    if (descriptor === undefined)
      throw new LayoutError('invalid', `${name}: index.json: entry ${at + 1} is no descriptor`);
    if (MANIFEST_MEDIA_TYPES.includes(descriptor.mediaType)) return [rootOf(descriptor, value)];
    remarks.push(`index.json: entry ${at + 1} is no manifest (${descriptor.mediaType}), passed over`);
    return [];
  });
  return { roots, remarks: remarks.slice(0, 100) };
}

/** Where a layout has a blob, whether it has it or not. */
export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function rootOf({ digest, mediaType, size }: Descriptor, value: unknown): FoundRoot {
  const annotations = objectFrom(objectFrom(value)['annotations']);
  return {
    digest,
    mediaType,
    sizeBytes: size,
    fullName: textFrom(annotations['io.containerd.image.name']),
    refName: textFrom(annotations['org.opencontainers.image.ref.name']),
  };
}

function textFrom(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
