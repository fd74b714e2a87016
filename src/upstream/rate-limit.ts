import type { RateLimitReport } from './upstream-observer.ts';
import type { ResponseHeaders } from './response-headers.ts';

/** A number this large is a time since 1970, not one from now: some registries say it so. */
const EPOCH_SECONDS = 1_000_000_000;
/** No registry counts over longer. */
const LONGEST_MS = 31 * 24 * 3_600_000;

/**
 * The pull allowance in `RateLimit-Limit` and `RateLimit-Remaining` as Docker Hub sends them (`100;w=21600`: so many in
 * so many seconds), and in `RateLimit-Reset`, which it does not send, seconds from now or since 1970. `undefined` when the
 * answer says nothing of it.
 */
export function rateLimitOf(
  headers: ResponseHeaders,
  nowMs: number,
): Omit<RateLimitReport, 'account'> | undefined {
  const limitText = headers.one('ratelimit-limit');
  const remainingText = headers.one('ratelimit-remaining');
  const limit = countOf(limitText);
  const remaining = countOf(remainingText);
  if (limit === undefined && remaining === undefined) return undefined;
  const windowMs = windowOf(limitText) ?? windowOf(remainingText);
  const resetInMs = resetOf(headers.one('ratelimit-reset'), nowMs);
  return {
    limit,
    remaining,
    ...(windowMs !== undefined && { windowMs }),
    ...(resetInMs !== undefined && { resetInMs }),
  };
}

function countOf(value: string | undefined): number | undefined {
  const found = /^\s*(\d{1,15})\s*(?:[;,]|$)/.exec(value ?? '');
  return found === null ? undefined : Number(found[1]);
}

function windowOf(value: string | undefined): number | undefined {
  const found = /^[^,]{1,100}?;\s*w=(\d{1,9})\s*(?:[;,]|$)/.exec(value ?? '');
  return found === null ? undefined : sensible(Number(found[1]) * 1000);
}

function resetOf(value: string | undefined, nowMs: number): number | undefined {
  const seconds = countOf(value);
  if (seconds === undefined) return undefined;
  const ms = seconds * 1000;
  return sensible(seconds < EPOCH_SECONDS ? ms : Math.max(0, ms - nowMs));
}

function sensible(ms: number): number | undefined {
  return ms <= LONGEST_MS ? ms : undefined;
}
