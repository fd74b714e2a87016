import { z } from 'zod';

/**
 * What is told of images a page at a time, as plain JSON. Sizes are bytes of content, times milliseconds since 1970. A
 * newer server may tell more than is known here.
 */

const count = z.number().int().nonnegative();
const named = { upstream: z.string(), repository: z.string(), digest: z.string(), mediaType: z.string() };
const sized = {
  /** Of all that is stored of it. */
  bytes: count,
  /** Of what no other image here uses. */
  exclusiveBytes: count,
  blobs: count,
  usedAt: z.number(),
  pinned: z.boolean(),
};

export const imageSummary = z.object({
  ...named,
  /** The first ones of `tagCount`; none for what was pulled by digest alone. */
  tags: z.array(z.string()),
  tagCount: count,
  ...sized,
});
export type ImageSummary = z.infer<typeof imageSummary>;

export const imagePage = z.object({
  images: z.array(imageSummary),
  /** That fit what was asked for, on all pages. */
  total: count,
  /** What the next page is asked for with; absent: this was the last. */
  next: z.string().optional(),
  /** Of which time order and total are; each image is as it is now. */
  asOf: z.number(),
  /** False: images are still being looked through, and order and total are of those that were. */
  isWhole: z.boolean(),
});
export type ImagePage = z.infer<typeof imagePage>;

export const imageDetail = z.object({
  ...named,
  ...sized,
  tags: z.array(
    z.object({
      tag: z.string(),
      /** When its upstream last said that it means this image. */
      checkedAt: z.number(),
      /** What it meant before, the newest first, some at most; `until`: when its upstream first said otherwise. */
      history: z.array(z.object({ digest: z.string(), until: z.number() })),
    }),
  ),
  /** One for each manifest of an index; for a single manifest, that one. */
  platforms: z.array(
    z.object({
      platform: z.string().optional(),
      digest: z.string(),
      isStored: z.boolean(),
      /** Clients are given all of it without its upstream's word. */
      isWhole: z.boolean(),
      /** Config and layers, and those of them that are stored; absent: not known, since the manifest is not stored. */
      blobs: count.optional(),
      presentBlobs: count,
      bytes: count.optional(),
      presentBytes: count,
    }),
  ),
});
export type ImageDetail = z.infer<typeof imageDetail>;

export const blobEntry = z.object({
  digest: z.string(),
  bytes: count,
  kind: z.enum(['layer', 'config', 'manifest', 'index']),
  usedAt: z.number(),
  /** The use before that; absent: it was used once. */
  earlierAt: z.number().optional(),
  /** Who brought it, and is charged for it. */
  upstream: z.string().optional(),
});
export type BlobEntry = z.infer<typeof blobEntry>;

export const blobPage = z.object({
  blobs: z.array(blobEntry),
  /** What the next page is asked for with; absent: this was the last. */
  next: z.string().optional(),
});
export type BlobEntryPage = z.infer<typeof blobPage>;
