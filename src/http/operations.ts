import { Hono } from 'hono';
import { isBearer } from './bearer-token.ts';

export interface OperationsParts {
  /** Absent: everybody who reaches the listener may ask (it is then on loopback). */
  readonly token: string | undefined;
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** @throws what is broken */
  readonly probe: () => Promise<void>;
  readonly isClosing: () => boolean;
  /** Served below /api/v1. */
  readonly api: Hono;
}

/** Metrics, health and the admin API, for the admin listener. `/healthz` and `/readyz` need no token: they tell nothing else. */
export function operationsApp({ token, metrics, probe, isClosing, api }: OperationsParts): Hono {
  const app = new Hono();
  app.get('/healthz', (c) => c.text('ok\n'));
  app.get('/readyz', async (c) => {
    if (isClosing()) return c.text('shutting down\n', 503);
    try {
      await probe();
      return c.text('ready\n');
    } catch (error) {
      return c.text(`not ready: ${error instanceof Error ? error.message : 'unknown'}\n`, 503);
    }
  });
  app.use('*', async (c, next) => {
    if (token !== undefined && !isBearer(c.req.header('authorization'), token)) {
      return c.text('a token is needed: Authorization: Bearer …\n', 401, { 'WWW-Authenticate': 'Bearer' });
    }
    return next();
  });
  app.get('/metrics', async (c) => {
    const { contentType, text } = await metrics();
    return c.body(text, 200, { 'Content-Type': contentType });
  });
  app.route('/api/v1', api);
  return app;
}
