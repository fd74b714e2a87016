import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { LiveRequest } from '../activity/live-request.ts';
import { nextRequestId } from '../activity/request-id.ts';
import type { AnsweredRequest, TraceParent } from '../request-cause.ts';
import type { OutcomeReason } from '../pull-through/outcome-reason.ts';
import type { Outcome, Served } from '../pull-through/served.ts';
import { depart } from './departures.ts';
import type { AskedFor } from './error-response.ts';

/** A connection's send buffer has room for this much. */
const ALWAYS_TAKEN_BYTES = 8 * 1024;

const IPV4_IN_IPV6 = '::ffff:';

/** What the one log line and the metrics of a request say. Filled while it is served. */
export interface RequestRecord {
  kind: AskedFor;
  upstream: string | undefined;
  repository: string | undefined;
  /** Tag or digest. */
  reference: string | undefined;
  outcome: Outcome | undefined;
  /** Why it was no hit. */
  reason: OutcomeReason | undefined;
  error: unknown;
}

/** One request and its response, with the few things that every endpoint does to them. */
export class Exchange implements LiveRequest, AnsweredRequest {
  /** In its log lines, and on its answer as `X-Request-Id`; what a client sends under that name is not taken. */
  readonly id = nextRequestId();
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RequestRecord = {
    kind: 'other',
    upstream: undefined,
    repository: undefined,
    reference: undefined,
    outcome: undefined,
    reason: undefined,
    error: undefined,
  };
  /** On every answer, refusals too. */
  readonly commonHeaders: OutgoingHttpHeaders = {
    'Docker-Distribution-API-Version': 'registry/2.0',
    'X-Request-Id': this.id,
  };
  readonly startedAt = performance.now();
  firstByteAt: number | undefined;
  /** Body bytes handed to the connection. */
  sentBytes = 0;
  /** Where what is done for it is traced; absent: it is not. */
  trace: TraceParent | undefined;
  /** Of the body; absent before the head is sent, and where there is none. */
  totalBytes: number | undefined;
  readonly #controller = new AbortController();
  #failWrite: ((reason: unknown) => void) | undefined;

  /** The response must have its socket: Node tells nothing of the client to one that waits for it. */
  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
    // A body that turns out shorter than its Content-Length must never pass for a whole one.
    response.strictContentLength = true;
    response.on('close', () => {
      if (response.writableFinished) return;
      const reason = clientLeft();
      this.#controller.abort(reason);
      this.#failWrite?.(reason);
    });
  }

  /** Aborts when the client has left before its answer was complete. What is done under it is done for this request. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Its address; IPv4 as such, also over a socket that takes both. */
  get client(): string {
    const { remoteAddress = 'unknown' } = this.request.socket;
    const isMapped = remoteAddress.startsWith(IPV4_IN_IPV6) && remoteAddress.includes('.');
    return isMapped ? remoteAddress.slice(IPV4_IN_IPV6.length) : remoteAddress;
  }

  owns(signal: AbortSignal): boolean {
    return this.#controller.signal === signal;
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD';
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
  }

  /** Notes how it is answered. */
  served({ outcome, reason }: Pick<Served<unknown>, 'outcome' | 'reason'>): void {
    this.record.outcome = outcome;
    this.record.reason = reason;
  }

  /** A whole answer at once. HEAD gets the headers of GET. */
  end(status: number, headers: OutgoingHttpHeaders, body: Uint8Array): void {
    if (this.isHead || body.length === 0) {
      this.endWithoutBody(status, { 'Content-Length': body.length, ...headers });
      return;
    }
    this.head(status, { 'Content-Length': body.length, ...headers });
    this.sentBytes += body.length;
    if (body.length <= ALWAYS_TAKEN_BYTES) depart(this.response, body);
    // When a server closes, Node destroys every connection whose response was ended, whether its bytes have left or not.
    else {
      this.#send(body, (error) => {
        if (error === undefined) this.response.end();
      });
    }
  }

  /** An answer of headers alone: to HEAD, or 304. */
  endWithoutBody(status: number, headers: OutgoingHttpHeaders): void {
    this.head(status, headers);
    depart(this.response);
  }

  head(status: number, headers: OutgoingHttpHeaders): void {
    this.firstByteAt = performance.now();
    const length = headers['Content-Length'];
    if (typeof length === 'number' && !this.isHead) this.totalBytes = length;
    // Flat, as Node takes it too: cheaper than joining two objects into a third for each answer.
    const list: (string | number | readonly string[] | undefined)[] = [];
    for (const name of Object.keys(this.commonHeaders)) list.push(name, this.commonHeaders[name]);
    for (const name of Object.keys(headers)) list.push(name, headers[name]);
    this.response.writeHead(status, list as OutgoingHttpHeader[]);
  }

  /**
   * Hands bytes to the connection; resolves when they have left.
   * @throws when the client is gone; `Connections` sees to it that one that takes nothing is.
   */
  async write(bytes: Uint8Array): Promise<void> {
    this.signal.throwIfAborted();
    this.sentBytes += bytes.length;
    await new Promise<void>((resolve, reject) => {
      // Node forgets the callback of a write that comes between the end of the socket and its `close`.
      this.#failWrite = reject;
      this.#send(bytes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Ends the connection, so that nobody takes what was sent for a whole answer. */
  destroy(): void {
    this.response.destroy();
  }

  /** Node calls a write done whose socket was destroyed, and a response finished that is ended after that. */
  #send(bytes: Uint8Array, done: (error: Error | undefined) => void): void {
    const { socket } = this.response;
    this.response.write(bytes, (error) => {
      if (error) done(error);
      else done(socket?.destroyed === false ? undefined : clientLeft());
    });
  }
}

function clientLeft(): Error {
  return new DOMException('the client left', 'AbortError');
}
