import { setMaxListeners } from 'node:events';
import type { LookupFunction } from 'node:net';
import type { Dispatcher } from 'undici';
import type { Clock } from '../clock.ts';
import type { ProxyServer, UpstreamConfig } from '../config.ts';
import { createConnector } from './connector.ts';
import { Exchange, type TransportResponse } from './exchange.ts';
import { type HostTrust, placeOf } from './host-trust.ts';
import { ProxyRoute } from './proxy-route.ts';
import { isProxysOwn } from './proxy-answer.ts';
import { proxyAuthorization, proxyRefusal } from './proxy-tunnel.ts';
import { tlsKeysFor } from './tls-keys.ts';
import { renewedConnector, TlsFiles } from './tls-files.ts';
import { UpstreamError } from './upstream-error.ts';
import { Agent } from './undici-parts.ts';

const RESPONSE_HEADERS_LIMIT_BYTES = 16 * 1024;
const FIRST_BYTE_MS = 20_000;
/** A blob that stalls is resumed, so this need not be long: whoever reads it waits for it. */
const IDLE_MS = 10_000;
/** About 1 KiB/s: far below any link that a pull could succeed on, far above an upstream that drips to hold us. */
const MINIMUM_PACE = { bytes: 64 * 1024, windowMs: 60_000 };
/** More than the limiter lets through, so that no request waits in undici's queue, where no deadline of ours counts. */
const CONNECTIONS_PER_ORIGIN = 128;
/** Redirect targets and token hosts besides the upstream itself. */
const ORIGINS_LIMIT = 64;
const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE_LIMIT_MS = 60_000;

export interface TransportOptions {
  readonly trust: HostTrust;
  readonly tls: UpstreamConfig['tls'];
  readonly proxy?: UpstreamConfig['proxy'];
  /** The files of `tls` changed and cannot be used; what they held before is used on. */
  readonly onTlsProblem?: ((problem: string) => void) | undefined;
  /** Where the upstream is configured, for messages: `upstreams.quay.io`. */
  readonly keyPath: string;
  readonly clock: Clock;
  /** Shown in `User-Agent`. */
  readonly version: string | undefined;
  /** In place of `dns.lookup`, for tests of name resolution. */
  readonly lookup: LookupFunction | undefined;
}

export interface TransportRequest {
  readonly url: URL;
  readonly method: 'GET' | 'HEAD' | 'POST';
  /** Of a POST. */
  readonly body?: string | undefined;
  /** All that is sent besides Host, User-Agent and Accept-Encoding. */
  readonly headers: Readonly<Record<string, string>>;
  /** How much of the body is taken ahead of its reader. */
  readonly highWaterMarkBytes: number;
  readonly onBytes: (count: number) => void;
}

/**
 * HTTP/1.1 to whatever host an upstream leads to, one pool for each origin. Knows no redirect, retry, cache or
 * decoding: undici's dispatcher is used bare, since its interceptors would do these things behind our back.
 */
export class Transport {
  readonly #agent: Dispatcher;
  readonly #clock: Clock;
  readonly #userAgent: string;
  readonly #route: ProxyRoute;
  readonly #trust: HostTrust;
  readonly #keyPath: string;
  readonly #tlsFiles: TlsFiles | undefined;
  readonly #closing = new AbortController();

  constructor(options: TransportOptions) {
    this.#clock = options.clock;
    this.#userAgent = options.version === undefined ? 'entrepot' : `entrepot/${options.version}`;
    this.#route = new ProxyRoute(options.proxy);
    this.#trust = options.trust;
    const { keyPath } = options;
    const { signal: closing } = this.#closing;
    // Every connection that is being opened listens; the limiter bounds them.
    setMaxListeners(0, closing);
    this.#keyPath = keyPath;
    const { clock, onTlsProblem = () => undefined } = options;
    this.#tlsFiles =
      options.tls?.files === undefined
        ? undefined
        : new TlsFiles(options.tls, { clock, onProblem: onTlsProblem });
    this.#agent = new Agent({
      connect: renewedConnector(this.#tlsFiles, options.tls, (tls) =>
        createConnector(options.trust, tls, options.lookup, { route: this.#route, keyPath, closing }),
      ),
      connections: CONNECTIONS_PER_ORIGIN,
      maxOrigins: ORIGINS_LIMIT,
      allowH2: false,
      pipelining: 1,
      maxHeaderSize: RESPONSE_HEADERS_LIMIT_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_LIMIT_MS,
      // The watchdog has all deadlines, on the injected clock.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /**
   * Resolves when the headers are there; `signal` then goes on to guard the body.
   * @throws UpstreamError `unavailable`, `timeout`, `protocol` or `refused` (address); the signal's reason.
   */
  async request(request: TransportRequest, signal: AbortSignal): Promise<TransportResponse> {
    signal.throwIfAborted();
    const { url, method, body, highWaterMarkBytes, onBytes } = request;
    const pace = { firstByteMs: FIRST_BYTE_MS, idleMs: IDLE_MS, minimum: MINIMUM_PACE };
    const tlsKeys = tlsKeysFor(url, this.#trust, this.#keyPath);
    const exchange = new Exchange(
      { url, tlsKeys, clock: this.#clock, pace, highWaterMarkBytes, onBytes },
      signal,
    );
    const forward = this.#forwardProxy(url);
    this.#agent.dispatch(
      {
        origin: url.origin,
        path: (forward === undefined ? '' : url.origin) + url.pathname + url.search,
        method,
        ...(body !== undefined && { body }),
        // undici would close the connection after each HEAD, for the sake of servers that send a body with it; that
        // is a TLS handshake for every tag that is revalidated. Such a body breaks the connection it comes on.
        reset: false,
        headers: {
          ...request.headers,
          'user-agent': this.#userAgent,
          'accept-encoding': 'identity',
          ...(forward !== undefined && proxyAuthorization(forward)),
        },
      },
      exchange,
    );
    const response = await exchange.response;
    if (forward === undefined || !isProxysOwn(response.status, response.headers)) return response;
    response.body.destroy();
    throw proxyRefusal(forward, {
      keyPath: this.#keyPath,
      hostname: url.hostname,
      status: response.status,
    });
  }

  /** The http(s) proxy that is sent the whole URL, as it is of plain http (RFC 9112 §3.2.2); all else is tunnelled. */
  #forwardProxy(url: URL): ProxyServer | undefined {
    if (url.protocol !== 'http:') return undefined;
    const server = this.#route.serverFor(url.protocol, placeOf(url));
    return server?.protocol.startsWith('socks') === true ? undefined : server;
  }

  /** Cuts every connection; requests in flight fail. */
  async close(): Promise<void> {
    this.#closing.abort(new UpstreamError('unavailable', 'the upstream client is closed'));
    this.#tlsFiles?.close();
    await this.#agent.destroy();
  }
}
