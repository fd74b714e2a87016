import { LRUCache } from 'lru-cache';

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const DOCKER_MANIFEST_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

/**
 * The kinds of manifest that entrepot takes and always asks for together: with less, some registries convert to
 * other bytes under another digest. Schema 1 is not among them: its digest is not that of its bytes.
 */
export const MANIFEST_MEDIA_TYPES: readonly string[] = [
  OCI_INDEX,
  OCI_MANIFEST,
  DOCKER_MANIFEST_LIST,
  DOCKER_MANIFEST,
];

export function isIndexMediaType(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_MANIFEST_LIST;
}

/** Lower-cased type without parameters; `undefined` for an absent or empty header. */
export function bareMediaType(header: string | undefined): string | undefined {
  const bare = header?.split(';', 1)[0]?.trim().toLowerCase();
  return bare === '' ? undefined : bare;
}

/**
 * Which of the manifest kinds a client takes, by its `Accept` header's values (RFC 9110 §12.5.1; weights are ignored
 * but for `q=0`). No header, an empty one, or one that names no manifest kind at all means every kind.
 */
export function acceptedManifestTypes(headers: readonly string[]): readonly string[] {
  const text = headers.join();
  const known = acceptedBy.get(text);
  if (known !== undefined) return known;
  const accepted = readAccepted(headers);
  if (text.length <= KEPT_LENGTH) acceptedBy.set(text, accepted);
  return accepted;
}

/** Clients are of few kinds, and each sends the same header with every request. */
const KEPT_LENGTH = 1024;
const acceptedBy = new LRUCache<string, readonly string[]>({ max: 100 });

function readAccepted(headers: readonly string[]): readonly string[] {
  const qualities = new Map<string, number>();
  for (const text of headers.flatMap((header) => header.split(','))) {
    const range = parseMediaRange(text);
    if (range !== undefined) qualities.set(range.type, range.quality);
  }
  // The most specific range that fits decides.
  const qualityOf = (type: string) =>
    qualities.get(type) ?? qualities.get('application/*') ?? qualities.get('*/*') ?? 0;
  const accepted = MANIFEST_MEDIA_TYPES.filter((type) => qualityOf(type) > 0);
  return accepted.length === 0 ? MANIFEST_MEDIA_TYPES : accepted;
}

function parseMediaRange(text: string): { type: string; quality: number } | undefined {
  const [type, ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  if (type === undefined || type === '') return undefined;
  const weight = parameters.find((parameter) => parameter.startsWith('q='));
  const quality = weight === undefined ? 1 : Number(weight.slice(2));
  return { type, quality: Number.isFinite(quality) ? quality : 1 };
}
