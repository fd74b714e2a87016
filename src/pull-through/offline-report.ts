import { z } from 'zod';

/** What is told of offline mode, as plain JSON. Times are milliseconds since 1970. A newer server may tell more. */

const count = z.number().int().nonnegative();

export const offlineReport = z.object({
  /** Every one, in the configuration's order. */
  upstreams: z.array(
    z.object({
      upstream: z.string(),
      isOffline: z.boolean(),
      /** What the configuration says, and a restart goes back to. */
      isConfigured: z.boolean(),
      /** When the configuration holds again; absent: it does, or a command's word holds until the server ends. */
      until: z.number().optional(),
    }),
  ),
});
export type OfflineReport = z.infer<typeof offlineReport>;

const failedRequest = z.object({
  upstream: z.string(),
  repository: z.string(),
  /** A tag or digest; absent for lists of tags. */
  reference: z.string().optional(),
  kind: z.string(),
  count,
  firstAt: z.number(),
  lastAt: z.number(),
});
export type FailedRequest = z.infer<typeof failedRequest>;

const rehearsal = z.object({
  begunAt: z.number(),
  /** Absent: it goes on. */
  endedAt: z.number().optional(),
  /** Those that were offline at any time of it. */
  upstreams: z.array(z.string()),
  /** All of it is what the configuration says: nobody rehearses. */
  isConfigured: z.boolean(),
  /** Requests that failed since what they asked for was not here; the first ones, each once. */
  requests: z.array(failedRequest),
  /** All that failed, and those of them that there was no room for above. */
  failures: count,
  unlisted: count,
});
export type Rehearsal = z.infer<typeof rehearsal>;

export const rehearsalReport = z.object({
  /** Absent while every upstream is asked. */
  running: rehearsal.optional(),
  /** The one that ended last. Absent: none has since the server began. */
  last: rehearsal.optional(),
});
export type RehearsalReport = z.infer<typeof rehearsalReport>;
