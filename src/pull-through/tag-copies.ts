import type { MetadataStore, RepositoryKey, TagRow } from '../metadata/metadata-store.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { Tag } from '../oci/reference.ts';
import type { Manifest, ManifestDocuments } from './manifest-documents.ts';
import type { OutcomeReason } from './outcome-reason.ts';
import type { RepositoryContents } from './repository-contents.ts';

/** What a tag meant when the upstream was last asked, and the document is here. */
export interface TagCopy {
  readonly manifest: Manifest;
  readonly checkedAt: number;
}

export interface TagCopiesParts {
  readonly metadata: MetadataStore;
  readonly contents: RepositoryContents;
  readonly documents: ManifestDocuments;
}

/** How the index names the set of all types. */
export const EVERY_KIND = '';

export function acceptKey(accepted: readonly string[]): string {
  return accepted.length === MANIFEST_MEDIA_TYPES.length ? EVERY_KIND : accepted.join();
}

/** What is known of tags: a row for each set of accepted types. Asks nobody. */
export class TagCopies {
  readonly #parts: TagCopiesParts;

  constructor(parts: TagCopiesParts) {
    this.#parts = parts;
  }

  /** The manifest that the tag last meant: by the upstream's last word of those that count for this client. */
  async find(key: RepositoryKey, tag: Tag, accepted: readonly string[]): Promise<TagCopy | undefined> {
    let best: TagCopy | undefined;
    for (const accept of new Set([EVERY_KIND, acceptKey(accepted)])) {
      const row = await this.row(key, tag, accept);
      if (row === undefined || (best !== undefined && row.checkedAt <= best.checkedAt)) continue;
      const manifest = await this.#parts.documents.held(key, row.digest);
      if (manifest === undefined) continue;
      // What the upstream gave to this very set of types it would give again, whatever it is.
      const isTaken = accept !== EVERY_KIND || accepted.includes(manifest.mediaType);
      if (isTaken) best = { manifest, checkedAt: row.checkedAt };
    }
    return best;
  }

  /** Why `find` found none. */
  async whyNone(key: RepositoryKey, tag: Tag, accepted: readonly string[]): Promise<OutcomeReason> {
    const row = (await this.row(key, tag, acceptKey(accepted))) ?? (await this.row(key, tag, EVERY_KIND));
    if (row === undefined) return 'tag-unknown';
    const isHere = (await this.#parts.documents.held(key, row.digest)) !== undefined;
    return isHere ? 'other-types' : 'not-stored';
  }

  row(key: RepositoryKey, tag: Tag, accept: string): Promise<TagRow | undefined> {
    const { contents, metadata } = this.#parts;
    return contents.guard(() => metadata.tag({ ...key, tag, accept }));
  }

  async put(key: RepositoryKey, tag: Tag, accepted: readonly string[], row: TagRow): Promise<void> {
    const { contents, metadata } = this.#parts;
    await contents.guard(() => metadata.putTag({ ...key, tag, accept: acceptKey(accepted) }, row));
  }
}
