import { UpstreamError } from '../upstream/upstream-error.ts';

/** What is known of a mutable answer (a tag, a list) that is held here. */
export interface Held {
  /** Wall time of the upstream's last word, milliseconds since 1970. */
  readonly checkedAt: number;
}

export interface FreshnessPolicy {
  /** How long the upstream's word is taken without asking again. */
  readonly ttlMs: number;
  /** How old it may be when the upstream cannot be asked. */
  readonly maxStaleMs: number;
  /** The upstream is never asked: whatever is held is served, however old. */
  readonly isOffline: boolean;
}

export type Freshness = 'fresh' | 'ask' | 'offline';

/** May an answer be given without asking? A time in the future (a clock that was set back) is never fresh. */
export function freshnessOf(held: Held | undefined, policy: FreshnessPolicy, nowMs: number): Freshness {
  if (held === undefined) return 'ask';
  if (policy.isOffline) return 'offline';
  const age = nowMs - held.checkedAt;
  return age >= 0 && age < policy.ttlMs ? 'fresh' : 'ask';
}

/**
 * May what is held be served after asking failed with `error`? Yes when the upstream could not say (unreachable, slow,
 * 5xx, 429, an answer that makes no sense) and the copy is not too old. Its 401, 403 and 404 are its word, and stand.
 */
export function mayServeStale(held: Held, error: unknown, policy: FreshnessPolicy, nowMs: number): boolean {
  if (!(error instanceof UpstreamError)) return false;
  if (error.reason === 'not-found' || error.reason === 'denied' || error.reason === 'refused') return false;
  return nowMs - held.checkedAt <= policy.maxStaleMs;
}

/** Never negative: a clock that was set back makes no answer younger than new. */
export function ageOf(held: Held, nowMs: number): number {
  return Math.max(0, nowMs - held.checkedAt);
}
