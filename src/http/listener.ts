import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerOptions,
} from 'node:http';
import { createServer as createTlsServer, Server as TlsServer } from 'node:https';
import type { Server as NetServer, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type ListenAddress, printListen } from '../config-text.ts';
import { newcomers } from '../newcomers.ts';
import { StartError } from '../start-error.ts';
import { errorBody } from './error-response.ts';
import type { ConnectionGate } from './connection-gate.ts';
import { Connections, DEFAULT_PACE, type Pace } from './connections.ts';
import { leave } from './departures.ts';
import type { ServerCertificate } from './server-certificate.ts';

/** Podman and stargz send a thousand ranges in one header; Node's default of 16 KiB would answer 431. */
const HEADER_LIMIT_BYTES = 64 * 1024;
/** Go's clients keep idle connections for 90 s and more: closing before them breaks a request now and then. */
const KEEP_ALIVE_MS = 130_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const NO_TIMEOUT = 0;
/** From the connection to the end of the handshake: several round trips, and half a second on a weak machine. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** The first byte of a TLS connection: the type of a handshake record (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;
const IDLE_SWEEP_MS = 50;
/** How many times one looks, in the time that a client has for what was written to it. */
const LOOKS_PER_SLOW_WRITE = 10;

const HTTP_OPTIONS: ServerOptions = {
  maxHeaderSize: HEADER_LIMIT_BYTES,
  headersTimeout: HEADERS_TIMEOUT_MS,
  requestTimeout: REQUEST_TIMEOUT_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  connectionsCheckingInterval: 5000,
  insecureHTTPParser: false,
  noDelay: true,
  keepAlive: true,
};

export interface ListenerOptions {
  readonly pace?: Pace;
  /** Absent: every connection is taken. */
  readonly gate?: Pick<ConnectionGate, 'admit'> | undefined;
  /** What it shows to begin with. Absent: plain HTTP. */
  readonly certificate?: Pick<ServerCertificate, 'pair'> | undefined;
  /** Whether a request's body may take as long as it takes: who serves it watches it. Absent: none may. */
  readonly mayTakeLong?: ((request: IncomingMessage) => boolean) | undefined;
  /** Absent: what clients may send. */
  readonly headerLimitBytes?: number | undefined;
}

/** A socket of the file system. */
export interface SocketPath {
  readonly path: string;
}

/** One listening HTTP/1.1 server, with TLS or without. */
export class Listener {
  readonly #server: Server;
  /** Connections that have not come as far as HTTP, by where they come from. */
  readonly #shaking: Map<string, Socket>;
  /** Connections that others accepted. */
  readonly #taken = new Set<Socket>();

