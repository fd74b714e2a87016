import { z } from 'zod';

/**
 * What warming tells, as plain JSON: the same whether it runs in this process or is told by a server. Sizes are bytes,
 * times milliseconds since 1970. Images are named in full: `docker.io/library/nginx:1.27`. A newer server may tell more
 * than is known here.
 */

const count = z.number().int().nonnegative();

/**
 * Why something could not be warmed.
 * - `invalid`: it is no image's name;
 * - `unknown-upstream`, `not-allowed`: the configuration has no such upstream, or does not allow the repository;
 * - `not-found`: the upstream has no such image, manifest or blob;
 * - `no-tags`: no tag of the repository was selected;
 * - `no-platform`: the image is not made for what was asked for;
 * - `denied`, `rate-limited`, `unavailable`, `timeout`, `protocol`, `refused`, `offline`: as upstreams fail;
 * - `corrupt`: the upstream sent other bytes than their digest says;
 * - `not-stored`: there is no room, or the store is in trouble;
 * - `failed`: anything else.
 */
export const WARM_FAILURE_REASONS = [
  'invalid',
  'unknown-upstream',
  'not-allowed',
  'not-found',
  'no-tags',
  'no-platform',
  'denied',
  'rate-limited',
  'unavailable',
  'timeout',
  'protocol',
  'refused',
  'offline',
  'corrupt',
  'not-stored',
  'failed',
] as const;
const reason = z.enum(WARM_FAILURE_REASONS);
export type WarmFailureReason = z.infer<typeof reason>;

/** Of manifests or blobs: what was here, what was fetched (in a dry run: what would be), and what failed. */
const tally = z.object({ present: count, fetched: count, failed: count });
const bytes = {
  /** Of what was here already. */
  presentBytes: count,
  /** That were brought in; in a dry run, that would be. */
  fetchedBytes: count,
};

export const warmEvent = z.discriminatedUnion('event', [
  /** First. `images`: so far; selections of tags add to it. */
  z.object({ event: z.literal('begun'), images: count, dryRun: z.boolean() }),
  /** What a selection of tags came to. */
  z.object({ event: z.literal('selected'), repository: z.string(), tags: count, of: count }),
  /** How far it is, now and then. */
  z.object({
    event: z.literal('progress'),
    images: z.object({ done: count, failed: count, total: count }),
    blobs: z.object({ done: count, total: count }),
    ...bytes,
    /** Of all blobs that are known so far: it grows while images are looked at. */
    totalBytes: count,
    /** Images under way, a few. */
    active: z.array(z.object({ image: z.string(), doneBytes: count, totalBytes: count })),
  }),
  /** An upstream is not asked for now: its allowance is used up but for the reserve, or it said so (429). */
  z.object({
    event: z.literal('waiting'),
    upstream: z.string(),
    why: z.enum(['reserve', 'rate-limited']),
    /** When it is looked at again. */
    untilMs: z.number(),
    remaining: count.optional(),
    limit: count.optional(),
    reserve: count.optional(),
  }),
  /** The wait is over. */
  z.object({ event: z.literal('resumed'), upstream: z.string() }),
  /** Of an image, or of a part of it (`digest`). The rest of it is gone on with. */
  z.object({
    event: z.literal('failed'),
    image: z.string(),
    place: z.string().optional(),
    digest: z.string().optional(),
    reason,
    message: z.string(),
  }),
  /** An image is done with. `digest`: what its tag means; absent when that is not known. */
  z.object({
    event: z.literal('image'),
    image: z.string(),
    digest: z.string().optional(),
    isWhole: z.boolean(),
    manifests: tally,
    blobs: tally,
    ...bytes,
    /** In a dry run: more may be missing than can be known without fetching a manifest. */
    atLeast: z.boolean(),
  }),
  /** Last. Images that failed are those that are not whole. */
  z.object({
    event: z.literal('done'),
    dryRun: z.boolean(),
    images: z.object({ total: count, whole: count, failed: count }),
    manifests: tally,
    blobs: tally,
    ...bytes,
    /** By reason. */
    failures: z.array(z.object({ reason, count })),
    /** Pulls of each upstream's allowance: that it took; in a dry run, that it would. */
    pulls: z.array(
      z.object({ upstream: z.string(), pulls: count, remaining: count.optional(), limit: count.optional() }),
    ),
    atLeast: z.boolean(),
    ms: count,
  }),
]);
export type WarmEvent = z.infer<typeof warmEvent>;

/** A run of warming that a server knows of. */
export const warmJob = z.object({
  id: z.string(),
  /** Its first image, and how many more. */
  title: z.string(),
  /** `failed`: it ended before it was done; `done` may still have failures. */
  state: z.enum(['running', 'done', 'failed', 'cancelled']),
  dryRun: z.boolean(),
  begunAt: z.number(),
  endedAt: z.number().optional(),
  images: z.object({ done: count, failed: count, total: count }),
  blobs: z.object({ done: count, total: count }),
  ...bytes,
  /** Of all blobs that are known so far: it grows while images are looked at. */
  totalBytes: count,
  /** An upstream is not asked for now. */
  waiting: z
    .object({ upstream: z.string(), why: z.enum(['reserve', 'rate-limited']), untilMs: z.number() })
    .optional(),
  /** The first ones of `failureCount`. */
  failures: z.array(
    z.object({ image: z.string(), digest: z.string().optional(), reason, message: z.string() }),
  ),
  failureCount: count,
  /** Why it failed as a whole. */
  problem: z.string().optional(),
});
export type WarmJob = z.infer<typeof warmJob>;
