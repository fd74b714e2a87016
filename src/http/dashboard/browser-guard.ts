import type { MiddlewareHandler } from 'hono';
import { isForeign, isOwnHost } from '../browser-request.ts';

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
  "base-uri 'none'",
].join('; ');

/**
 * What every answer for browsers has, and who may ask at all.
 * @param options.needsOwnHost as for the admin API: without a token a name that somebody else gave this machine is not taken
 */
export function browserGuard({ needsOwnHost }: { readonly needsOwnHost: boolean }): MiddlewareHandler {
  return async (c, next) => {
    c.header('Content-Security-Policy', POLICY);
    c.header('X-Content-Type-Options', 'nosniff');
    c.header('X-Frame-Options', 'DENY');
    // Not `no-referrer`: with it browsers say `Origin: null` of our own forms.
    c.header('Referrer-Policy', 'same-origin');
    c.header('Cross-Origin-Resource-Policy', 'same-origin');
    c.header('Cache-Control', 'no-store');
    if (needsOwnHost && !isOwnHost(c.req.header('host')))
      return c.text('Host: accepted is an IP address or localhost\n', 403);
    if (c.req.method !== 'GET' && c.req.method !== 'HEAD' && isForeign(c.req))
      return c.text('requests that other web sites cause are not taken\n', 403);
    return next();
  };
}
