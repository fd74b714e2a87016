import { setMaxListeners } from 'node:events';
import type { UpstreamConfig } from '../config.ts';
import { Authorization } from './authorization.ts';
import { discard, readBounded } from './bounded-body.ts';
import type { CredentialSource } from './credentials/credential-source.ts';
import { openCredentials } from './credentials/open-credentials.ts';
import { Deadline } from './deadline.ts';
import type { TransportResponse } from './exchange.ts';
import type { Admission } from './health.ts';
import { JoinedSignal } from './joined-signal.ts';
import type { LimitedKind } from './limiter.ts';
import { type PausedKind, Pauses } from './pauses.ts';
import { rateLimitOf } from './rate-limit.ts';
import { followRedirects } from './redirects.ts';
import type { RegistryHost } from './registry-host.ts';
import { DEFAULT_PATIENCE_MS, Effort, retrying, SMALL_PATIENCE_MS } from './retry.ts';
import { statusError } from './status-error.ts';
import { causeOf } from '../request-cause.ts';
import { type TokenCall, type TokenReply, TokenSource } from './token-source.ts';
import { UpstreamError } from './upstream-error.ts';
import type { UpstreamObserver, UpstreamRequestKind } from './upstream-observer.ts';

const TOKEN_REPLY_LIMIT_BYTES = 64 * 1024;
const OAUTH_ERROR_LIMIT_BYTES = 8 * 1024;
/** From the first try to the last byte, for everything but blobs. */
const TOTAL_LIMIT_MS = 30_000;
const SMALL_BODY_WATER_MARK_BYTES = 64 * 1024;
/** Who takes a blob keeps what has come in itself: what waits here is lost when the transfer breaks. */
const BLOB_WATER_MARK_BYTES = 64 * 1024;

export interface RegistryClientOptions {
  /** Shared with the registry's other accounts; whoever made it closes it. */
  readonly host: RegistryHost;
  /** The upstream's, for messages. */
  readonly name: string;
  readonly auth: UpstreamConfig['auth'];
  /** Where `auth` stands in the configuration: `upstreams.quay.io.auth`. */
  readonly authKeyPath: string;
  readonly observer: UpstreamObserver;
  /** No request has more patience than this, whatever it asks for. */
  readonly patienceLimitMs?: number | undefined;
  /** Until the headers of anything but a blob's body, signing in included. Absent: as long as its patience says. */
  readonly headersLimitMs?: number | undefined;
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
  /** True: when it is refused (429) the others go on. */
  readonly isOptional?: boolean | undefined;
}

/**
 * One request to one registry with one account's credentials, as an operation sees it: whether it may go now (health,
 * pauses, slots), signing in, redirects, retries, deadlines. Knows nothing of what the answers mean.
 */
export class RegistryClient {
  readonly #host: RegistryHost;
  readonly #credentials: CredentialSource;
  readonly #observer: UpstreamObserver;
  readonly #tokens: TokenSource;
  readonly #authorization: Authorization;
  readonly #pauses: Pauses;
  readonly #authKeyPath: string;
  readonly #patienceLimitMs: number;
  readonly #headersLimitMs: number;
  readonly #closing = new AbortController();

