import { createServer, type RequestListener, type Server } from 'node:http';
import type { ListenAddress } from '../config.ts';
import { StartError } from '../start-error.ts';
import { errorBody } from './error-response.ts';
import { Connections, DEFAULT_PACE, type Pace } from './connections.ts';

/** Podman and stargz send a thousand ranges in one header; Node's default of 16 KiB would answer 431. */
const HEADER_LIMIT_BYTES = 64 * 1024;
/** Go's clients keep idle connections for 90 s and more: closing before them breaks a request now and then. */
const KEEP_ALIVE_MS = 130_000;
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
const CONNECTION_LIMIT = 10_000;
const IDLE_SWEEP_MS = 50;
/** How many times one looks, in the time that a client has for what was written to it. */
const LOOKS_PER_SLOW_WRITE = 10;

/** One listening HTTP/1.1 server. */
export class Listener {
  readonly #server: Server;

  /**
   * `serve` gets the requests of one connection one after the other.
   * @throws StartError with one sentence that names `what`
   */
  static async open(
    what: string,
    address: ListenAddress,
    serve: RequestListener,
    pace: Pace = DEFAULT_PACE,
  ): Promise<Listener> {
    const connections = new Connections(serve, pace);
    const onRequest: RequestListener = (request, response) => connections.take(request, response);
    const server = createServer(
      {
        maxHeaderSize: HEADER_LIMIT_BYTES,
        headersTimeout: HEADERS_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connectionsCheckingInterval: 5000,
        insecureHTTPParser: false,
        noDelay: true,
        keepAlive: true,
      },
      onRequest,
    );
    server.maxConnections = CONNECTION_LIMIT;
    // Node would leave out what comes behind the 2000th: a second Host, or the length of a body. Their size is bounded.
    server.maxHeadersCount = 0;
    // Set once per request, and again by Node itself whenever bytes move.
    server.timeout = pace.writeStallMs;
    server.on('timeout', (socket) => connections.stalled(socket));
    // Without this Node would ask for a body that nobody is going to read.
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
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
    await listen(server, what, address);
    const looking = setInterval(() => connections.endTrickles(), pace.slowWriteMs / LOOKS_PER_SLOW_WRITE);
    looking.unref();
    server.on('close', () => clearInterval(looking));
    return new Listener(server);
  }

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Where it really listens: with the port that the system chose, where 0 was asked. */
  get address(): ListenAddress {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the listener is closed');
    return { host: address.address, port: address.port };
  }

  /** Takes no more connections, closes idle ones, and waits up to `graceMs` for the others; then ends them. */
  async close(graceMs: number): Promise<void> {
    const server = this.#server;
    const giveUp = setTimeout(() => server.closeAllConnections(), graceMs);
    // A connection that falls idle later is nobody's business but ours.
    const sweep = setInterval(() => server.closeIdleConnections(), IDLE_SWEEP_MS);
    try {
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
      });
    } finally {
      clearTimeout(giveUp);
      clearInterval(sweep);
    }
  }

  /** Ends all connections now. */
  abort(): void {
    this.#server.closeAllConnections();
  }
}

/** What can be said to a request that Node could not read: to a container client in its own words. */
function unreadableAnswer(code: string | undefined): string {
  const isTooLarge = code === 'HPE_HEADER_OVERFLOW';
  const body = errorBody({
    code: 'UNKNOWN',
    message: isTooLarge ? 'the request has more than 64 KiB of headers' : 'the request is not HTTP/1.1',
  });
  const status = isTooLarge ? '431 Request Header Fields Too Large' : '400 Bad Request';
  return (
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body.toString()}`
  );
}

async function listen(server: Server, what: string, { host, port }: ListenAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      reject(new StartError(`${what} cannot listen on ${host}:${port}: ${sentence(cause)}`, { cause }));
    });
    server.listen({ host, port }, () => resolve());
  });
}

function sentence({ code, message }: NodeJS.ErrnoException): string {
  if (code === 'EADDRINUSE') return 'the port is in use.';
  if (code === 'EACCES') return 'this needs more rights.';
  if (code === 'EADDRNOTAVAIL') return 'this machine has no such address.';
  return `${code ?? message}.`;
}
