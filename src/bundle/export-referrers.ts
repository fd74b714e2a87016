import type { StoreContents } from '../cache/store-contents.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import { descriptorFrom } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';
import { printImageName } from '../oci/image-reference.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import { type ExportImage, exportImages } from './export-images.ts';

/** cosign's tags for signatures, attestations and SBOMs, and the distribution spec's for registries without the API. */
const SUFFIXES = ['.sig', '.att', '.sbom', ''] as const;

/** Finds what refers to content of a repository: by referrers lists, and by tags that are named after a digest. */
export class ReferrerFinder {
  readonly #operations: Pick<StoreOperations, 'images'>;
  readonly #contents: Pick<StoreContents, 'referrers'>;
  /** Of one repository after the other: its tags that are named after a digest. */
  #tagged: { readonly name: string; readonly images: ReadonlyMap<string, ExportImage> } | undefined;

  constructor(operations: Pick<StoreOperations, 'images'>, contents: Pick<StoreContents, 'referrers'>) {
    this.#operations = operations;
    this.#contents = contents;
  }

  /** What the index here knows to refer to `subject`; its manifests may be here or not. */
  async find(
    { upstream, repository }: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<readonly ExportImage[]> {
    const key = { upstream, repository };
    const tagged = await this.#taggedIn(key, signal);
    const found: ExportImage[] = [];
    for (const suffix of SUFFIXES) {
      const image = tagged.get(`${digestAlgorithm(subject)}-${digestHex(subject)}${suffix}`);
      if (image !== undefined) found.push({ ...image, subject });
    }
    for (const listed of await this.#contents.referrers(key, subject, signal)) {
      const descriptor = descriptorFrom(listed);
      if (descriptor === undefined || !MANIFEST_MEDIA_TYPES.includes(descriptor.mediaType)) continue;
      const { digest, mediaType } = descriptor;
      found.push({
        ...key,
        digest,
        mediaType,
        name: printImageName({ ...key, digest }),
        checkedAt: 0,
        subject,
      });
    }
    return found;
  }

  async #taggedIn(key: RepositoryKey, signal: AbortSignal): Promise<ReadonlyMap<string, ExportImage>> {
    const name = printImageName(key);
    if (this.#tagged?.name !== name) {
      const tags = { text: 'digests', matches: (tag: string) => /^sha(?:256|512)-[0-9a-f]{64}/.test(tag) };
      const selection = { images: [key], patterns: [], tags };
      const { images } = await exportImages(selection, this.#operations, signal);
      this.#tagged = { name, images: new Map(images.map((image) => [image.tag ?? '', image])) };
    }
    return this.#tagged.images;
  }
}
