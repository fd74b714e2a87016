import type { BlobEntryPage, ImageDetail, ImagePage } from './image-events.ts';

export const IMAGE_ORDERS = ['name', 'size', 'exclusive', 'used'] as const;
export type ImageOrder = (typeof IMAGE_ORDERS)[number];
export const PAGE_LIMIT = 1000;

export interface ImageQuery {
  /** Part of a name (`upstream/repository:tag`) or of a digest; absent or empty: all. */
  readonly search?: string | undefined;
  readonly upstream?: string | undefined;
  readonly sort: ImageOrder;
  /** Absent: names from a to z, all else the greatest first. */
  readonly order?: 'asc' | 'desc' | undefined;
  /** 1 to `PAGE_LIMIT`. */
  readonly limit: number;
  /** `next` of the page before; absent for the first. Stays good when images come and go. */
  readonly after?: string | undefined;
}

/** What is stored, a page at a time, for who looks at it. All fail with StoreOperationError, or with the signal's reason. */
export interface CatalogueOperations {
  /** May be short of `limit`, even empty, and not be the last: what is gone meanwhile is left out. */
  images(query: ImageQuery, signal: AbortSignal): Promise<ImagePage>;
  /** @param image as `docker pull` takes it; `not-found`, `invalid` */
  image(image: string, signal: AbortSignal): Promise<ImageDetail>;
  /** In no order that means anything. @param limit 1 to `PAGE_LIMIT` @param after `next` of the page before */
  blobs(
    query: { readonly limit: number; readonly after?: string | undefined },
    signal: AbortSignal,
  ): Promise<BlobEntryPage>;
}
