import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Hono, MiddlewareHandler } from 'hono';
import type { AdminEnvironment } from './admin-access.ts';
import type { Health, HealthReport } from './health.ts';

/**
 * `/healthz`: the process runs. `/readyz`: requests may be sent to it. Open to everybody, since they tell hardly anything;
 * what asks for more (`?verbose`) is passed on, to `addVerboseHealth` behind the authentication.
 */
export function addHealth(app: Hono<AdminEnvironment>, health: Health): void {
  app.get(
    '/healthz',
    plain(async () => Promise.resolve(['ok', 200])),
  );
  app.get(
    '/readyz',
    plain(async () => sentence(await health.report())),
  );
}

/**
 * The same without hono, for how machines ask: until somebody asks for anything else, hono is not loaded.
 * @returns whether it answers
 */
export function answerHealth(request: IncomingMessage, response: ServerResponse, health: Health): boolean {
  const { method, url } = request;
  if (method !== 'GET' && method !== 'HEAD') return false;
  if (url === '/healthz') {
    send(response, 'ok', 200);
    return true;
  }
  if (url !== '/readyz') return false;
  health.report().then(
    (report) => send(response, ...sentence(report)),
    () => send(response, 'the checks failed', 503),
  );
  return true;
}

function send(response: ServerResponse, text: string, status: number): void {
  const body = Buffer.from(`${text}\n`);
  const headers = {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': body.length,
    'Cache-Control': 'no-store',
  };
  response.writeHead(status, headers).end(body);
}

export function addVerboseHealth(app: Hono<AdminEnvironment>, health: Health): void {
  app.get('/healthz', (c) => {
    const { version, uptimeSeconds } = health;
    return c.json({ status: 'ok', version, uptimeSeconds }, 200, { 'Cache-Control': 'no-store' });
  });
  app.get('/readyz', async (c) => {
    const report = await health.report();
    return c.json(report, report.status === 'ready' ? 200 : 503, { 'Cache-Control': 'no-store' });
  });
}

function sentence({ status, checks }: HealthReport): readonly [string, 200 | 503] {
  if (status === 'ready') return ['ready', 200];
  if (status === 'shutting down') return ['shutting down', 503];
  const wrong = checks.filter(({ decides, isWell }) => decides && !isWell);
  return [
    `not ready: ${wrong.map(({ name, message }) => `${name}: ${message ?? 'unknown'}`).join('; ')}`,
    503,
  ];
}

/** Passed on when more is asked for. */
function plain(
  answer: () => Promise<readonly [text: string, status: 200 | 503]>,
): MiddlewareHandler<AdminEnvironment> {
  return async (c, next) => {
    if (c.req.query('verbose') !== undefined) return next();
    const [text, status] = await answer();
    return c.text(`${text}\n`, status, { 'Cache-Control': 'no-store' });
  };
}
