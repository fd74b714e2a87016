import { type Context, Hono } from 'hono';
import { accepts } from 'hono/accepts';
import type { Clock } from '../clock.ts';
import type { MetricsFormat } from '../metrics.ts';
import { type AdminEnvironment, authentication, csrfProtection } from './admin-access.ts';
import { AdminSessions } from './admin-session.ts';
import { Assets } from './dashboard/assets.ts';
import { assetsApp, browserGuard, pagesApp } from './dashboard/dashboard.ts';
import type { DashboardPage } from './dashboard/dashboard-page.ts';
import type { Health } from './health.ts';
import { addHealth, addVerboseHealth } from './health-routes.ts';
import { loginApp } from './login.ts';
import { LoginAttempts } from './login-attempts.ts';
import type { Api } from './api-routes.ts';

export interface OperationsParts {
  /** Absent: everybody who reaches the listener may ask (it is then on loopback). */
  readonly token: string | undefined;
  readonly metrics: (
    format: MetricsFormat,
  ) => Promise<{ readonly contentType: string; readonly text: string }>;
  readonly health: Health;
  /** Served below /api/v1. */
  readonly api: Api;
  /** For people with a browser. */
  readonly pages: readonly DashboardPage[];
  readonly clock: Clock;
  readonly version: string;
  /** The listener speaks TLS. */
  readonly isTls: boolean;
}

/**
 * Metrics, health, the admin API and the page, for the admin listener. `/healthz` and `/readyz` need no token, unless
 * they are asked for everything.
 */
export function operationsApp(parts: OperationsParts): Hono<AdminEnvironment> {
  const { token, metrics, health, api, pages, clock, version, isTls } = parts;
  const app = new Hono<AdminEnvironment>();
  addHealth(app, health);
  const sessions = new AdminSessions(clock);
  const assets = new Assets();
  const paths = new Set(pages.map(({ path }) => path));
  const isPage = (path: string): boolean => paths.has(path);
  const guard = browserGuard({ needsOwnHost: token === undefined });
  for (const path of ['/login', '/logout', '/assets/*', '/metrics', '/healthz', '/readyz', ...paths])
    app.use(path, guard);
  app.route('/assets', assetsApp(assets));
  app.route('/', loginApp({ token, sessions, attempts: new LoginAttempts(clock), assets, isTls, isPage }));
  app.use('*', authentication({ token, sessions, isPage }));
  app.use('*', csrfProtection(sessions));
  addVerboseHealth(app, health);
  app.get('/metrics', async (c) => {
    const { contentType, text } = await metrics(formatFor(c));
    return c.body(text, 200, { 'Content-Type': contentType, Vary: 'Accept' });
  });
  app.route('/api/v1', api);
  app.route('/', pagesApp({ assets, pages, sessions, clock, version }));
  return app;
}

const OPEN_METRICS = 'application/openmetrics-text';

/** What the client likes best of the two; Prometheus's text for who says nothing. */
function formatFor(c: Context): MetricsFormat {
  const supports = ['text/plain', OPEN_METRICS];
  const chosen = accepts(c, { header: 'Accept', supports, default: 'text/plain' });
  return chosen === OPEN_METRICS ? 'openmetrics' : 'text';
}
