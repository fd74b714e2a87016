import { z } from 'zod';

/**
 * What is told of requests, as plain JSON: the same in this process and over the admin API. Sizes are body bytes, times
 * milliseconds since 1970. A `pull` is a manifest that was given by GET, as Docker Hub counts them.
 */

const count = z.number().int().nonnegative();

/** A request that is over. */
export const requestRecord = z.object({
  /** In the log lines of the request, and of what it had asked upstream. */
  id: z.string(),
  at: z.number(),
  client: z.string(),
  agent: z.string().optional(),
  method: z.string(),
  kind: z.string(),
  upstream: z.string().optional(),
  repository: z.string().optional(),
  /** A tag or a digest. */
  reference: z.string().optional(),
  status: z.number().int(),
  outcome: z.string(),
  /** Why it was not a hit (`OutcomeReason`), or what went wrong, as a sentence. */
  reason: z.string().optional(),
  bytes: count,
  durationMs: z.number(),
  firstByteMs: z.number().optional(),
  isComplete: z.boolean(),
});
export type RequestRecord = z.infer<typeof requestRecord>;

const traffic = {
  /** Answers with content, or that it has not changed: no pings, nothing that was refused. */
  requests: count,
  /** Of `requests`: answered without a body from an upstream. */
  hits: count,
  /** Answers that failed (`isFailure`): those without content are not among `requests`. */
  failures: count,
  pulls: count,
  /** Sent to clients. */
  bytes: count,
  /** Of `bytes`: those that no upstream was asked for at that time. */
  hitBytes: count,
};

export const clientActivity = z.object({ client: z.string(), ...traffic, lastAt: z.number() });
export type ClientActivity = z.infer<typeof clientActivity>;

export const trafficStep = z.object({
  at: z.number(),
  /** How long the step is. */
  durationMs: z.number(),
  ...traffic,
  upstreamBytes: count,
  /** Manifests asked for by GET. */
  upstreamPulls: count,
});
export type TrafficStep = z.infer<typeof trafficStep>;

export const savingsReport = z.object({
  since: z.number(),
  until: z.number(),
  /** When what is kept begins, where that is later than `since`. */
  keptSince: z.number().optional(),
  ...traffic,
  upstreamBytes: count,
  upstreamPulls: count,
  /** Never negative. */
  bytesAvoided: count,
  pullsAvoided: count,
  /** An estimate, and in words what it rests on. */
  timeSavedMs: z.number(),
  timeSavedAssumption: z.string(),
  byUpstream: z.array(
    z.object({ upstream: z.string(), ...traffic, upstreamBytes: count, upstreamPulls: count }),
  ),
  topImages: z.array(z.object({ image: z.string(), ...traffic })),
  topClients: z.array(z.object({ client: z.string(), ...traffic })),
  /** Of the bytes of all images that are stored, the part that is stored once for several. 0 to 1; absent: nothing is stored. */
  sharedShare: z.number().optional(),
  /** Stored images that nobody used since `since`, the largest first; `unusedCount` of them there are. */
  unused: z.array(z.object({ image: z.string(), bytes: count, usedAt: z.number() })),
  unusedCount: count,
  unusedBytes: count,
});
export type SavingsReport = z.infer<typeof savingsReport>;
