import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** No container client sends a request before the last answer is there. Each that waits may hold 64 KiB of headers. */
const WAITING_LIMIT = 8;

interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Busy {
  readonly response: ServerResponse;
  readonly waiting: Turn[];
}

/**
 * Which connections have a response in progress. Requests that were sent without waiting for answers (RFC 9112 §9.3.2)
 * are served one after the other: Node gives a response its socket only when those before it are over, and to one
 * without a socket it never says that the client has left. Those whose turn never comes are never begun.
 */
export class Connections {
  readonly #busy = new Map<Duplex, Busy>();
  readonly #serve: RequestListener;

  constructor(serve: RequestListener) {
    this.#serve = serve;
  }

  /** The response in progress; absent between requests. */
  responseOn(socket: Duplex): ServerResponse | undefined {
    return this.#busy.get(socket)?.response;
  }

  /** Serves a request, now or when those before it on its connection are over. */
  take(request: IncomingMessage, response: ServerResponse): void {
    const busy = this.#busy.get(request.socket);
    if (busy === undefined) this.#begin({ request, response }, []);
    else if (busy.waiting.length < WAITING_LIMIT) busy.waiting.push({ request, response });
    else request.socket.destroy();
  }

  #begin({ request, response }: Turn, waiting: Turn[]): void {
    const { socket } = request;
    this.#busy.set(socket, { response, waiting });
    response.once('close', () => this.#next(socket, waiting));
    this.#serve(request, response);
  }

  #next(socket: Socket, waiting: Turn[]): void {
    this.#busy.delete(socket);
    const next = waiting.shift();
    // Without its socket there is nobody to answer: the client left, or the answer before it said `Connection: close`.
    if (next === undefined || next.response.socket === null || socket.destroyed) return;
    this.#begin(next, waiting);
  }
}
