import { z } from 'zod';

const count = z.number().int().nonnegative();

/** What goes on at this moment. Times are milliseconds since 1970, sizes bytes. */
export const liveView = z.object({
  at: z.number(),
  /** A bounded number of those that are being answered, oldest first. */
  requests: z.array(
    z.object({
      id: z.string(),
      client: z.string(),
      kind: z.string(),
      upstream: z.string().optional(),
      repository: z.string().optional(),
      reference: z.string().optional(),
      outcome: z.string().optional(),
      sentBytes: count,
      totalBytes: count.optional(),
      begunAt: z.number(),
    }),
  ),
  requestCount: count,
  /** A bounded number of blobs that are being fetched, oldest first. */
  fills: z.array(
    z.object({
      upstream: z.string(),
      digest: z.string(),
      presentBytes: count,
      totalBytes: count.optional(),
      readers: count,
      begunAt: z.number(),
    }),
  ),
  fillCount: count,
});
export type LiveView = z.infer<typeof liveView>;
