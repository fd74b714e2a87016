import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** No container client sends a request before the last answer is there. Each that waits may hold 64 KiB of headers. */
const WAITING_LIMIT = 8;

/** How long a client may leave bytes lying that wait for it. */
export interface Pace {
  /** Without taking any. */
  readonly writeStallMs: number;
  /** Without taking the whole of what was written at once: up to 1 MiB of a blob, or a whole small answer. */
  readonly slowWriteMs: number;
}

export const DEFAULT_PACE: Pace = { writeStallMs: 60_000, slowWriteMs: 300_000 };

interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

interface Busy {
  readonly response: ServerResponse;
  readonly waiting: Turn[];
  /** What the client had taken when we last looked, in whole writes, and since when. */
  takenBytes: number;
  sinceMs: number;
}

/**
 * Which connections have a response in progress. Requests that were sent without waiting for answers (RFC 9112 §9.3.2)
 * are served one after the other: Node gives a response its socket only when those before it are over, and to one
 * without a socket it never says that the client has left. Those whose turn never comes are never begun.
 */
export class Connections {
  readonly #busy = new Map<Socket, Busy>();
  readonly #serve: RequestListener;

  readonly #pace: Pace;

  constructor(serve: RequestListener, pace: Pace) {
    this.#serve = serve;
    this.#pace = pace;
  }

  /** The response in progress; absent between requests. */
  responseOn(socket: Duplex): ServerResponse | undefined {
    return this.#busy.get(socket as Socket)?.response;
  }

  /** Serves a request, now or when those before it on its connection are over. */
  take(request: IncomingMessage, response: ServerResponse): void {
    const busy = this.#busy.get(request.socket);
    if (busy === undefined) this.#begin({ request, response }, []);
    else if (busy.waiting.length < WAITING_LIMIT) busy.waiting.push({ request, response });
    else request.socket.destroy();
  }

  /**
   * Node tells that nothing has moved on a connection for `writeStallMs` or, between requests, for the keep-alive time.
   * A client that waits for us is not to blame.
   */
  stalled(socket: Socket): void {
    if (this.#busy.has(socket) && socket.writableLength === 0) socket.setTimeout(this.#pace.writeStallMs);
    else socket.destroy();
  }

  /** To be called now and then: ends the connections of clients that take what waits for them in trickles. */
  endTrickles(): void {
    const now = performance.now();
    for (const [socket, busy] of this.#busy) {
      const takenBytes = socket.bytesWritten - socket.writableLength;
      if (socket.writableLength === 0 || takenBytes !== busy.takenBytes) {
        busy.takenBytes = takenBytes;
        busy.sinceMs = now;
      } else if (now - busy.sinceMs >= this.#pace.slowWriteMs) socket.destroy();
    }
  }

  #begin({ request, response }: Turn, waiting: Turn[]): void {
    const { socket } = request;
    this.#busy.set(socket, { response, waiting, takenBytes: 0, sinceMs: performance.now() });
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
