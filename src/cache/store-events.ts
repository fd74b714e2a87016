import { z } from 'zod';

/**
 * What operations on the store tell, as plain JSON: the same whether they run in this process or are told by a server.
 * Sizes are bytes of content, times milliseconds since 1970. A newer server may tell more than is known here.
 */

const count = z.number().int().nonnegative();
const totals = { bytes: count, blobs: count };

export const imageEntry = z.object({
  upstream: z.string(),
  repository: z.string(),
  /** Empty for what was pulled by digest alone. */
  tags: z.array(z.string()),
  /** When their upstream last said so, of each of `tags`. */
  checkedAt: z.array(z.number()),
  digest: z.string(),
  mediaType: z.string(),
  /** Of all that is stored of it. */
  ...totals,
  /** Of what no other image here uses. */
  exclusiveBytes: count,
  usedAt: z.number(),
  pinned: z.boolean(),
});
export type ImageEntry = z.infer<typeof imageEntry>;

export const purgeEvent = z.discriminatedUnion('event', [
  /** Access is gone: this repository serves it no longer. With neither tag nor digest, all of the repository. */
  z.object({
    event: z.literal('forgotten'),
    upstream: z.string(),
    repository: z.string(),
    tag: z.string().optional(),
    digest: z.string().optional(),
  }),
  z.object({ event: z.literal('progress'), repositories: count, ...totals }),
  /** It was purged, and a pin that stays keeps it again once it is pulled. */
  z.object({ event: z.literal('still-pinned'), pattern: z.string() }),
  /** Some file could not be removed; the rest was gone on with. */
  z.object({ event: z.literal('failed'), digest: z.string(), message: z.string() }),
  /** Last. `repositories`: that anything was taken from. */
  z.object({
    event: z.literal('done'),
    repositories: count,
    ...totals,
    failures: count,
    dryRun: z.boolean(),
  }),
]);
export type PurgeEvent = z.infer<typeof purgeEvent>;

export const evictEvent = z.discriminatedUnion('event', [
  /** In the order in which they go. `holders`: some repositories that hold it, of `holderCount` or more. */
  z.object({
    event: z.literal('victim'),
    digest: z.string(),
    kind: z.enum(['layer', 'config', 'manifest', 'index']),
    bytes: count,
    usedAt: z.number(),
    upstream: z.string().optional(),
    holders: z.array(z.string()),
  }),
  z.object({ event: z.literal('progress'), ...totals }),
  /** Last. `storedBytes`: what is (or would be) left; more than asked for when the rest is pinned. */
  z.object({
    event: z.literal('done'),
    ...totals,
    storedBytes: count,
    pinnedBytes: count,
    isEnough: z.boolean(),
    dryRun: z.boolean(),
  }),
]);
export type EvictEvent = z.infer<typeof evictEvent>;

export const verifyEvent = z.discriminatedUnion('event', [
  /** `totalBlobs`: how many there are to look at, where that is known. */
  z.object({
    event: z.literal('progress'),
    ...totals,
    totalBytes: count.optional(),
    totalBlobs: count.optional(),
  }),
  /** Its file was set aside, and it is fetched again when it is asked for. */
  z.object({
    event: z.literal('damaged'),
    digest: z.string(),
    sizeBytes: count,
    holders: z.array(z.string()),
  }),
  /** The disk could not be asked just now; nothing was changed. */
  z.object({ event: z.literal('unreadable'), digest: z.string(), sizeBytes: count }),
  /** Last. What was removed meanwhile is not counted. */
  z.object({ event: z.literal('done'), ...totals, damaged: count, unreadable: count }),
]);
export type VerifyEvent = z.infer<typeof verifyEvent>;

export const pinEntry = z.object({
  /** In full. */
  pattern: z.string(),
  source: z.enum(['configuration', 'command']),
});
export type PinEntry = z.infer<typeof pinEntry>;

export const pinChange = z.object({
  /** In full. */
  pattern: z.string(),
  /** False: it was as asked for already. */
  changed: z.boolean(),
  /** Images of it that are cached now; none: it is kept once it is pulled. */
  images: count,
  /** After `unpin`: the patterns of the configuration that pin the same. */
  stillPinnedBy: z.array(z.string()),
});
export type PinChange = z.infer<typeof pinChange>;

const time = z.number().optional();

export const storeStatus = z.object({
  /** A server holds the directory and told this. */
  isServed: z.boolean(),
  ...totals,
  limitBytes: count,
  reservedBytes: count,
  pinned: z.object(totals),
  quarantinedBytes: count,
  indexBytes: count,
  /** Upstreams that are not asked; absent where nobody would ask any: without a server. */
  offline: z.array(z.object({ upstream: z.string(), isConfigured: z.boolean(), until: time })).optional(),
  /** What warms the cache, and when; absent where nobody does: without a server, or without schedules. */
  schedules: z
    .array(
      z.object({
        name: z.string(),
        isRunning: z.boolean(),
        /** While it runs: it waits so long for an upstream's allowance. */
        waitingUntil: time,
        /** Absent: never again. */
        nextAt: time,
        last: z
          .object({
            begunAt: z.number(),
            endedAt: z.number(),
            outcome: z.string(),
            images: count,
            failedImages: count,
            fetchedBytes: count,
            /** What went wrong first. */
            problem: z.string().optional(),
          })
          .optional(),
      }),
    )
    .optional(),
  byUpstream: z.array(z.object({ upstream: z.string(), ...totals, limitBytes: count.optional() })),
  /** When what is given up next was last used; absent: nothing is. */
  nextVictimUsedAt: z.number().optional(),
  /** Absent where nobody looks after it: without a server. */
  condition: z
    .object({ isSound: z.boolean(), reason: z.string().optional(), since: z.number().optional() })
    .optional(),
  /** Bringing files and index together after a crash; absent where nobody does. */
  reconcile: z
    .object({
      phase: z.string(),
      files: count,
      adopted: count,
      quarantined: count,
      dropped: count,
      unreadable: count,
      unindexedBytes: count,
    })
    .optional(),
  /** Of the round that runs or ran last; absent where none does. */
  scrub: z
    .object({
      isRunning: z.boolean(),
      files: count,
      bytes: count,
      damaged: count,
      begunAt: time,
      endedAt: time,
      nextAt: time,
    })
    .optional(),
});
export type StoreStatus = z.infer<typeof storeStatus>;

/** Some of what is stored: digests with their sizes. */
export const contentPage = z.object({ contents: z.array(z.tuple([z.string(), count])) });
export type ContentPage = z.infer<typeof contentPage>;
