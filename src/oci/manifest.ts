import { type Descriptor, descriptorFrom } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { bareMediaType, isIndexMediaType, MANIFEST_MEDIA_TYPES } from './media-type.ts';

/**
 * The largest manifest taken from an upstream. The distribution spec asks registries to take 4 MB; containerd
 * refuses more than 4,393,216 bytes, so nothing larger can be pulled anyway.
 */
export const MANIFEST_SIZE_LIMIT = 4 * 1024 * 1024;

/** More descriptors than any real image has; bounds the rows that one manifest can cause. */
const DESCRIPTOR_COUNT_LIMIT = 20_000;

/** What entrepot needs to know of a manifest; its bytes stay as they are. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** Everything listed: children of an index; config and layers of a manifest. In document order, each digest once. */
  readonly descriptors: readonly Descriptor[];
  readonly isIndex: boolean;
  /** Of a manifest that has one. */
  readonly config: Digest | undefined;
}

/** Why a document is not taken as a manifest. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/**
 * Reads a manifest as an upstream sent it under `contentType`.
 * Refused: other media types; a `mediaType` field that differs from the header; a document that is manifest and index
 * at once (CVE-2021-41190); what is not a JSON object.
 * @throws ManifestError
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): ManifestFacts {
  const mediaType = bareMediaType(contentType);
  if (mediaType === undefined || !MANIFEST_MEDIA_TYPES.includes(mediaType)) {
    throw new ManifestError(`content type ${JSON.stringify(contentType ?? '')} is not a manifest's`);
  }
  const document = parseObject(bytes);
  const declared = document['mediaType'];
  if (declared !== undefined && declared !== mediaType) {
    throw new ManifestError('the document names another media type than the Content-Type header');
  }
  const isIndex = isIndexMediaType(mediaType);
  const foreign = new Set(isIndex ? ['config', 'layers', 'fslayers'] : ['manifests', 'fslayers']);
  // Go's decoders take keys in any case, so another spelling would be another reading of the same bytes.
  const clash = Object.keys(document).find((key) => foreign.has(key.toLowerCase()));
  if (clash !== undefined)
    throw new ManifestError(`a ${isIndex ? 'index' : 'manifest'} with ${clash} is ambiguous`);
  const config = isIndex ? undefined : descriptorFrom(document['config'])?.digest;
  return { mediaType, isIndex, descriptors: listed(document, isIndex), config };
}

/** What the document itself says that it is. @throws ManifestError when it is not a JSON object */
export function declaredMediaType(bytes: Uint8Array): string | undefined {
  const { mediaType } = parseObject(bytes);
  return typeof mediaType === 'string' ? mediaType : undefined;
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw new ManifestError('the document is not JSON', { cause });
  }
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new ManifestError('the document is not a JSON object');
  }
  return document as Record<string, unknown>;
}

function listed(document: Record<string, unknown>, isIndex: boolean): readonly Descriptor[] {
  const lists = isIndex ? [document['manifests']] : [[document['config']], document['layers']];
  const values = lists.flatMap((list): unknown[] => (Array.isArray(list) ? list : []));
  if (values.length > DESCRIPTOR_COUNT_LIMIT)
    throw new ManifestError('the document lists too many descriptors');
  const byDigest = new Map<string, Descriptor>();
  for (const value of values) {
    const descriptor = descriptorFrom(value);
    if (descriptor !== undefined && !byDigest.has(descriptor.digest))
      byDigest.set(descriptor.digest, descriptor);
  }
  return [...byDigest.values()];
}
