import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import { Authorization } from './authorization.ts';
import { discard, readBounded } from './bounded-body.ts';
import { Deadline } from './deadline.ts';
import type { TransportResponse } from './exchange.ts';
import { Health } from './health.ts';
import { HostTrust } from './host-trust.ts';
import { Limiter } from './limiter.ts';
import { type PausedKind, Pauses } from './pauses.ts';
import { rateLimitOf } from './rate-limit.ts';
import { followRedirects } from './redirects.ts';
import { DEFAULT_PATIENCE_MS, Effort, RetryBudget, retrying } from './retry.ts';
import { statusError } from './status-error.ts';
import { type TokenReply, TokenSource } from './token-source.ts';
import { Transport } from './transport.ts';
import { UpstreamError } from './upstream-error.ts';
import type { UpstreamObserver, UpstreamRequestKind } from './upstream-observer.ts';

const TOKEN_REPLY_LIMIT_BYTES = 64 * 1024;
/** From the first try to the last byte, for everything but blobs. */
const TOTAL_LIMIT_MS = 30_000;
const SMALL_BODY_WATER_MARK_BYTES = 64 * 1024;
/** Who takes a blob keeps what has come in itself: what waits here is lost when the transfer breaks. */
const BLOB_WATER_MARK_BYTES = 64 * 1024;

export interface RegistryClientOptions {
  readonly config: UpstreamConfig;
  readonly clock: Clock;
  readonly observer: UpstreamObserver;
  readonly version: string | undefined;
  readonly lookup: LookupFunction | undefined;
}

/** A request to the distribution API, from parsed parts only. */
export interface RegistryRequest {
  readonly kind: 'manifest' | 'blob' | 'tags' | 'referrers';
  readonly method: 'GET' | 'HEAD';
  readonly repository: string;
  /** Below `/v2/<repository>`: `/blobs/sha256:…`, with the query if any. */
  readonly endpoint: string;
  /** Sent on every hop; no credential may be among them. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly patienceMs?: number | undefined;
}

/**
 * One request to one registry as an operation sees it: whether it may go now (health, pauses, slots), signing in,
 * redirects, retries, deadlines. Knows nothing of what the answers mean.
 */
export class RegistryClient {
  readonly #options: RegistryClientOptions;
  readonly #base: URL;
  readonly #transport: Transport;
  readonly #tokens: TokenSource;
  readonly #authorization: Authorization;
  readonly #pauses: Pauses;
  readonly #limiter: Limiter;
  readonly #budget: RetryBudget;
  readonly #health: Health;
  readonly #closing = new AbortController();

