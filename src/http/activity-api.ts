import { z } from 'zod';
import { clientActivity, requestRecord, savingsReport, trafficStep } from '../activity/activity-events.ts';
import type { ActivityOperations } from '../activity/activity-operations.ts';
import { upstreamName, wholeNumber } from './api-input.ts';
import { type Api, addRoute, named } from './api-routes.ts';
import { live } from './live-api.ts';

/** Of an answer; more are not kept. */
const RECENT_LIMIT = 1000;
const TOP_LIMIT = 1000;
const DAY_MS = 24 * 3_600_000;
/** Longer than anything is kept. */
const SINCE_LIMIT_MS = 10 * 365 * DAY_MS;

const since = (usualMs: number) =>
  wholeNumber({ least: 1, most: SINCE_LIMIT_MS })
    .prefault(String(usualMs))
    .describe('how far back, in milliseconds');
const recent = z.strictObject({
  limit: wholeNumber({ least: 1, most: RECENT_LIMIT }).prefault('100'),
  client: z.string().min(1).max(255).optional(),
  upstream: upstreamName.optional(),
  outcome: z.string().min(1).max(32).optional(),
});
const reported = z.strictObject({
  sinceMs: since(30 * DAY_MS),
  top: wholeNumber({ least: 1, most: TOP_LIMIT }).prefault('10').describe('rows of each list'),
});

/** What was asked of the cache, by whom, and what it spared. */
export function addActivityRoutes(api: Api, activity: ActivityOperations): void {
  const tag = 'activity';
  addRoute(
    api,
    {
      method: 'get',
      path: '/activity/recent',
      tag,
      summary: 'The requests that were answered last, the newest first',
      query: recent,
      answer: z.object({ requests: z.array(named('Request', requestRecord)) }),
    },
    async ({ query, signal }) => ({ requests: [...(await activity.recent(query, signal))] }),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/activity/clients',
      tag,
      summary: 'Clients by address, those that had most bytes first',
      answer: z.object({ clients: z.array(named('Client', clientActivity)) }),
    },
    async ({ signal }) => ({ clients: [...(await activity.clients(signal))] }),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/activity/history',
      tag,
      summary: 'What was answered in each step of time, oldest first',
      query: z.strictObject({ sinceMs: since(DAY_MS) }),
      answer: z.object({ steps: z.array(named('TrafficStep', trafficStep)) }),
    },
    async ({ query, signal }) => ({ steps: [...(await activity.history(query, signal))] }),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/activity/live',
      tag,
      summary: 'What goes on right now, once; /live tells it every second',
      answer: live,
    },
    ({ signal }) => activity.live(signal),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/report',
      tag,
      summary: 'What the cache spared',
      query: reported,
      answer: named('SavingsReport', savingsReport),
    },
    ({ query, signal }) => activity.report(query, signal),
  );
}
