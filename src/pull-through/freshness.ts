import { UpstreamError } from '../upstream/upstream-error.ts';
import type { OutcomeReason } from './outcome-reason.ts';
import { type StaleLimits, staleReasonOf } from './stale-policy.ts';

/** What is known of a mutable answer (a tag, a list) that is held here. */
export interface Held {
  /** Wall time of the upstream's last word, milliseconds since 1970. */
  readonly checkedAt: number;
}

export interface FreshnessPolicy {
  /** How long the upstream's word is taken without asking again. Infinity: what it said once it will always say. */
  readonly ttlMs: number;
  /** How old it may be when asking the upstream fails. */
  readonly staleMs: StaleLimits;
  /** The upstream is never asked: whatever is held is served, however old. */
  readonly isOffline: boolean;
}

export type Freshness = 'fresh' | 'ask' | 'offline';

/** May an answer be given without asking? A time in the future (a clock that was set back) is never fresh. */
export function freshnessOf(held: Held | undefined, policy: FreshnessPolicy, nowMs: number): Freshness {
  if (held === undefined) return 'ask';
  if (policy.isOffline) return 'offline';
  if (policy.ttlMs === Infinity) return 'fresh';
  const age = nowMs - held.checkedAt;
  return age >= 0 && age < policy.ttlMs ? 'fresh' : 'ask';
}

/** May what is held be served after asking failed with `error`? Says the policy, for each way to fail; offline always. */
export function mayServeStale(held: Held, error: unknown, policy: FreshnessPolicy, nowMs: number): boolean {
  if (error instanceof UpstreamError && error.reason === 'offline') return true;
  const reason = staleReasonOf(error);
  const limitMs = reason && policy.staleMs[reason];
  return limitMs !== undefined && nowMs - held.checkedAt <= limitMs;
}

/** Why something stale is served after `error`. */
export function staleReason(error: unknown): OutcomeReason {
  const reason = error instanceof UpstreamError ? error.reason : undefined;
  return reason === 'offline' || reason === 'rate-limited' ? reason : 'upstream-failed';
}

/** True when what is held will do whenever the upstream cannot say: then its trouble need not be waited out. */
export function needsNoPatience({ staleMs }: FreshnessPolicy): boolean {
  return staleMs.timeout !== undefined && staleMs['5xx'] !== undefined && staleMs['429'] !== undefined;
}

/** Never negative: a clock that was set back makes no answer younger than new. */
export function ageOf(held: Held, nowMs: number): number {
  return Math.max(0, nowMs - held.checkedAt);
}
