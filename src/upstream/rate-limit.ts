import type { ResponseHeaders } from './response-headers.ts';

/**
 * The pull allowance in `RateLimit-Limit` and `RateLimit-Remaining` as Docker Hub sends them (`100;w=21600`).
 * `undefined` when the answer says nothing of it.
 */
export function rateLimitOf(
  headers: ResponseHeaders,
): { limit: number | undefined; remaining: number | undefined } | undefined {
  const limit = countOf(headers.one('ratelimit-limit'));
  const remaining = countOf(headers.one('ratelimit-remaining'));
  return limit === undefined && remaining === undefined ? undefined : { limit, remaining };
}

function countOf(value: string | undefined): number | undefined {
  const found = /^\s*(\d{1,15})\s*(?:[;,]|$)/.exec(value ?? '');
  return found === null ? undefined : Number(found[1]);
}
