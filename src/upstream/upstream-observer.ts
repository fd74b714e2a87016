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
}

/** The pull allowance as the upstream's `RateLimit-*` headers say it. */
export interface RateLimitReport {
  readonly limit: number | undefined;
  readonly remaining: number | undefined;
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
  /** A failed try is about to be repeated after `delayMs`. */
  retried(event: { kind: UpstreamRequestKind; reason: UpstreamErrorReason; delayMs: number }): void;
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
  retried() {},
  refused() {},
  doubtfulCredentials() {},
  unusableCredentials() {},
  refusedTlsFiles() {},
};
