import { z } from 'zod';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import { offlineReport, rehearsalReport } from '../pull-through/offline-report.ts';
import { OFFLINE_LIMIT_MS } from '../upstream/offline-switch.ts';
import { type Api, addRoute, named } from './api-routes.ts';

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

const report = named('OfflineReport', offlineReport);

/** Whether upstreams are asked, and what failed while they were not. */
export function addOfflineRoutes(api: Api, operations: OfflineOperations): void {
  const path = '/offline';
  const tag = 'upstreams';
  addRoute(
    api,
    { method: 'get', path, tag, summary: 'Which upstreams are not asked', answer: report },
    ({ signal }) => operations.offline(signal),
  );
  addRoute(
    api,
    {
      method: 'post',
      path,
      tag,
      summary: 'Have no upstream asked, or have them asked again',
      body: order,
      answer: report,
    },
    ({ body: { offline: isOffline, ...rest }, signal }) =>
      operations.setOffline({ isOffline, ...rest }, signal),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/rehearsal',
      tag,
      summary: 'What failed while upstreams were not asked',
      answer: named('RehearsalReport', rehearsalReport),
    },
    ({ signal }) => operations.rehearsal(signal),
  );
}
