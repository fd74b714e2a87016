import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { getCookie } from 'hono/cookie';
import { problemAnswer } from './api-problem.ts';
import type { AdminSessions } from './admin-session.ts';
import { isBearer } from './bearer-token.ts';
import { isBrowser, isForeign } from './browser-request.ts';

/** Sent with every change that a browser makes; the page has it in a `<meta>`. */
export const CSRF_HEADER = 'X-CSRF-Token';
export const SESSION_COOKIE = 'entrepot_session';

/** Who asks, found once for each request. */
export type Caller =
  /** Nobody is asked for a token. */
  | { readonly kind: 'anybody' }
  | { readonly kind: 'bearer' }
  | { readonly kind: 'session'; readonly id: string };

export interface AdminEnvironment {
  Bindings: HttpBindings;
  Variables: { caller: Caller };
}

export interface AccessParts {
  /** Absent: everybody who reaches the listener may ask. */
  readonly token: string | undefined;
  readonly sessions: AdminSessions;
  /** Pages that a browser is sent to the form from; anything else is 401. */
  readonly isPage: (path: string) => boolean;
}

/** Lets nobody by who shows neither the token nor a session. */
export function authentication({
  token,
  sessions,
  isPage,
}: AccessParts): MiddlewareHandler<AdminEnvironment> {
  return async (c, next) => {
    const caller = callerOf(c, token, sessions);
    if (caller !== undefined) {
      c.set('caller', caller);
      return next();
    }
    if (c.req.method === 'GET' && isPage(c.req.path) && c.req.header('authorization') === undefined) {
      const { pathname, search } = new URL(c.req.url);
      c.header('Cache-Control', 'no-store');
      const isFirst = pathname === '/' && search === '';
      return c.redirect(isFirst ? '/login' : `/login?next=${encodeURIComponent(pathname + search)}`, 303);
    }
    const sentence = 'a token is needed: Authorization: Bearer …';
    c.header('WWW-Authenticate', 'Bearer');
    if (c.req.path.startsWith('/api/')) return problemAnswer('refused', sentence, 401);
    return c.text(`${sentence}\n`, 401);
  };
}

function callerOf(
  c: Context<AdminEnvironment>,
  token: string | undefined,
  sessions: AdminSessions,
): Caller | undefined {
  if (token === undefined) return { kind: 'anybody' };
  if (isBearer(c.req.header('authorization'), token)) return { kind: 'bearer' };
  const id = getCookie(c, SESSION_COOKIE);
  return id !== undefined && sessions.has(id) ? { kind: 'session', id } : undefined;
}

/** What a page must send with its changes. */
export function csrfTokenFor(caller: Caller, sessions: AdminSessions): string {
  return sessions.csrfTokenOf(caller.kind === 'session' ? caller.id : undefined);
}

/**
 * Takes no change from a browser without the token that only our own page can read. Who sends the admin token itself
 * needs none: no browser adds that header by itself.
 */
export function csrfProtection(sessions: AdminSessions): MiddlewareHandler<AdminEnvironment> {
  return async (c, next) => {
    if (c.req.method === 'GET' || c.req.method === 'HEAD') return next();
    const caller = c.get('caller');
    if (caller.kind === 'bearer' || !isBrowser(c.req)) return next();
    const id = caller.kind === 'session' ? caller.id : undefined;
    if (sessions.isCsrfToken(c.req.header(CSRF_HEADER) ?? '', id)) return next();
    if (isForeign(c.req))
      return problemAnswer('refused', 'requests that other web sites cause are not taken', 403);
    const detail = `${CSRF_HEADER}: is missing or not that of this page; load the page again`;
    const answer = problemAnswer('refused', detail, 403);
    answer.headers.set('Cache-Control', 'no-store');
    answer.headers.set('X-Content-Type-Options', 'nosniff');
    return answer;
  };
}
