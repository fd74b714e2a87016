import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { request } from 'node:http';
import { isIP, type LookupFunction, Socket } from 'node:net';
import { createSecureContext } from 'node:tls';
import type { buildConnector as Connecting } from 'undici';
import type { ProxyServer } from '../config.ts';
import { connectionError } from './connection-error.ts';
import { UpstreamError } from './upstream-error.ts';
import { buildConnector } from './undici-parts.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** Until the proxy has said whether it reaches the host: it needs a look-up and a connection itself. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_PROBE_MS = 30_000;
const RESPONSE_HEADERS_LIMIT_BYTES = 16 * 1024;
/** Of a name that is resolved here, so many addresses are tried, one after the other. */
const ADDRESS_COUNT_LIMIT = 3;

/** Where a tunnel leads. */
export interface TunnelTarget {
  /** Without the brackets of an IPv6 address. */
  readonly hostname: string;
  readonly port: number;
  /** `http:` over an http(s) proxy gets no tunnel: the proxy is sent whole URLs. */
  readonly protocol: string;
}

/** Opens connections that lead through one proxy. Nothing that it throws holds the proxy's credentials. */
export class ProxyTunnel {
  readonly #server: ProxyServer;
  readonly #name: string;
  readonly #connect: Connecting.connector;
  readonly #closing: AbortSignal;
  /** What is to be undone once a socket is not on its way any more. */
  readonly #leave = new WeakMap<Socket, () => void>();
  readonly #refused: (hostname: string, status: number) => UpstreamError;

  /**
   * @param context.keyPath the upstream's, for messages: `upstreams.quay.io`
   * @param context.closing ends at once what is being opened
   */
  constructor(
    server: ProxyServer,
    { keyPath, closing }: { readonly keyPath: string; readonly closing: AbortSignal },
  ) {
    this.#server = server;
    this.#closing = closing;
    this.#name = `the proxy ${configuredName(server, keyPath)}`;
    this.#refused = (hostname, status) => proxyRefusal(server, { keyPath, hostname, status });
    const { ca } = server;
    const options: Connecting.BuildOptions & Record<string, unknown> = {
      timeout: CONNECT_TIMEOUT_MS,
      allowH2: false,
      autoSelectFamily: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_PROBE_MS,
      ...(ca !== undefined && { secureContext: createSecureContext({ ca }) }),
    };
    this.#connect = buildConnector(options);
  }

  /** True: names are resolved by the proxy, so that nothing is known of their addresses here. */
  get resolvesNames(): boolean {
    return this.#server.protocol !== 'socks5:';
  }

