import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { bytesSource } from './byte-source.ts';
import { type FaultAction, Faults } from './fault.ts';
import { matchesRequest, type RecordedRequest, type RequestFilter } from './recorded-request.ts';
import { type Reply, textReply } from './reply.ts';
import { type Exchange, sendReply } from './send-reply.ts';

export interface FakeHostOptions {
  /** PEM texts; absent = plain HTTP. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  /** Address to listen on, also the host in `url`. Default 127.0.0.1; every 127.x.y.z is another host to a client. */
  readonly hostname?: string | undefined;
  /** Default: any free one. */
  readonly port?: number | undefined;
}

/** Says what is right; the faults then spoil it. */
export type Answer = (request: RecordedRequest, action: FaultAction) => Reply | Promise<Reply>;

/** A real HTTP server that records every request and plays the faults it is told to. */
export class FakeHost {
  readonly faults = new Faults();
  /** Every request in the order its headers arrived. */
  readonly requests: RecordedRequest[] = [];
  /** Who answers, from the next request on. */
  answer: Answer;
  readonly #options: FakeHostOptions;
  /** By the ports of both ends: a request over TLS shows another socket object than the one accepted. */
  readonly #sockets = new Map<string, { readonly number: number; readonly socket: Socket }>();
  readonly #watchers = new Set<() => void>();
  #server: Server | undefined;
  #port = 0;
  #connections = 0;

  private constructor(answer: Answer, options: FakeHostOptions) {
    this.answer = answer;
    this.#options = options;
  }

  /** Listens. Without `answer` it says 404 to everything: a canary. */
  static async start(
    options: FakeHostOptions = {},
    answer: Answer = () => textReply(404),
  ): Promise<FakeHost> {
    const host = new FakeHost(answer, options);
    await host.#listen(options.port ?? 0);
    return host;
  }

  /** `scheme://host:port`, without a slash at the end. Stays the same over `stop` and `restart`. */
  get url(): string {
    return `${this.#options.tls ? 'https' : 'http'}://${this.host}`;
  }

  /** `host:port`. */
  get host(): string {
    return `${this.#options.hostname ?? '127.0.0.1'}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Connections accepted so far. */
  get connections(): number {
    return this.#connections;
  }

  /** Connections that are open now. */
  get openConnections(): number {
    return this.#sockets.size;
  }

  count(filter: RequestFilter = {}): number {
    return this.requests.filter((request) => matchesRequest(request, filter)).length;
  }

  /** Resolves once `count` requests that match have arrived (their answers may still be on their way). */
  async received(filter: RequestFilter = {}, count = 1): Promise<void> {
    if (this.count(filter) >= count) return;
    await new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (this.count(filter) < count) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
    });
  }

  /** Forgets the requests recorded so far. */
  forget(): void {
    this.requests.length = 0;
  }

  /** The server goes away: connections are cut, new ones refused. Nothing to do when it is away already. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    for (const { socket } of this.#sockets.values()) socket.destroy();
    await closed;
  }

  /** Comes back on the same port. */
  async restart(): Promise<void> {
    await this.stop();
    await this.#listen(this.#port);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.stop();
  }

  async #listen(port: number): Promise<void> {
    const listener: RequestListener = (request, response) => void this.#handle(request, response);
    const { tls } = this.#options;
    const server = tls ? createTlsServer({ ...tls }, listener) : createServer(listener);
    server.keepAliveTimeout = 0;
    server.headersTimeout = 0;
    server.requestTimeout = 0;
    server.on('connection', (socket) => this.#track(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, this.#options.hostname ?? '127.0.0.1', resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  #track(socket: Socket): void {
    this.#connections += 1;
    const ports = portsOf(socket);
    this.#sockets.set(ports, { number: this.#connections, socket });
    socket.on('error', () => undefined);
    socket.once('close', () => {
      if (this.#sockets.get(ports)?.socket === socket) this.#sockets.delete(ports);
    });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const left = new AbortController();
    const leave = (): void => left.abort();
    socket.once('close', leave);
    response.once('close', () => socket.off('close', leave));
    response.on('error', () => undefined);
    const connection = this.#sockets.get(portsOf(socket));
    const record = recordOf(request, connection?.number ?? 0);
    record.body = await readBody(request);
    this.requests.push(record);
    for (const watcher of this.#watchers) watcher();
    try {
      const reset = (): void => void connection?.socket.resetAndDestroy();
      await this.#play({ response, socket, reset, record, left: left.signal });
    } catch (error) {
      // A mistake in the test's script: shown to the client, so that it cannot pass unseen.
      if (response.headersSent) socket.destroy();
      else response.statusCode = 599;
      response.end(`fake server failed: ${String(error)}`);
    }
  }

  async #play(exchange: Exchange): Promise<void> {
    const { record, socket, left } = exchange;
    const action = this.faults.actionFor(record);
    await action.gate?.pass(left);
    if (action.delayMs !== undefined) await delay(action.delayMs);
    if (action.hang === true || left.aborted) return;
    if (action.raw !== undefined) {
      await new Promise((resolve) => {
        socket.write(action.raw ?? '', resolve);
      });
    }
    if (action.drop === 'reset') exchange.reset();
    if (action.drop === 'end') socket.destroy();
    if (action.drop !== undefined || action.raw !== undefined) return;
    await sendReply(exchange, await this.#reply(record, action), action);
  }

  async #reply(record: RecordedRequest, action: FaultAction): Promise<Reply> {
    if (!action.respond) return this.answer(record, action);
    const { status, headers = {}, body = '' } = action.respond;
    return { status, headers, content: bytesSource(Buffer.from(body)) };
  }
}

function portsOf({ remotePort, localPort }: Socket): string {
  return `${remotePort}-${localPort}`;
}

function recordOf(request: IncomingMessage, connection: number): RecordedRequest {
  const target = request.url ?? '';
  const mark = target.indexOf('?');
  return {
    method: request.method ?? '',
    target,
    path: mark < 0 ? target : target.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1)),
    headers: request.headers,
    rawHeaders: request.rawHeaders,
    body: '',
    connection,
    receivedAtMs: performance.now(),
    status: undefined,
    bodyBytes: 0,
    finished: false,
  };
}

async function readBody(request: IncomingMessage): Promise<string> {
  if (request.method === 'GET' || request.method === 'HEAD') return '';
  let text = '';
  for await (const chunk of request) {
    if (text.length < 64 * 1024) text += String(chunk);
  }
  return text;
}
