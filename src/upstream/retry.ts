import type { Clock } from '../clock.ts';
import { isCertificateError } from './connection-error.ts';
import { UpstreamError } from './upstream-error.ts';

/** How long short trouble of an upstream is waited out: containerd gives up after 30 s, and the last try takes time too. */
export const DEFAULT_PATIENCE_MS = 12_000;
/** Callers with less than this have something else to fall back on. */
export const SMALL_PATIENCE_MS = 5_000;

const FIRST_BACKOFF_MS = 200;
const LONGEST_BACKOFF_MS = 4_000;
const RETRIED_STATUSES = new Set([500, 502, 503, 504]);
/** From the first try to the headers of the last, waits for a free connection aside. */
const HEADERS_LIMIT_MS = 24_000;
const HEADERS_LIMIT_SMALL_PATIENCE_MS = 10_000;
const BUDGET_LIMIT = 10;
const BUDGET_PER_REQUEST = 0.1;
const BUDGET_PER_SECOND = 1;
/** What even the last try gets. */
const LAST_TRY_MS = 3_000;

/** What one operation may still spend on waiting. */
export class Effort {
  readonly patienceMs: number;
  readonly #clock: Clock;
  #startedAtMs: number;

  constructor(clock: Clock, patienceMs: number) {
    this.#clock = clock;
    this.patienceMs = patienceMs;
    this.#startedAtMs = clock.monotonic();
  }

  spentMs(): number {
    return this.#clock.monotonic() - this.#startedAtMs;
  }

  remainingMs(): number {
    return Math.max(0, this.patienceMs - this.spentMs());
  }

  /** Until when a try that starts now must have its headers, from now. */
  headersMs(): number {
    const limit = this.patienceMs < SMALL_PATIENCE_MS ? HEADERS_LIMIT_SMALL_PATIENCE_MS : HEADERS_LIMIT_MS;
    return Math.max(LAST_TRY_MS, limit - this.spentMs());
  }

  /** Time that was spent waiting for our own limits does not count. */
  exclude(ms: number): void {
    this.#startedAtMs += ms;
  }
}

/**
 * Bounds retries to a share of the requests, so that an upstream in trouble is not buried under them: each request
 * earns 0.1, each second 1, up to 10; a retry costs 1.
 */
export class RetryBudget {
  readonly #clock: Clock;
  #tokens = BUDGET_LIMIT;
  #refilledAtMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#refilledAtMs = clock.monotonic();
  }

  /** A request that is not a retry is about to be made. */
  earn(): void {
    this.#tokens = Math.min(BUDGET_LIMIT, this.#tokens + BUDGET_PER_REQUEST);
  }

  /** True when a retry may be made, which it then counts. */
  spend(): boolean {
    const now = this.#clock.monotonic();
    const earned = ((now - this.#refilledAtMs) / 1000) * BUDGET_PER_SECOND;
    this.#tokens = Math.min(BUDGET_LIMIT, this.#tokens + earned);
    this.#refilledAtMs = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/**
 * How long to wait before the next try, or `undefined` for none: tried again are failures before the headers, 500,
 * 502, 503 and 504, and a 429 that says when; with exponential backoff and full jitter (`random` in [0, 1)), or after
 * what `Retry-After` says; as long as the wait fits into `remainingMs`.
 */
export function retryDelayMs(
  error: UpstreamError,
  { attempt, remainingMs, random }: { attempt: number; remainingMs: number; random: number },
): number | undefined {
  if (!isRetriable(error)) return undefined;
  const ceiling = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt, 16));
  // Never sooner than without: some write `Retry-After: 0`.
  const delayMs = Math.max(error.retryAfterMs ?? 0, ceiling * random);
  return delayMs < remainingMs ? delayMs : undefined;
}

function isRetriable(error: UpstreamError): boolean {
  if (error.isFinal) return false;
  if (error.reason === 'rate-limited') return error.retryAfterMs !== undefined;
  if (error.reason !== 'unavailable' && error.reason !== 'timeout') return false;
  return error.status === undefined ? !isCertificateError(error) : RETRIED_STATUSES.has(error.status);
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly budget: RetryBudget;
  readonly effort: Effort;
  readonly onRetry: (error: UpstreamError, delayMs: number) => void;
}

/** Runs `attempt` until it succeeds or its error is final; throws that error, or the signal's reason. */
export async function retrying<T>(
  { clock, budget, effort, onRetry }: RetryOptions,
  attempt: () => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  budget.earn();
  for (let number = 0; ; number += 1) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UpstreamError)) throw error;
      const facts = { attempt: number, remainingMs: effort.remainingMs(), random: Math.random() };
      const delayMs = retryDelayMs(error, facts);
      if (delayMs === undefined || !budget.spend()) throw error;
      onRetry(error, delayMs);
      await clock.sleep(delayMs, signal);
    }
  }
}
