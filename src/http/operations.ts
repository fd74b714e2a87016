import { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type AdminEnvironment, authentication, csrfProtection } from './admin-access.ts';
import type { AdminSessions } from './admin-session.ts';
import { Assets } from './dashboard/assets.ts';
import { browserGuard } from './dashboard/browser-guard.ts';
import { assetsApp, pagesApp } from './dashboard/dashboard.ts';
import type { DashboardPage } from './dashboard/dashboard-page.ts';
import type { Health } from './health.ts';
import { addVerboseHealth } from './health-routes.ts';
import { loginApp } from './login.ts';
import { LoginAttempts } from './login-attempts.ts';
import type { Api } from './api-routes.ts';

export interface OperationsParts {
  /** Absent: everybody who reaches the listener may ask (it is then on loopback). */
  readonly token: string | undefined;
  readonly sessions: AdminSessions;
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

/** The admin API, the page, and all that there is to tell of health: what `probesListener` passes on. */
export function operationsApp(parts: OperationsParts): Hono<AdminEnvironment> {
  const { token, sessions, health, api, pages, clock, version, isTls } = parts;
  const app = new Hono<AdminEnvironment>();
  const assets = new Assets();
  const paths = new Set(pages.map(({ path }) => path));
  const isPage = (path: string): boolean => paths.has(path);
  const guard = browserGuard({ needsOwnHost: token === undefined });
  for (const path of ['/login', '/logout', '/assets/*', '/healthz', '/readyz', ...paths])
    app.use(path, guard);
  app.route('/assets', assetsApp(assets));
  app.route('/', loginApp({ token, sessions, attempts: new LoginAttempts(clock), assets, isTls, isPage }));
  app.use('*', authentication({ token, sessions, isPage }));
  app.use('*', csrfProtection(sessions));
  addVerboseHealth(app, health);
  app.route('/api/v1', api);
  app.route('/', pagesApp({ assets, pages, sessions, clock, version }));
  return app;
}
