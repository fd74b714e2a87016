import { declaredMediaType, ManifestError, type ManifestFacts, readManifest } from '../oci/manifest.ts';

/** The types of documents that do not name one: OCI lets them leave it out. */
const UNNAMED = [
  { list: '"manifests"', mediaType: 'application/vnd.oci.image.index.v1+json' },
  { list: '"layers"', mediaType: 'application/vnd.oci.image.manifest.v1+json' },
] as const;

const OPENING_BRACE = 0x7b;

/** What bytes are that were found without any word on them: `undefined` when they are no manifest that lists anything. */
export function recognizedManifest(bytes: Buffer): ManifestFacts | undefined {
  if (bytes[0] !== OPENING_BRACE) return undefined;
  try {
    const mediaType = declaredMediaType(bytes) ?? UNNAMED.find(({ list }) => bytes.includes(list))?.mediaType;
    if (mediaType === undefined) return undefined;
    const facts = readManifest(bytes, mediaType);
    return facts.descriptors.length > 0 ? facts : undefined;
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}
