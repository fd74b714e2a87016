import type { ContentKind } from '../metadata/stored-blobs.ts';
import type { NewManifest } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ManifestFacts } from '../oci/manifest.ts';

/** What the index is told of a manifest that was read: all that it lists, and what of that its repository must hold. */
export function newManifest(
  digest: Digest,
  sizeBytes: number,
  { mediaType, isIndex, descriptors, config }: ManifestFacts,
): NewManifest {
  const kindOf = (child: Digest): ContentKind => {
    if (isIndex) return 'manifest';
    return child === config ? 'config' : 'layer';
  };
  const children = descriptors
    .filter((child) => child.digest !== digest)
    .map((child) => ({
      digest: child.digest,
      sizeBytes: child.size,
      kind: kindOf(child.digest),
      isHeld: child.held && !isIndex,
    }));
  return { digest, sizeBytes, mediaType, isIndex, children };
}
