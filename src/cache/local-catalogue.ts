import type { Clock } from '../clock.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { parseTag } from '../oci/reference.ts';
import type { CatalogueOperations, ImageQuery } from './catalogue-operations.ts';
import { ImageCatalogue } from './image-catalogue.ts';
import type { BlobEntryPage, ImageDetail, ImagePage } from './image-events.ts';
import { notFound } from './image-list.ts';
import { imageParts, type PlatformParts, platformSums } from './image-parts.ts';
import { parseImageText } from './image-text.ts';
import type { Pins } from './pins.ts';
import type { StoreContents } from './store-contents.ts';
import { StoreOperationError } from './store-operation-error.ts';
import { translated } from './translated.ts';

export interface LocalCatalogueParts {
  readonly metadata: MetadataStore;
  readonly contents: Pick<StoreContents, 'read' | 'lacking' | 'withheld'>;
  readonly pins: Pins;
  readonly clock: Clock;
  /** By which names are read. */
  readonly upstreams: () => readonly NamedUpstream[];
}

/** Tags of an image that are told with their history. */
const TAGS_LIMIT = 200;

/** Pages of what is stored in this process. */
export class LocalCatalogue implements CatalogueOperations {
  readonly #parts: LocalCatalogueParts;
  readonly #images: ImageCatalogue;

  constructor(parts: LocalCatalogueParts) {
    this.#parts = parts;
    this.#images = new ImageCatalogue(parts);
  }

  images(query: ImageQuery, signal: AbortSignal): Promise<ImagePage> {
    return translated(this.#images.page(query, signal));
  }

  image(text: string, signal: AbortSignal): Promise<ImageDetail> {
    return translated(this.#detail(text, signal));
  }

  blobs(
    { limit, after = '0' }: { readonly limit: number; readonly after?: string | undefined },
    signal: AbortSignal,
  ): Promise<BlobEntryPage> {
    signal.throwIfAborted();
    const place = /^\d{1,15}$/.test(after) ? Number(after) : undefined;
    if (place === undefined)
      throw new StoreOperationError('invalid', 'after: accepted is `next` of the page before');
    return translated(this.#blobs(place, limit));
  }

  close(): Promise<void> {
    return this.#images.close();
  }

  async #blobs(after: number, limit: number): Promise<BlobEntryPage> {
    const { blobs, next } = await this.#parts.metadata.blobs.page(after, limit);
    return {
      blobs: blobs.map(({ digest, sizeBytes, kind, usedAt, earlierAt, upstream }) => ({
        digest,
        bytes: sizeBytes,
        kind,
        usedAt,
        earlierAt,
        upstream,
      })),
      ...(next !== undefined && { next: String(next) }),
    };
  }

  async #detail(text: string, signal: AbortSignal): Promise<ImageDetail> {
    const { metadata, contents, pins } = this.#parts;
    const image = parseImageText(text, this.#upstreamsFor(text));
    const key = { upstream: image.upstream, repository: image.repository };
    const row = await metadata.images.find(key, image.reference);
    if (row === undefined) throw await notFound(metadata, image);
    await pins.refresh();
    const tags: ImageDetail['tags'] = [];
    for (const [at, tag] of row.tags.slice(0, TAGS_LIMIT).entries())
      tags.push({
        tag,
        checkedAt: row.checkedAt[at] ?? 0,
        history: [...(await metadata.tagHistory(key, parseTag(tag)))],
      });
    const { platforms } = await imageParts({ metadata, contents }, key, row.digest, signal);
    return {
      ...key,
      digest: row.digest,
      mediaType: row.mediaType,
      ...(await metadata.images.sizes(row.digest)),
      usedAt: row.usedAt,
      pinned: pins.isPinned(row),
      tags,
      platforms: platforms.map(platformOf),
    };
  }

  /** What is stored of an upstream that is configured no longer is looked at by its name as well. */
  #upstreamsFor(text: string): readonly NamedUpstream[] {
    const upstreams = this.#parts.upstreams();
    const [first = ''] = text.split('/', 1);
    const isFormer =
      text.includes('/') && /[.:]|^localhost$/.test(first) && upstreams.every(({ name }) => name !== first);
    return isFormer ? [...upstreams, { name: first, default: false }] : upstreams;
  }
}

function platformOf(parts: PlatformParts): ImageDetail['platforms'][number] {
  const present = (parts.blobs ?? []).filter(({ isStored }) => isStored);
  return { ...platformSums(parts), presentBlobs: present.length };
}
