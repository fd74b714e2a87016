import { Hono } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { type AdminEnvironment, SESSION_COOKIE } from './admin-access.ts';
import { type AdminSessions, SESSION_MS } from './admin-session.ts';
import { isToken } from './bearer-token.ts';
import { clientOf } from './connection-gate.ts';
import type { Assets } from './dashboard/assets.ts';
import { loginPage } from './dashboard/dashboard.ts';
import { limitedBody } from './limited-body.ts';
import type { LoginAttempts } from './login-attempts.ts';

/** A token and a path. */
const BODY_BYTES_LIMIT = 16 * 1024;

export interface LoginParts {
  /** Absent: nobody is asked for one. */
  readonly token: string | undefined;
  readonly sessions: AdminSessions;
  readonly attempts: LoginAttempts;
  readonly assets: Assets;
  /** The cookie goes over TLS only. */
  readonly isTls: boolean;
  readonly isPage: (path: string) => boolean;
}

/** Signing in with the token, and out again. */
export function loginApp({
  token,
  sessions,
  attempts,
  assets,
  isTls,
  isPage,
}: LoginParts): Hono<AdminEnvironment> {
  const app = new Hono<AdminEnvironment>();
  const cookie = { path: '/', httpOnly: true, sameSite: 'Strict', secure: isTls } as const;
  const limited = limitedBody(
    BODY_BYTES_LIMIT,
    () => new Response(`the body: accepted are ${BODY_BYTES_LIMIT} bytes at most\n`, { status: 413 }),
  );

  app.get('/login', (c) => {
    const next = safePath(c.req.query('next'), isPage);
    const id = getCookie(c, SESSION_COOKIE);
    if (token === undefined || (id !== undefined && sessions.has(id))) return c.redirect(next, 303);
    return loginPage(c, assets, { next });
  });
  app.post('/login', limited, async (c) => {
    const form: Record<string, unknown> = await c.req.parseBody().catch(() => ({}));
    const next = safePath(form['next'], isPage);
    if (token === undefined) return c.redirect(next, 303);
    const client = clientOf(c.env.incoming.socket.remoteAddress ?? '');
    const waitMs = attempts.waitMs(client);
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000);
      c.status(429);
      c.header('Retry-After', String(seconds));
      const problem = `Too many wrong tokens were given. Try again in ${seconds} seconds.`;
      return loginPage(c, assets, { next, problem });
    }
    const given = form['token'];
    if (typeof given !== 'string' || !isToken(given, token)) {
      attempts.failed(client);
      c.status(401);
      return loginPage(c, assets, { next, problem: 'That is not the token.' });
    }
    const former = getCookie(c, SESSION_COOKIE);
    if (former !== undefined) sessions.end(former);
    setCookie(c, SESSION_COOKIE, sessions.begin(), { ...cookie, maxAge: SESSION_MS / 1000 });
    return c.redirect(next, 303);
  });
  app.post('/logout', limited, async (c) => {
    const id = getCookie(c, SESSION_COOKIE);
    const { csrf } = await c.req.parseBody().catch(() => ({ csrf: undefined }));
    if (id !== undefined && sessions.has(id)) {
      if (typeof csrf !== 'string' || !sessions.isCsrfToken(csrf, id))
        return c.text('this form is not that of your page; load the page again\n', 403);
      sessions.end(id);
    }
    deleteCookie(c, SESSION_COOKIE, cookie);
    return c.redirect('/login', 303);
  });
  return app;
}

/** A page of our own, or the first: never an address of somebody else. */
function safePath(given: unknown, isPage: (path: string) => boolean): string {
  if (typeof given !== 'string' || !/^\/(?![/\\])/.test(given) || given.length > 2048) return '/';
  const base = 'http://here.invalid';
  if (!URL.canParse(given, base)) return '/';
  const { origin, pathname, search } = new URL(given, base);
  return origin === base && isPage(pathname) ? pathname + search : '/';
}
