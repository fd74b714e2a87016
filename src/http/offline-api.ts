import type { Hono } from 'hono';
import { z } from 'zod';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import { OFFLINE_LIMIT_MS } from '../upstream/offline-switch.ts';
import { bodyOf, parsed } from './api-input.ts';

/** Below it nobody could look at anything. */
const LEAST_MS = 1_000;

const forMsError = `accepted is a number of milliseconds from ${LEAST_MS} to ${OFFLINE_LIMIT_MS}`;
const order = z.strictObject({
  offline: z.boolean({ error: 'accepted is true or false' }),
  upstreams: z
    .array(z.string().min(1).max(255), { error: "accepted is a list of upstreams' names" })
    .min(1, { error: 'accepted is one name at least; leave it out for all' })
    .max(10_000)
    .optional(),
  forMs: z
    .int({ error: forMsError })
    .min(LEAST_MS, { error: forMsError })
    .max(OFFLINE_LIMIT_MS, { error: forMsError })
    .optional(),
});

/** Whether upstreams are asked, and what failed while they were not. */
export function addOfflineRoutes(app: Hono, operations: OfflineOperations): void {
  app.get('/offline', async (c) => c.json(await operations.offline(c.req.raw.signal)));
  app.post('/offline', async (c) => {
    const { offline: isOffline, ...rest } = parsed(order, await bodyOf(c));
    return c.json(await operations.setOffline({ isOffline, ...rest }, c.req.raw.signal));
  });
  app.get('/rehearsal', async (c) => c.json(await operations.rehearsal(c.req.raw.signal)));
}