  /**
   * `serve` gets the requests of one connection one after the other.
   * @throws StartError with one sentence that names `what`
   */
  static async open(
    what: string,
    address: ListenAddress | SocketPath,
    serve: RequestListener,
    { pace = DEFAULT_PACE, gate, certificate, mayTakeLong, headerLimitBytes }: ListenerOptions = {},
  ): Promise<Listener> {
    const connections = new Connections(serve, pace);
    const onRequest: RequestListener = (request, response) => {
      if (mayTakeLong?.(request) === false) endLate(request);
      connections.take(request, response);
    };
    const shaking = new Map<string, Socket>();
    const options = {
      ...HTTP_OPTIONS,
      ...(mayTakeLong !== undefined && { requestTimeout: NO_TIMEOUT }),
      ...(headerLimitBytes !== undefined && { maxHeaderSize: headerLimitBytes }),
    };
    const server =
      certificate === undefined
        ? createServer(options, onRequest)
        : tlsServer({ ...options, ...certificate.pair }, shaking, onRequest);
    if (gate !== undefined) admitOnly(server, (socket) => gate.admit(socket));
    // Node would leave out what comes behind the 2000th: a second Host, or the length of a body. Their size is bounded.
    server.maxHeadersCount = 0;
    // Set once per request, and again by Node itself whenever bytes move.
    server.timeout = pace.writeStallMs;
    server.on('timeout', (socket) => connections.stalled(socket));
    // Without this Node would ask for a body that nobody is going to read.
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      leave();
      const running = connections.responseOn(socket);
      if (running?.writableEnded === true) {
        // An answer that is whole may still leave; nothing comes behind it.
        socket.end(() => socket.destroy());
        return;
      }
      // What was written into a running response would pass for its bytes.
      if (running === undefined && socket.writable && error.code !== 'ECONNRESET') {
        socket.write(unreadableAnswer(error.code));
      }
      socket.destroy();
    });
    await listenOn(server, what, address);
    const looking = setInterval(() => connections.endTrickles(), pace.slowWriteMs / LOOKS_PER_SLOW_WRITE);
    looking.unref();
    server.on('close', () => clearInterval(looking));
    return new Listener(server, shaking);
  }

  private constructor(server: Server, shaking: Map<string, Socket>) {
    this.#server = server;
    this.#shaking = shaking;
  }

  /** What connections from now on are shown, of one that speaks TLS; those that are open keep what they have. */
  show({ pair }: Pick<ServerCertificate, 'pair'>): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext(pair);
  }

  /** Where it really listens: with the port that the system chose, where 0 was asked. */
  get address(): ListenAddress {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the listener is closed');
    return { host: address.address, port: address.port };
  }

  /** Serves a connection that somebody else accepted, as if it had come in here. */
  take(socket: Socket): void {
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    this.#taken.add(socket);
    socket.once('close', () => this.#taken.delete(socket));
    this.#server.emit('connection', socket);
  }

  /** Takes no more connections, closes idle ones, and waits up to `graceMs` for the others; then ends them. */
  async close(graceMs: number): Promise<void> {
    const server = this.#server;
    for (const socket of this.#shaking.values()) socket.destroy();
    const giveUp = setTimeout(() => this.abort(), graceMs);
    // A connection that falls idle later is nobody's business but ours.
    const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
    try {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
      // The server does not count these.
      await Promise.all([...this.#taken].map(closed));
    } finally {
      clearTimeout(giveUp);
      clearInterval(sweep);
    }
  }

  /** Ends all connections now. */
  abort(): void {
    for (const socket of this.#shaking.values()) socket.destroy();
    this.#server.closeAllConnections();
  }
}

async function closed(socket: Socket): Promise<void> {
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

/** Where Node's own limit would hold for every request. */
function endLate(request: IncomingMessage): void {
  if (request.complete) return;
  const timer = setTimeout(() => void (request.complete || request.socket.destroy()), REQUEST_TIMEOUT_MS);
  timer.unref();
  request.once('close', () => clearTimeout(timer));
}

/** Speaks TLS 1.2 and up and HTTP/1.1 in it. */
function tlsServer(options: ServerOptions, shaking: Map<string, Socket>, onRequest: RequestListener): Server {
  const server = createTlsServer(
    {
      ...options,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      ALPNProtocols: ['http/1.1'],
    },
    onRequest,
  );
  // Failed handshakes are the clients' business: Node has closed the connection.
  server.on('tlsClientError', () => undefined);
  server.on('secureConnection', (socket: TLSSocket) => shaking.delete(placeOf(socket)));
  const shake = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const place = placeOf(socket);
    shaking.set(place, socket);
    socket.once('close', () => {
      if (shaking.get(place) === socket) shaking.delete(place);
    });
    firstByte(socket, (byte) => {
      if (byte === TLS_HANDSHAKE) for (const listener of shake) listener.call(server, socket);
      else socket.end(plainHttpAnswer(), () => socket.destroy());
    });
  });
  return server;
}

/**
 * Looks at what comes first and leaves it there. A connection that sends nothing in time is ended, and so is one that
 * breaks, now or later: an error that nobody listens to would end the program.
 */
function firstByte(socket: Socket, then: (byte: number | undefined) => void): void {
  const ended = (): void => void socket.destroy();
  socket.on('error', ended);
  socket.setTimeout(HANDSHAKE_TIMEOUT_MS, ended);
  socket.once('readable', () => {
    const bytes: unknown = socket.read();
    if (!Buffer.isBuffer(bytes)) {
      socket.destroy();
      return;
    }
    socket.off('timeout', ended);
    socket.setTimeout(0);
    socket.unshift(bytes);
    then(bytes[0]);
  });
}

/** Puts a doorkeeper before what the server does with a new connection. */
function admitOnly(server: Server, admit: (socket: Socket) => boolean): void {
  const take = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    newcomers.arrived();
    if (admit(socket)) for (const listener of take) listener.call(server, socket);
  });
}

function placeOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function plainHttpAnswer(): string {
  return answer('400 Bad Request', 'this port speaks https: the URL must begin with https://');
}

/** What can be said to a request that Node could not read: to a container client in its own words. */
function unreadableAnswer(code: string | undefined): string {
  const isTooLarge = code === 'HPE_HEADER_OVERFLOW';
  return answer(
    isTooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request',
    isTooLarge ? 'the request has more than 64 KiB of headers' : 'the request is not HTTP/1.1',
  );
}

function answer(status: string, message: string): string {
  const body = errorBody({ code: 'UNKNOWN', message });
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body.toString()}`
  );
}

/** @throws StartError with one sentence that names `what` */
export async function listenOn(
  server: NetServer,
  what: string,
  address: ListenAddress | SocketPath,
): Promise<void> {
  const place = 'path' in address ? address.path : printListen(address);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(new StartError(`${what} cannot listen on ${place}: ${sentence(cause)}`, { cause }));
    });
    server.listen(
      'path' in address ? { path: address.path } : { host: address.host, port: address.port },
      resolve,
    );
  });
}

function sentence({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return 'the port is in use.';
  if (code === 'EACCES') return 'this needs more rights.';
  if (code === 'EADDRNOTAVAIL') return 'this machine has no such address.';
  return `${code ?? message}.`;
}
