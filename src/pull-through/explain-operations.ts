import { z } from 'zod';

const count = z.number().int().nonnegative();

/**
 * How a reference would be answered at this moment, and why; nothing is asked of any upstream to find out. As plain JSON,
 * sizes in bytes, times in milliseconds since 1970.
 */
export const explanation = z.object({
  /** In full. */
  image: z.string(),
  upstream: z.string(),
  repository: z.string(),
  reference: z.string(),
  /** How the text named its upstream: `default` or `host`. */
  namedBy: z.string(),
  rule: z.object({
    isAllowed: z.boolean(),
    /** The pattern of `allow` or `deny` that decided, where one did. */
    decidedBy: z.string().optional(),
    /** Patterns of `repositories` that fit, the one that counts most first. */
    patterns: z.array(z.string()),
    tagTtlMs: z.number(),
    maxStaleMs: z.number(),
    isImmutable: z.boolean(),
    isOffline: z.boolean(),
  }),
  /** What the tag meant when its upstream was last asked; absent: not known here, or a digest. */
  tag: z
    .object({ digest: z.string(), checkedAt: z.number(), ageMs: z.number(), isFresh: z.boolean() })
    .optional(),
  /** Absent: it is not known which. */
  manifest: z
    .object({
      digest: z.string(),
      mediaType: z.string().optional(),
      sizeBytes: count.optional(),
      isStored: z.boolean(),
      /** False: stored, but this repository was not seen to hold it. */
      isHeld: z.boolean(),
    })
    .optional(),
  /** One for each manifest of an index; for a single manifest, that one. */
  platforms: z.array(
    z.object({
      platform: z.string().optional(),
      digest: z.string(),
      isStored: z.boolean(),
      /** Blobs it lists, config and layers; absent: not known, since it is not stored. */
      blobs: count.optional(),
      missingBlobs: z.array(z.object({ digest: z.string(), sizeBytes: count })),
      bytes: count.optional(),
      presentBytes: count,
      isWhole: z.boolean(),
    }),
  ),
  answer: z.object({
    /** As a client would see it in X-Cache; `refused`: an error. */
    outcome: z.enum(['hit', 'revalidated', 'stale', 'miss', 'refused', 'unknown']),
    /** A sentence, or a few. */
    text: z.string(),
    /** Until when its upstream is not asked for some of it, or may not be, since it said too many requests (429). */
    pausedUntil: z.number().optional(),
  }),
  /** What the upstream would be asked, in order, for a pull of the whole image. */
  asks: z.array(z.object({ method: z.string(), what: z.string(), countsAsPull: z.boolean() })),
  /** Pulls of the quota that it would cost at the most, and at the least. */
  quotaCost: z.object({ least: count, most: count }),
  /** Bytes that would come from the upstream, as far as they are known, if the tag means the same. */
  fetchBytes: count,
  /** False: it is more, since manifests are not here whose blobs only they tell. */
  isFetchComplete: z.boolean(),
});
export type Explanation = z.infer<typeof explanation>;

export interface ExplainOperations {
  /** @param image as Docker users write it @throws StoreOperationError `invalid` for what is no reference, `not-found` for an upstream that is not configured */
  explain(image: string, signal: AbortSignal): Promise<Explanation>;
}
