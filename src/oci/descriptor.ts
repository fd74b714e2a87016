import { type Digest, digestFrom } from './digest.ts';

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
}

/** `undefined` for anything that is not a descriptor with a digest that entrepot can verify. */
export function descriptorFrom(value: unknown): Descriptor | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { mediaType, digest, size, urls } = value as Record<string, unknown>;
  const parsed = digestFrom(digest);
  if (parsed === undefined || typeof mediaType !== 'string') return undefined;
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) return undefined;
  const foreign = /nondistributable|\.foreign\./.test(mediaType) || (Array.isArray(urls) && urls.length > 0);
  return { mediaType, digest: parsed, size, held: !foreign };
}