  /**
   * A socket whose other end is the target's, or the proxy itself where it is to be sent whole URLs. Until it is said to
   * be `settled` it ends with `closing`.
   * @param lookup resolves names for a `socks5:` proxy; what it gives has been checked
   * @throws UpstreamError `unavailable`, `timeout`, or what `lookup` fails with
   */
  async open(target: TunnelTarget, lookup: LookupFunction = systemLookup): Promise<Socket> {
    const { protocol } = this.#server;
    if (protocol === 'socks5h:') return this.#socks(target.hostname, target);
    if (protocol === 'http:' || protocol === 'https:') {
      const socket = await this.#dial(target);
      return target.protocol === 'https:' ? this.#ask(socket, target) : socket;
    }
    const addresses =
      isIP(target.hostname) === 0 ? await resolved(target.hostname, lookup) : [target.hostname];
    let failure: unknown;
    for (const address of addresses.slice(0, ADDRESS_COUNT_LIMIT)) {
      try {
        return await this.#socks(address, target);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }

  /** What was opened is fit for use: whoever uses it closes it. */
  settled(socket: Socket): void {
    this.#leave.get(socket)?.();
  }

  /** A connection to the proxy itself. */
  async #dial(target: TunnelTarget): Promise<Socket> {
    this.#closing.throwIfAborted();
    const { protocol, host, port } = this.#server;
    const options = {
      hostname: host,
      host: proxyName(this.#server),
      protocol: protocol === 'https:' ? 'https:' : 'http:',
      port: String(port),
      ...(protocol === 'https:' && isIP(host) === 0 && { servername: host }),
    };
    return new Promise((resolve, reject) => {
      // undici gives the socket at once, though its types do not say so.
      const dialled: unknown = this.#connect(options, (...[error, socket]) => {
        if (error === null) resolve(socket);
        else {
          const said = connectionError(error, this.#name);
          const message = `${target.hostname}: ${said.message}`;
          reject(new UpstreamError(said.reason, message, { cause: said.cause }));
        }
      });
      if (dialled instanceof Socket) this.#endWithClosing(dialled);
    });
  }

  #endWithClosing(socket: Socket): void {
    const end = (): void => void socket.destroy(new Error('closed'));
    const leave = (): void => this.#closing.removeEventListener('abort', end);
    this.#closing.addEventListener('abort', end, { once: true });
    this.#leave.set(socket, leave);
    socket.once('close', leave);
  }

  /** HTTP's CONNECT (RFC 9110 §9.3.6). */
  async #ask(socket: Socket, { hostname, port }: TunnelTarget): Promise<Socket> {
    const authority = `${hostname.includes(':') ? `[${hostname}]` : hostname}:${port}`;
    const asking = request({
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...proxyAuthorization(this.#server) },
      setHost: false,
      maxHeaderSize: RESPONSE_HEADERS_LIMIT_BYTES,
      createConnection: () => socket,
    });
    return new Promise((resolve, reject) => {
      const fail = (error: UpstreamError): void => {
        clearTimeout(timer);
        socket.destroy();
        reject(error);
      };
      const timer = setTimeout(() => {
        fail(new UpstreamError('timeout', `${hostname}: ${this.#name} did not answer in time`));
      }, HANDSHAKE_TIMEOUT_MS);
      asking.on('error', (error) => {
        const { message, reason } = connectionError(error, this.#name);
        fail(new UpstreamError(reason, `${hostname}: ${message}`));
      });
      // Not asked for, and not what a proxy answers.
      asking.on('response', (response) => fail(this.#refused(hostname, response.statusCode ?? 0)));
      asking.on('connect', (response, _socket, head) => {
        const status = response.statusCode ?? 0;
        if (status < 200 || status > 299) return fail(this.#refused(hostname, status));
        clearTimeout(timer);
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      asking.end();
    });
  }

  async #socks(destination: string, target: TunnelTarget): Promise<Socket> {
    const { host, port, username, password = '' } = this.#server;
    // Only who has such a proxy needs it.
    const { SocksClient } = await import('socks');
    const socket = await this.#dial(target);
    try {
      await SocksClient.createConnection({
        proxy: { host, port, type: 5, ...(username !== undefined && { userId: username, password }) },
        command: 'connect',
        destination: { host: destination, port: target.port },
        timeout: HANDSHAKE_TIMEOUT_MS,
        existing_socket: socket,
      });
      return socket;
    } catch (error) {
      socket.destroy();
      // No cause: the library's errors hold the credentials.
      throw new UpstreamError('unavailable', `${target.hostname}: ${this.#name} ${socksFault(error)}`, {
        isFinal: /auth/i.test(error instanceof Error ? error.message : ''),
      });
    }
  }
}

/** The proxy as people call it: `host:port`. */
export function proxyName({ host, port }: ProxyServer): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** With where it is configured, and for whom where that does not tell. */
function configuredName(server: ProxyServer, keyPath: string): string {
  const isOwn = server.keyPath.startsWith('upstreams.');
  return `${proxyName(server)} (${server.keyPath}${isOwn ? '' : `, for ${keyPath}`})`;
}

/**
 * The error for a status with which a proxy answered in place of the host.
 * @param asked.keyPath the upstream's: `upstreams.quay.io`
 */
export function proxyRefusal(
  server: ProxyServer,
  {
    keyPath,
    hostname,
    status,
  }: { readonly keyPath: string; readonly hostname: string; readonly status: number },
): UpstreamError {
  const name = `${hostname}: the proxy ${configuredName(server, keyPath)}`;
  if (status === 407) {
    const wants =
      server.username === undefined ? 'wants a user name and password' : 'refuses our credentials';
    return new UpstreamError('unavailable', `${name} ${wants} (407)`, { isFinal: true });
  }
  const isFinal = status >= 400 && status < 500 && status !== 408 && status !== 429;
  const what = isFinal ? 'does not let us connect' : 'could not connect';
  return new UpstreamError('unavailable', `${name} ${what} (${status})`, { isFinal });
}

/** What every request to an http(s) proxy carries; only what goes to the proxy itself may. */
export function proxyAuthorization({ username, password = '' }: ProxyServer): Record<string, string> {
  if (username === undefined) return {};
  const encoded = Buffer.from(`${username}:${password}`).toString('base64');
  return { 'proxy-authorization': `Basic ${encoded}` };
}

/** RFC 1928 §6, as the library says it. */
function socksFault(error: unknown): string {
  const message = error instanceof Error ? error.message : '';
  if (/auth/i.test(message)) return 'refuses our credentials, or that we have none';
  if (/timed out/i.test(message)) return 'did not answer in time';
  const code = /rejected connection - ([A-Za-z]{1,40})$/.exec(message)?.[1];
  return code === undefined ? 'does not answer as a SOCKS5 proxy' : `could not connect (${code})`;
}

async function resolved(hostname: string, lookup: LookupFunction): Promise<readonly string[]> {
  return new Promise((resolve, reject) => {
    lookup(hostname, { all: true }, (error, found) => {
      if (error) reject(connectionError(error, hostname));
      else resolve((found as unknown as LookupAddress[]).map(({ address }) => address));
    });
  });
}