  constructor(options: RegistryClientOptions) {
    const { host, name, auth, authKeyPath, observer } = options;
    // Every request that waits listens; the limiter bounds them.
    setMaxListeners(0, this.#closing.signal);
    this.#authKeyPath = authKeyPath;
    this.#patienceLimitMs = options.patienceLimitMs ?? Infinity;
    this.#headersLimitMs = options.headersLimitMs ?? Infinity;
    const { clock } = host;
    this.#host = host;
    this.#observer = observer;
    this.#credentials = openCredentials(auth, {
      upstreamName: name,
      keyPath: authKeyPath,
      base: host.base,
      clock,
      post: async (url, form, signal) => this.#token({ url, authorization: undefined, form }, signal),
      warn: (key, problem) => observer.doubtfulCredentials({ key, problem }),
      unusable: (key, problem) => observer.unusableCredentials({ key, problem }),
    });
    const credentials = this.#credentials;
    this.#tokens = new TokenSource({
      clock,
      trust: host.trust,
      credentials,
      send: async (call, signal) => this.#token(call, signal),
      onRefusedRealm: (realmHost) => observer.refused({ what: 'realm', host: realmHost }),
    });
    this.#authorization = new Authorization({
      clock,
      tokens: this.#tokens,
      credentials,
      origin: host.base.origin,
      ping: async (signal) =>
        this.#hop({ url: host.url('/v2/'), method: 'GET', kind: 'ping', headers: {} }, signal),
    });
    this.#pauses = new Pauses(clock);
  }

  /**
   * A 2xx answer. Its body must be read to the end or destroyed; until then it holds one of the upstream's slots.
   * @throws UpstreamError, for every other status too; the signal's reason
   */
  async send(request: RegistryRequest, signal: AbortSignal): Promise<TransportResponse> {
    const observer = this.#observer;
    const { clock, health, retries } = this.#host;
    const { kind } = request;
    const effort = new Effort(
      clock,
      Math.min(request.patienceMs ?? DEFAULT_PATIENCE_MS, this.#patienceLimitMs),
    );
    // What only waits ends when we are closed; what is on the wire, with its connection.
    const waiting = new JoinedSignal(signal, this.#closing.signal);
    const attempt = async (): Promise<TransportResponse> =>
      this.#attempt(request, effort, signal, waiting.signal);
    const onRetry = ({ reason }: UpstreamError, delayMs: number): void =>
      observer.retried({ kind, reason, delayMs, request: causeOf(signal)?.id });
    const begin = async ({ mayRetry, left }: Admission): Promise<TransportResponse> => {
      try {
        if (!mayRetry) return await attempt();
        return await retrying({ clock, budget: retries, effort, onRetry }, attempt, waiting.signal);
      } finally {
        left();
        waiting.leave();
      }
    };
    let admission: Admission;
    try {
      admission = await health.admit(effort.patienceMs, waiting.signal);
    } catch (error) {
      waiting.leave();
      throw error;
    }
    const asking = begin(admission);
    const hasSomethingElse = effort.patienceMs < SMALL_PATIENCE_MS;
    return admission.isProbe && hasSomethingElse ? this.#inTime(asking, signal) : asking;
  }

  /** A probe that takes longer than those wait who only follow it goes on, but not for who has something else. */
  async #inTime(asking: Promise<TransportResponse>, signal: AbortSignal): Promise<TransportResponse> {
    const told = this.#host.health.probed(signal).then(() => asking);
    told.catch(() => undefined);
    try {
      return await Promise.race([asking, told]);
    } catch (error) {
      asking.then(
        ({ body }) => discard(body),
        () => undefined,
      );
      throw error;
    }
  }

  /** Nothing more is begun; what waits fails with UpstreamError `unavailable`. The host's connections go on. */
  close(): void {
    this.#closing.abort(new UpstreamError('unavailable', 'the upstream client is closed'));
    this.#tokens.close();
    this.#credentials.close();
  }

  async #attempt(
    request: RegistryRequest,
    effort: Effort,
    signal: AbortSignal,
    waiting: AbortSignal,
  ): Promise<TransportResponse> {
    const { clock, limiter, base } = this.#host;
    const { kind } = request;
    waiting.throwIfAborted();
    const pausedKind = pausedKindOf(request);
    const leavePause = await this.#pauses.pass(pausedKind, effort.remainingMs(), waiting);
    try {
      const queuedAtMs = clock.monotonic();
      const limitedKind = limitedKindOf(request);
      const leaveSlot = await limiter.slot(limitedKind, waiting);
      effort.exclude(clock.monotonic() - queuedAtMs);
      const message = `${base.host} did not answer in time`;
      const limitMs = limitedKind === 'blob' ? Infinity : this.#headersLimitMs;
      const ms = Math.min(effort.headersMs(), limitMs);
      const deadline = new Deadline({ clock, ms, message }, signal);
      const leave = (): void => {
        deadline.close();
        leaveSlot();
      };
      try {
        const pausing = request.isOptional === true ? undefined : pausedKind;
        const response = await this.#answer(request, pausing, deadline.signal);
        if (kind === 'blob') deadline.stop();
        else deadline.rearm(TOTAL_LIMIT_MS - effort.spentMs());
        if (response.body.closed) leave();
        else response.body.once('close', leave);
        response.body.once('error', (error) => this.failed(kind, error, signal));
        return response;
      } catch (error) {
        leave();
        this.failed(kind, error, signal);
        throw error;
      }
    } finally {
      leavePause();
    }
  }

  /** Tells the observer of a try that failed, also where only its caller can see that: `signal` says whether anybody wanted it still. */
  failed(kind: UpstreamRequestKind, error: unknown, signal: AbortSignal): void {
    if (!(error instanceof UpstreamError) || signal.aborted || this.#closing.signal.aborted) return;
    if (error.reason !== 'not-found' && error.reason !== 'offline') this.#observer.tryFailed({ kind, error });
  }

  async #answer(
    request: RegistryRequest,
    pausedKind: PausedKind | undefined,
    signal: AbortSignal,
  ): Promise<TransportResponse> {
    const url = this.#host.url(`/v2/${request.repository}${request.endpoint}`);
    const { method, kind, headers = {} } = request;
    const response = await this.#authorization.send(
      {
        repository: request.repository,
        scope: `repository:${request.repository}:pull`,
        send: async (authorization) => this.#follow({ url, method, kind, headers, authorization }, signal),
      },
      signal,
    );
    const { status } = response;
    const isRefusal = status === 401 || status === 403;
    // 401 and 403 mean something else to who has no credentials.
    const anonymous = isRefusal && (await this.#authorization.isAnonymous(request.repository, signal));
    this.#checkStatus(response, { kind, pausedKind, anonymous });
    return response;
  }

  /** Takes 2xx in plain bytes only. */
  #checkStatus(
    response: TransportResponse,
    {
      kind,
      pausedKind,
      anonymous,
    }: { kind: UpstreamRequestKind; pausedKind: PausedKind | undefined; anonymous: boolean },
  ): void {
    const { base, clock } = this.#host;
    const { status, headers, url } = response;
    if (status < 200 || status > 299) {
      const storage = kind === 'blob' && url.origin !== base.origin;
      const error = statusError(response, {
        anonymous,
        authKeyPath: this.#authKeyPath,
        hidesMissing: this.#host.profile.hidesMissing,
        storage,
        nowMs: clock.now(),
      });
      if (status === 429 && pausedKind !== undefined) {
        const forMs = this.#pauses.begin(pausedKind, error.retryAfterMs);
        if (this.#host.mirror === undefined)
          this.#observer.paused({ cause: 'rate-limited', forMs, kind: pausedKind });
      }
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

  /** For whoever comes next, too: it does not end with the request that it was for, so it looks itself whether we go offline. */
  async #token(call: TokenCall, signal: AbortSignal): Promise<TokenReply> {
    const online = this.#host.whileOnline(signal);
    try {
      return await this.#tokenWhile(call, online.signal);
    } finally {
      online.leave();
    }
  }

  async #tokenWhile({ url, authorization, form }: TokenCall, signal: AbortSignal): Promise<TokenReply> {
    const leavePause = await this.#pauses.pass('token', DEFAULT_PATIENCE_MS, signal);
    try {
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      const response =
        form === undefined
          ? await this.#follow({ url, method: 'GET', kind: 'token', headers: {}, authorization }, signal)
          : await this.#hop({ url, method: 'POST', kind: 'token', headers, body: form }, signal);
      const { status } = response;
      if (status === 429 || status >= 500)
        this.#checkStatus(response, { kind: 'token', pausedKind: 'token', anonymous: false });
      if (status === 200) return { status, body: await readBounded(response.body, TOKEN_REPLY_LIMIT_BYTES) };
      // OAuth2 says in the body what was wrong; a body that cannot be read says nothing.
      const body =
        status === 400
          ? await readBounded(response.body, OAUTH_ERROR_LIMIT_BYTES).catch(() => undefined)
          : undefined;
      signal.throwIfAborted();
      if (body === undefined) discard(response.body);
      return { status, body: body ?? Buffer.alloc(0) };
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
      onRefused: (host) => this.#observer.refused({ what: 'redirect', host }),
    });
  }

  /** For metrics. */
  #account(): string {
    const { account } = this.#credentials;
    const { mirror } = this.#host;
    return mirror === undefined ? account : `${account} at ${mirror}`;
  }

  /** One request on the wire. */
  async #hop({ url, method, kind, headers, body }: Hop, signal: AbortSignal): Promise<TransportResponse> {
    const observer = this.#observer;
    const { clock, transport, health, base } = this.#host;
    this.#host.assertOnline();
    const atHome = url.origin === base.origin;
    const startedAtMs = clock.monotonic();
    observer.requestStarted({ kind, method });
    const finished = (code: number | 'error', error?: UpstreamError): void => {
      const durationMs = clock.monotonic() - startedAtMs;
      const { id: request, trace } = causeOf(signal) ?? {};
      observer.requestFinished({ kind, method, code, durationMs, error, request, trace });
    };
    const highWaterMarkBytes = kind === 'blob' ? BLOB_WATER_MARK_BYTES : SMALL_BODY_WATER_MARK_BYTES;
    const onBytes = (count: number): void => observer.bytesReceived(count);
    try {
      const response = await transport.request(
        { url, method, headers, body, highWaterMarkBytes, onBytes },
        signal,
      );
      finished(response.status);
      if (atHome) health.answered();
      const report = rateLimitOf(response.headers, clock.now());
      if (report) observer.rateLimit({ ...report, account: this.#account() });
      return response;
    } catch (error) {
      const isOurs = !(error instanceof UpstreamError) || error.reason === 'offline';
      finished('error', isOurs ? undefined : error);
      if (error instanceof UpstreamError) {
        if (error.reason === 'refused') observer.refused({ what: 'address', host: url.host });
        if (atHome && (error.reason === 'unavailable' || error.reason === 'timeout')) health.failed(error);
      }
      throw error;
    }
  }
}

interface Hop {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly kind: UpstreamRequestKind;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

function limitedKindOf({ kind, method }: RegistryRequest): LimitedKind {
  if (method === 'HEAD') return 'other';
  if (kind === 'blob') return 'blob';
  return kind === 'manifest' ? 'pull' : 'other';
}

function pausedKindOf({ kind, method }: RegistryRequest): PausedKind {
  if (kind !== 'manifest') return kind;
  return method === 'GET' ? 'manifest-get' : 'manifest-head';
}
