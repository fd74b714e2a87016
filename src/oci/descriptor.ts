import { type Digest, digestFrom } from './digest.ts';
import { type Platform, platformFrom } from './platform.ts';

/** What a manifest says of another piece of content (image-spec, "OCI Content Descriptors"). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /**
   * False for a layer that the registry need not hold: one with `urls`, or of a non-distributable type. Listing it
   * proves nothing about the repository's content.
   */
  readonly held: boolean;
  /** Of a child of an index that names one. */
  readonly platform?: Platform | undefined;
  /** Of an index's child that is BuildKit's attestation: the child that it is about. */
  readonly attests?: Digest | undefined;
}

/** `undefined` for anything that is not a descriptor with a digest that entrepot can verify. */
export function descriptorFrom(value: unknown): Descriptor | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mediaType, digest, size, urls, platform, annotations } = value as Record<string, unknown>;
  const parsed = digestFrom(digest);
  if (parsed === undefined || typeof mediaType !== 'string') return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const foreign = /nondistributable|\.foreign\./.test(mediaType) || (Array.isArray(urls) && urls.length > 0);
  const runsOn = platformFrom(platform);
  const attests = attestedBy(annotations);
  return {
    mediaType,
    digest: parsed,
    size,
    held: !foreign,
    ...(runsOn !== undefined && { platform: runsOn }),
    ...(attests !== undefined && { attests }),
  };
}

/** As BuildKit annotates the attestations in its indexes. */
function attestedBy(annotations: unknown): Digest | undefined {
  if (typeof annotations !== 'object' || annotations === null) return undefined;
  const named = annotations as Record<string, unknown>;
  if (named['vnd.docker.reference.type'] !== 'attestation-manifest') return undefined;
  return digestFrom(named['vnd.docker.reference.digest']);
}
