import { z } from 'zod';

const count = z.number().int().nonnegative();
const time = z.number();

/** How an upstream is, as plain JSON. Times are milliseconds since 1970. No secret, no credential, no query. */
export const upstreamStanding = z.object({
  upstream: z.string(),
  url: z.string(),
  /** `unknown`: it was not asked yet. */
  state: z.enum(['unknown', 'up', 'down', 'offline']),
  /** Since when it is so. */
  since: time.optional(),
  /** `open`: misses fail at once. `half-open`: one request looks whether it is back. */
  breaker: z.enum(['closed', 'half-open', 'open']),
  /** It is not asked until then: it said so (429), or the pace of the configuration does. */
  pausedUntil: time.optional(),
  /** Which of its requests it said that of (429): `manifest-get`, `manifest-head`, `blob` and so on; absent: none. */
  pauses: z.array(z.object({ kind: z.string(), until: time })).optional(),
  /** Until its headers were there, of the last few hundred requests; absent: there were none. */
  latencyMs: z.object({ p50: z.number(), p99: z.number(), samples: count }).optional(),
  requests: count,
  /** Of them: no answer, or a 5xx. */
  failures: count,
  bytes: count,
  /** What it said of its pull quota, by account. */
  quotas: z.array(
    z.object({
      /** The user name; absent: anonymous. */
      account: z.string().optional(),
      limit: count.optional(),
      remaining: count.optional(),
      windowMs: z.number().optional(),
      /** When what was said no longer holds, where it is known. */
      resetsAt: time.optional(),
      checkedAt: time,
    }),
  ),
  mirrors: z.array(z.object({ mirror: z.string(), isUp: z.boolean() })),
  /** The newest first, a few. */
  lastErrors: z.array(z.object({ at: time, kind: z.string().optional(), message: z.string() })),
});
export type UpstreamStanding = z.infer<typeof upstreamStanding>;

export interface UpstreamOperations {
  /** In the configuration's order. Only where a server runs. */
  upstreams(signal: AbortSignal): Promise<readonly UpstreamStanding[]>;
}
