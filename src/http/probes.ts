import type { RequestListener } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { type Context, Hono } from 'hono';
import { accepts } from 'hono/accepts';
import type { MetricsFormat } from '../metrics.ts';
import { type AdminEnvironment, authentication } from './admin-access.ts';
import type { AdminSessions } from './admin-session.ts';
import { browserGuard } from './dashboard/browser-guard.ts';
import type { Health } from './health.ts';
import { addHealth } from './health-routes.ts';

export type AdminApp = Hono<AdminEnvironment>;

export interface ProbesParts {
  /** Absent: everybody who reaches the listener may ask (it is then on loopback). */
  readonly token: string | undefined;
  readonly sessions: AdminSessions;
  readonly metrics: (
    format: MetricsFormat,
  ) => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly health: Health;
  /** Answers all else. Called for each such request. */
  readonly site: () => Promise<AdminApp>;
}

/**
 * What machines ask all the time: metrics, and health in a word. `/healthz` and `/readyz` need no token, unless they are
 * asked for everything, which is the site's.
 */
export function probesListener({ token, sessions, metrics, health, site }: ProbesParts): RequestListener {
  const app = new Hono<AdminEnvironment>();
  addHealth(app, health);
  app.get(
    '/metrics',
    browserGuard({ needsOwnHost: token === undefined }),
    authentication({ token, sessions, isPage: () => false }),
    async (c) => {
      const { contentType, text } = await metrics(formatFor(c));
      return c.body(text, 200, { 'Content-Type': contentType, Vary: 'Accept' });
    },
  );
  app.all('*', async (c) => (await site()).fetch(c.req.raw, c.env));
  const serve = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  return (request, response) => void serve(request, response);
}

const OPEN_METRICS = 'application/openmetrics-text';

/** What the client likes best of the two; Prometheus's text for who says nothing. */
function formatFor(c: Context): MetricsFormat {
  const supports = ['text/plain', OPEN_METRICS];
  const chosen = accepts(c, { header: 'Accept', supports, default: 'text/plain' });
  return chosen === OPEN_METRICS ? 'openmetrics' : 'text';
}
