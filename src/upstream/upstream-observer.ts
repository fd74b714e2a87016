import type { BreakerPhase } from './health.ts';
import type { TraceParent } from '../request-cause.ts';
import type { PausedKind } from './pauses.ts';
import type { UpstreamError, UpstreamErrorReason } from './upstream-error.ts';

/** What a request to an upstream was for. `ping` is `GET /v2/`, asked only for its challenge. */
export type UpstreamRequestKind = 'manifest' | 'blob' | 'tags' | 'referrers' | 'token' | 'ping';

/** One request on the wire: redirect hops and token requests count one by one. */
export interface FinishedRequest {
  readonly kind: UpstreamRequestKind;
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Status of the answer; `error` when there was none. */
  readonly code: number | 'error';
  /** Until the headers (or the failure), milliseconds. */
  readonly durationMs: number;
  /** The client's request that it was for, as log lines have it; absent: none, or it is not known. */
  readonly request?: string | undefined;
  /** Where its span belongs; absent: it is not traced. */
  readonly trace?: TraceParent | undefined;
  /** Why there was no answer; absent too when whoever asked gave it up. */
  readonly error?: UpstreamError | undefined;
}

/** The pull allowance as the upstream's `RateLimit-*` headers say it. */
export interface RateLimitReport {
  readonly limit: number | undefined;
  readonly remaining: number | undefined;
  /** Milliseconds over which it counts, where it says so. */
  readonly windowMs?: number | undefined;
  /** Milliseconds from now until it is whole again, where it says so. */
  readonly resetInMs?: number | undefined;
  /** The configured user name or kind of credentials, or `anonymous`. */
  readonly account: string;
}

/**
 * What happens between us and one upstream, for metrics and log. One observer belongs to one upstream. Every method
 * is called synchronously and must not throw; nothing in the events is secret (hosts only, no path, no query).
 */
export interface UpstreamObserver {
  /** A request goes on the wire; `requestFinished` follows, whatever becomes of it. */
  requestStarted(event: { kind: UpstreamRequestKind; method: 'GET' | 'HEAD' | 'POST' }): void;
  requestFinished(event: FinishedRequest): void;
  /** Body bytes as they come, of every kind of answer. */
  bytesReceived(count: number): void;
  rateLimit(report: RateLimitReport): void;
  /** Why it is taken for down; `undefined` when it answers again. Not called before the first change. */
  availabilityChanged(cause: UpstreamError | undefined): void;
  /** The same of one of its mirrors. `mirror` is `host[:port]`. */
  mirrorAvailabilityChanged(event: { mirror: string; cause: UpstreamError | undefined }): void;
  /** Whether misses fail at once. Not called before the first change, and not for mirrors. */
  breakerChanged(phase: BreakerPhase): void;
  /** Some of its requests wait for so long: it said so (429), or the configured pace does. Not called for mirrors. `kind`: which; absent: it is not known. */
  paused(event: { cause: 'rate-limited' | 'pace'; forMs: number; kind?: PausedKind | undefined }): void;
  /**
   * One try to get an answer failed, or the body after it broke; not that something does not exist, that we are offline,
   * or that whoever asked gave it up.
   */
  tryFailed(event: { kind: UpstreamRequestKind; error: UpstreamError }): void;
  /** A failed try is about to be repeated after `delayMs`. */
  retried(event: {
    kind: UpstreamRequestKind;
    reason: UpstreamErrorReason;
    delayMs: number;
    request?: string | undefined;
  }): void;
  /** Our policy forbade a place that the upstream named. `host` is `host[:port]`. */
  refused(event: { what: 'realm' | 'redirect' | 'address'; host: string }): void;
  /** The credentials under `key` (a key path) work, or may, but are not as they should be. */
  doubtfulCredentials(event: { key: string; problem: string }): void;
  /** There are no credentials under `key` (a key path), which was seen at the start; `problem` names the upstream. */
  unusableCredentials(event: { key: string; problem: string }): void;
  /** The files of its TLS changed and cannot be used; what they held before is used on. Names the files. */
  refusedTlsFiles(event: { problem: string }): void;
}

/** Looks away. */
export const silentObserver: UpstreamObserver = {
  requestStarted() {},
  requestFinished() {},
  bytesReceived() {},
  rateLimit() {},
  availabilityChanged() {},
  mirrorAvailabilityChanged() {},
  breakerChanged() {},
  paused() {},
  tryFailed() {},
  retried() {},
  refused() {},
  doubtfulCredentials() {},
  unusableCredentials() {},
  refusedTlsFiles() {},
};

/** Tells both, in this order. */
export function bothObservers(first: UpstreamObserver, second: UpstreamObserver): UpstreamObserver {
  return {
    requestStarted(event) {
      first.requestStarted(event);
      second.requestStarted(event);
    },
    requestFinished(event) {
      first.requestFinished(event);
      second.requestFinished(event);
    },
    bytesReceived(event) {
      first.bytesReceived(event);
      second.bytesReceived(event);
    },
    rateLimit(event) {
      first.rateLimit(event);
      second.rateLimit(event);
    },
    availabilityChanged(event) {
      first.availabilityChanged(event);
      second.availabilityChanged(event);
    },
    mirrorAvailabilityChanged(event) {
      first.mirrorAvailabilityChanged(event);
      second.mirrorAvailabilityChanged(event);
    },
    breakerChanged(event) {
      first.breakerChanged(event);
      second.breakerChanged(event);
    },
    paused(event) {
      first.paused(event);
      second.paused(event);
    },
    tryFailed(event) {
      first.tryFailed(event);
      second.tryFailed(event);
    },
    retried(event) {
      first.retried(event);
      second.retried(event);
    },
    refused(event) {
      first.refused(event);
      second.refused(event);
    },
    doubtfulCredentials(event) {
      first.doubtfulCredentials(event);
      second.doubtfulCredentials(event);
    },
    unusableCredentials(event) {
      first.unusableCredentials(event);
      second.unusableCredentials(event);
    },
    refusedTlsFiles(event) {
      first.refusedTlsFiles(event);
      second.refusedTlsFiles(event);
    },
  };
}
