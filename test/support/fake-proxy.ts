import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import type { Duplex } from 'node:stream';

export interface FakeProxyOptions {
  readonly tls?: { readonly cert: string; readonly key: string };
  /** What it wants; without it, 407. */
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Answered to every CONNECT in place of a tunnel. */
  readonly refuse?: number;
  /** Answered to whole URLs in place of what is there, by the proxy itself. */
  readonly answer?: ProxyAnswer | (() => ProxyAnswer | undefined);
  /** Ports of names that are asked for without one of this machine's. */
  readonly names?: Readonly<Record<string, number>>;
  /** Takes requests and never answers. */
  readonly hang?: boolean;
}

export interface ProxyAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ProxiedRequest {
  readonly method: string;
  /** As it stood in the request line. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
}

/** An HTTP proxy on loopback for whom every name is this machine. */
export class FakeProxy {
  readonly requests: ProxiedRequest[] = [];
  readonly #options: FakeProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  private constructor(options: FakeProxyOptions) {
    this.#options = options;
    const serve = (incoming: IncomingMessage, response: import('node:http').ServerResponse): void => {
      const status = this.#refusal(incoming);
      if (options.hang === true) return;
      if (status !== undefined) return void response.writeHead(status).end();
      const own = typeof options.answer === 'function' ? options.answer() : options.answer;
      if (own !== undefined) return void response.writeHead(own.status, own.headers).end();
      const { hostname, port: asked, pathname, search } = new URL(incoming.url ?? '');
      const port = options.names?.[hostname] ?? asked;
      const { 'proxy-authorization': _proxy, ...headers } = incoming.headers;
      const onwards = request(
        { host: '127.0.0.1', port, path: pathname + search, method: incoming.method, headers },
        (answer) => {
          response.writeHead(answer.statusCode ?? 0, answer.headers);
          answer.pipe(response);
        },
      );
      onwards.on('error', () => response.writeHead(502).end());
      incoming.pipe(onwards);
    };
    this.#server = options.tls ? createTlsServer({ ...options.tls }, serve) : createServer(serve);
    this.#server.on('connection', (socket: Socket) => this.#keep(socket));
    this.#server.on('connect', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#keep(socket);
      const status = this.#refusal(incoming) ?? options.refuse;
      // Who does not read does not learn that the other side has left.
      if (options.hang === true) return void socket.once('end', () => socket.end()).resume();
      if (status !== undefined) return void socket.end(`HTTP/1.1 ${status} No\r\n\r\n`);
      const { hostname, port } = new URL(`http://${incoming.url}`);
      const upstream = connect(options.names?.[hostname] ?? Number(port), '127.0.0.1');
      this.#keep(upstream);
      upstream.once('connect', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.write(head);
        socket.pipe(upstream).pipe(socket);
      });
      upstream.on('error', () => socket.destroy());
    });
  }

  static async start(options: FakeProxyOptions = {}): Promise<FakeProxy> {
    const proxy = new FakeProxy(options);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that are open now, its own onwards too. */
  get openCount(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #refusal({ method = '', url = '', headers }: IncomingMessage): number | undefined {
    this.requests.push({ method, target: url, headers });
    const { credentials } = this.#options;
    if (credentials === undefined) return undefined;
    const encoded = Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64');
    return headers['proxy-authorization'] === `Basic ${encoded}` ? undefined : 407;
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

export interface FakeSocksOptions {
  readonly credentials?: { readonly username: string; readonly password: string };
  /** The reply's code (RFC 1928 §6) in place of a connection. */
  readonly refuse?: number;
  /** Takes connections and never says a word. */
  readonly hang?: boolean;
}

/** A SOCKS5 proxy on loopback for whom every name and address is this machine. */
export class FakeSocksProxy {
  /** `host:port` of what it was asked for. */
  readonly targets: string[] = [];
  readonly #server: TcpServer;
  readonly #sockets = new Set<Socket>();

  private constructor({ credentials, refuse, hang }: FakeSocksOptions) {
    this.#server = createTcpServer((socket) => {
      this.#keep(socket);
      if (hang === true) socket.resume();
      else void this.#serve(socket, credentials, refuse).catch(() => socket.destroy());
    });
  }

  static async start(options: FakeSocksOptions = {}): Promise<FakeSocksProxy> {
    const proxy = new FakeSocksProxy(options);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open now, its own onwards too. */
  get openCount(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(socket: Socket, credentials: FakeSocksOptions['credentials'], refuse = 0): Promise<void> {
    const greeting = await next(socket);
    const methods = greeting.subarray(2);
    const wanted = credentials === undefined ? 0 : 2;
    if (!methods.includes(wanted)) return void socket.end(Buffer.from([5, 0xff]));
    socket.write(Buffer.from([5, wanted]));
    if (credentials !== undefined) {
      const offer = await next(socket);
      const userEnd = 2 + (offer[1] ?? 0);
      const username = offer.subarray(2, userEnd).toString();
      const password = offer.subarray(userEnd + 1).toString();
      const fits = username === credentials.username && password === credentials.password;
      socket.write(Buffer.from([1, fits ? 0 : 1]));
      if (!fits) return void socket.end();
    }
    const asked = await next(socket);
    const port = asked.readUInt16BE(asked.length - 2);
    const address = asked.subarray(4, -2);
    this.targets.push(`${asked[3] === 3 ? address.subarray(1).toString() : [...address].join('.')}:${port}`);
    const reply = Buffer.from([5, refuse, 0, 1, 127, 0, 0, 1, 0, 0]);
    if (refuse !== 0) return void socket.end(reply);
    const upstream = connect(port, '127.0.0.1');
    this.#keep(upstream);
    upstream.once('connect', () => {
      socket.write(reply);
      socket.pipe(upstream).pipe(socket);
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}

async function next(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    socket.once('data', resolve);
    socket.once('close', () => reject(new Error('closed')));
  });
}