  constructor(options: RegistryClientOptions) {
    const { config, clock, observer, version, lookup } = options;
    this.#options = options;
    this.#base = new URL(config.url);
    const trust = new HostTrust(this.#base, config.trustedHosts);
    this.#transport = new Transport({ trust, tls: config.tls, clock, version, lookup });
    this.#tokens = new TokenSource({
      clock,
      trust,
      auth: config.auth,
      send: async (url, authorization, signal) => this.#token(url, authorization, signal),
      onRefusedRealm: (host) => observer.refused({ what: 'realm', host }),
    });
    this.#authorization = new Authorization({
      clock,
      tokens: this.#tokens,
      auth: config.auth,
      origin: this.#base.origin,
      ping: async (signal) =>
        this.#hop({ url: this.#url('/v2/'), method: 'GET', kind: 'ping', headers: {} }, signal),
    });
    this.#pauses = new Pauses(clock);
    this.#limiter = new Limiter(clock);
    this.#budget = new RetryBudget(clock);
    this.#health = new Health(clock, (up) => observer.availabilityChanged(up));
  }

  /**
   * A 2xx answer. Its body must be read to the end or destroyed; until then it holds one of the upstream's slots.
   * @throws UpstreamError, for every other status too; the signal's reason
   */
  async send(request: RegistryRequest, signal: AbortSignal): Promise<TransportResponse> {
    const { clock, observer } = this.#options;
    const { kind } = request;
    const effort = new Effort(clock, request.patienceMs ?? DEFAULT_PATIENCE_MS);
    const admission = this.#health.admit(effort.patienceMs);
    const attempt = async (): Promise<TransportResponse> => this.#attempt(request, effort, signal);
    const onRetry = ({ reason }: UpstreamError, delayMs: number): void => {
      this.#closing.signal.throwIfAborted();
      observer.retried({ kind, reason, delayMs });
    };
    try {
      if (!admission.mayRetry) return await attempt();
      return await retrying({ clock, budget: this.#budget, effort, onRetry }, attempt, signal);
    } finally {
      admission.left();
    }
  }

  /** Ends all connections; calls in flight fail with UpstreamError `unavailable`. */
  async close(): Promise<void> {
    this.#closing.abort(new UpstreamError('unavailable', 'the upstream client is closed'));
    this.#tokens.close();
    await this.#transport.close();
  }

  async #attempt(request: RegistryRequest, effort: Effort, signal: AbortSignal): Promise<TransportResponse> {
    const { clock } = this.#options;
    this.#closing.signal.throwIfAborted();
    const pausedKind = pausedKindOf(request);
    const leavePause = await this.#pauses.pass(pausedKind, effort.remainingMs(), signal);
    try {
      const queuedAtMs = clock.monotonic();
      const transfer = request.kind === 'blob' && request.method === 'GET';
      const leaveSlot = await this.#limiter.slot(transfer ? 'blob' : 'other', signal);
      effort.exclude(clock.monotonic() - queuedAtMs);
      const message = `${this.#base.host} did not answer in time`;
      const deadline = new Deadline({ clock, ms: effort.headersMs(), message }, signal);
      const leave = (): void => {
        deadline.close();
        leaveSlot();
      };
      try {
        const response = await this.#answer(request, pausedKind, deadline.signal);
        if (request.kind === 'blob') deadline.stop();
        else deadline.rearm(TOTAL_LIMIT_MS - effort.spentMs());
        if (response.body.closed) leave();
        else response.body.once('close', leave);
        return response;
      } catch (error) {
        leave();
        throw error;
      }
    } finally {
      leavePause();
    }
  }

  async #answer(
    request: RegistryRequest,
    pausedKind: PausedKind,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    const url = this.#url(`/v2/${request.repository}${request.endpoint}`);
    const { method, kind, headers = {} } = request;
    const response = await this.#authorization.send(
      {
        scope: `repository:${request.repository}:pull`,
        send: async (authorization) => this.#follow({ url, method, kind, headers, authorization }, signal),
      },
      signal,
    );
    this.#checkStatus(response, { kind, pausedKind });
    return response;
  }

  /** Takes 2xx in plain bytes only. */
  #checkStatus(
    response: TransportResponse,
    { kind, pausedKind }: { kind: UpstreamRequestKind; pausedKind: PausedKind },
  ): void {
    const { config, clock } = this.#options;
    const { status, headers, url } = response;
    if (status < 200 || status > 299) {
      const storage = kind === 'blob' && url.origin !== this.#base.origin;
      const error = statusError(response, {
        anonymous: config.auth === undefined,
        storage,
        nowMs: clock.now(),
      });
      if (status === 429) this.#pauses.begin(pausedKind, error.retryAfterMs);
      discard(response.body);
      throw error;
    }
    const encodings = headers
      .all('content-encoding')
      .filter((value) => !/^(?:identity)?$/i.test(value.trim()));
    if (encodings.length === 0) return;
    response.body.destroy();
    throw new UpstreamError('protocol', `${url.host} sent an encoded body unasked`, { status });
  }

  async #token(url: URL, authorization: string | undefined, signal: AbortSignal): Promise<TokenReply> {
    const leavePause = await this.#pauses.pass('token', DEFAULT_PATIENCE_MS, signal);
    try {
      const response = await this.#follow(
        { url, method: 'GET', kind: 'token', headers: {}, authorization },
        signal,
      );
      const { status } = response;
      if (status === 429 || status >= 500)
        this.#checkStatus(response, { kind: 'token', pausedKind: 'token' });
      if (status === 200) return { status, body: await readBounded(response.body, TOKEN_REPLY_LIMIT_BYTES) };
      discard(response.body);
      return { status, body: Buffer.alloc(0) };
    } finally {
      leavePause();
    }
  }

  async #follow(
    hop: Hop & { readonly authorization: string | undefined },
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    const { authorization, headers, method, kind } = hop;
    return followRedirects(hop.url, {
      send: async (url, atHome) => {
        const credentials: Record<string, string> =
          atHome && authorization !== undefined ? { authorization } : {};
        return this.#hop({ url, method, kind, headers: { ...headers, ...credentials } }, signal);
      },
      onRefused: (host) => this.#options.observer.refused({ what: 'redirect', host }),
    });
  }

  /** One request on the wire. */
  async #hop({ url, method, kind, headers }: Hop, signal: AbortSignal): Promise<TransportResponse> {
    const { clock, observer, config } = this.#options;
    const atHome = url.origin === this.#base.origin;
    const startedAtMs = clock.monotonic();
    observer.requestStarted({ kind, method });
    const finished = (code: number | 'error'): void =>
      observer.requestFinished({ kind, method, code, durationMs: clock.monotonic() - startedAtMs });
    const highWaterMarkBytes = kind === 'blob' ? BLOB_WATER_MARK_BYTES : SMALL_BODY_WATER_MARK_BYTES;
    const onBytes = (count: number): void => observer.bytesReceived(count);
    try {
      const response = await this.#transport.request(
        { url, method, headers, highWaterMarkBytes, onBytes },
        signal,
      );
      finished(response.status);
      if (atHome) this.#health.answered();
      const report = rateLimitOf(response.headers);
      if (report) observer.rateLimit({ ...report, account: config.auth?.username ?? 'anonymous' });
      return response;
    } catch (error) {
      finished('error');
      if (error instanceof UpstreamError) {
        if (error.reason === 'refused') observer.refused({ what: 'address', host: url.host });
        if (atHome && (error.reason === 'unavailable' || error.reason === 'timeout')) this.#health.failed();
      }
      throw error;
    }
  }

  #url(path: string): URL {
    return new URL(this.#base.origin + this.#base.pathname.replace(/\/$/, '') + path);
  }
}

interface Hop {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD';
  readonly kind: UpstreamRequestKind;
  readonly headers: Readonly<Record<string, string>>;
}

function pausedKindOf({ kind, method }: RegistryRequest): PausedKind {
  if (kind !== 'manifest') return kind;
  return method === 'GET' ? 'manifest-get' : 'manifest-head';
}
