import type { Digest } from '../oci/digest.ts';
import { OCI_INDEX } from '../oci/media-type.ts';

/** An image of a layout. */
export interface LayoutRoot {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** In full, such as docker.io/library/nginx:1.27. Absent: it goes by its digest. */
  readonly name?: string | undefined;
  /** Of what refers to another image: that image. */
  readonly subject?: Digest | undefined;
}

/**
 * `index.json`: what the layout's images are called. containerd and newer Docker go by the first annotation, all others
 * by the second, which stands in full too: two repositories may have the same tag. Referrers are marked as containerd marks
 * them, so that none is taken for an image.
 */
export function indexDocument(roots: readonly LayoutRoot[]): string {
  const manifests = roots.map(({ mediaType, digest, sizeBytes, name, subject }) => ({
    mediaType,
    digest,
    size: sizeBytes,
    annotations: {
      ...(name !== undefined && {
        'io.containerd.image.name': name,
        'org.opencontainers.image.ref.name': name,
      }),
      ...(subject !== undefined && { 'io.containerd.manifest.subject': subject }),
    },
  }));
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests });
}
