/**
 * Why an upstream did not give what was asked.
 * - `not-found`: it said 404, or (asked without credentials) 401 or 403, which registries say for absent and private alike;
 * - `denied`: it refused our credentials or what they may see;
 * - `rate-limited`: 429; `retryAfterMs` when it said so;
 * - `unavailable`: no connection, a reset, a 5xx;
 * - `timeout`: a deadline passed;
 * - `protocol`: an answer that breaks the protocol or names something else than what was asked;
 * - `refused`: our own policy said no (redirect or token realm to a forbidden place);
 * - `offline`: it was not asked, since we are offline, or was no longer waited for when we went offline.
 */
export type UpstreamErrorReason =
  'not-found' | 'denied' | 'rate-limited' | 'unavailable' | 'timeout' | 'protocol' | 'refused' | 'offline';

export interface UpstreamErrorFacts {
  /** Status of the upstream's answer; absent when there was none. */
  readonly status?: number | undefined;
  readonly retryAfterMs?: number | undefined;
  /** True: trying again within the same request is of no use. */
  readonly isFinal?: boolean | undefined;
  readonly cause?: unknown;
}

/** The message is safe to show to clients and in logs: no query, no credential. */
export class UpstreamError extends Error {
  override readonly name = 'UpstreamError';
  readonly reason: UpstreamErrorReason;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;
  readonly isFinal: boolean;

  constructor(reason: UpstreamErrorReason, message: string, facts: UpstreamErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.reason = reason;
    this.status = facts.status;
    this.retryAfterMs = facts.retryAfterMs;
    this.isFinal = facts.isFinal === true;
  }
}
