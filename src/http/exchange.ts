import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { LiveRequest } from '../activity/live-request.ts';
import { nextRequestId } from '../activity/request-id.ts';
import type { AnsweredRequest, TraceParent } from '../request-cause.ts';
import type { Interval } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';
import type { Served } from '../pull-through/served.ts';
import type { Carrier } from './carrier.ts';
import { clientAddress } from './client-address.ts';
import { clientLeft, sendWhole, writePiece } from './client-write.ts';
import { depart } from './departures.ts';
import type { HotAnswer, KeepAnswer } from './hot-answers.ts';
import type { RequestRecord } from './request-record.ts';

/** One request and its response, with the few things that every endpoint does to them. */
export class Exchange implements LiveRequest, AnsweredRequest {
  /** In its log lines, and on its answer as `X-Request-Id`; what a client sends under that name is not taken. */
  readonly id = nextRequestId();
  readonly request: IncomingMessage;
  /** What is written to. Another one goes on with the body when somebody who sent it for us gives it back. */
  response: ServerResponse;
  readonly record: RequestRecord = {
    kind: 'other',
    upstream: undefined,
    repository: undefined,
    reference: undefined,
    outcome: undefined,
    reason: undefined,
    error: undefined,
  };
  /** On every answer, refusals too; `X-Request-Id` comes on top. */
  readonly commonHeaders: OutgoingHttpHeaders = { 'Docker-Distribution-API-Version': 'registry/2.0' };
  readonly startedAt = performance.now();
  firstByteAt: number | undefined;
  /** Of the answer; absent before its head is sent. */
  status: number | undefined;
  /** All of the answer has left. */
  isComplete = false;
  /** Body bytes handed to the connection. */
  sentBytes = 0;
  /** Where what is done for it is traced; absent: it is not. */
  trace: TraceParent | undefined;
  /** Of the body; absent before the head is sent, and where there is none. */
  totalBytes: number | undefined;
  /** Told of the answer when it is whole, and a hit of a manifest or blob. */
  keep: KeepAnswer | undefined;
  #freshForMs = Infinity;
  // Most answers are given within the turn of the event loop, and nobody asks for a signal: it is made when one does.
  #controller: AbortController | undefined;
  #left: Error | undefined;
  readonly #carrier: Carrier | undefined;
  /** Somebody else sends the body. */
  #isCarried = false;
  #onOver: (() => void) | undefined;
  #failWrite: ((reason: unknown) => void) | undefined;

  /**
   * The response must have its socket: Node tells nothing of the client to one that waits for it.
   * @param carrier who the request came through; absent: it has a connection of its own
   */
  constructor(request: IncomingMessage, response: ServerResponse, carrier?: Carrier) {
    this.request = request;
    this.response = response;
    this.#carrier = carrier;
    this.#watch(response);
  }

  /** Called once, when all of the answer has left or its client has. */
  set onOver(listener: () => void) {
    this.#onOver = listener;
  }

  #watch(response: ServerResponse): void {
    // A body that turns out shorter than its Content-Length must never pass for a whole one.
    response.strictContentLength = true;
    response.on('close', () => {
      if (!this.#isCarried || !response.writableFinished) this.#end(response.writableFinished);
    });
  }

  #end(isComplete: boolean): void {
    this.isComplete = isComplete;
    if (!isComplete) {
      this.#left = clientLeft();
      this.#controller?.abort(this.#left);
      this.#failWrite?.(this.#left);
    }
    this.#onOver?.();
    this.#onOver = undefined;
  }

  /** Aborts when the client has left before its answer was complete. What is done under it is done for this request. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#left !== undefined) this.#controller.abort(this.#left);
    }
    return this.#controller.signal;
  }

  get client(): string {
    return clientAddress(this.#carrier?.client ?? this.request.socket.remoteAddress);
  }

  owns(signal: AbortSignal): boolean {
    return this.#controller?.signal === signal;
  }

  get isHead(): boolean {
    return this.request.method === 'HEAD';
  }

  header(name: string): string | undefined {
    const value = this.request.headers[name];
    return typeof value === 'string' ? value : value?.join(', ');
  }

  /** Notes how it is answered. */
  served({ outcome, reason, freshForMs = Infinity }: Omit<Served<unknown>, 'value'>): void {
    this.record.outcome = outcome;
    this.record.reason = reason;
    this.#freshForMs = freshForMs;
  }

  /** A whole answer at once. HEAD gets the headers of GET. */
  end(status: number, headers: OutgoingHttpHeaders, body: Uint8Array): void {
    if (this.isHead || body.length === 0) {
      this.endWithoutBody(status, { 'Content-Length': body.length, ...headers });
      return;
    }
    const list = this.#head(status, { 'Content-Length': body.length, ...headers });
    const { kind, outcome } = this.record;
    if (
      this.keep !== undefined &&
      status === 200 &&
      outcome === 'hit' &&
      (kind === 'manifest' || kind === 'blob')
    )
      this.keep({ record: { ...this.record }, headers: list, body }, this.#freshForMs);
    this.#sendWhole(body);
  }

  /** An answer that was given to an equal request. @param leftMs for how long it may still be given */
  repeat(answer: HotAnswer, leftMs: () => number): void {
    const { record, headers, body } = answer;
    Object.assign(this.record, record);
    const told = this.#carrier?.repeat?.(answer, this.request, leftMs());
    this.#writeHead(200, told === undefined ? headers : [...told, ...headers], body.length);
    this.#sendWhole(body);
  }

  #sendWhole(body: Uint8Array): void {
    this.sentBytes += body.length;
    sendWhole(this.response, body);
  }

  /** An answer of headers alone: to HEAD, or 304. */
  endWithoutBody(status: number, headers: OutgoingHttpHeaders): void {
    this.head(status, headers);
    depart(this.response);
  }

  head(status: number, headers: OutgoingHttpHeaders): void {
    this.#head(status, headers);
  }

  #head(status: number, headers: OutgoingHttpHeaders): HotAnswer['headers'] {
    // Flat, as Node takes it too: cheaper than joining two objects into a third for each answer.
    const list: (string | number | readonly string[] | undefined)[] = [];
    for (const name of Object.keys(this.commonHeaders)) list.push(name, this.commonHeaders[name]);
    for (const name of Object.keys(headers)) list.push(name, headers[name]);
    const length = headers['Content-Length'];
    this.#writeHead(status, list, typeof length === 'number' ? length : undefined);
    return list;
  }

  #writeHead(status: number, headers: HotAnswer['headers'], length: number | undefined): void {
    this.firstByteAt = performance.now();
    if (length !== undefined && !this.isHead) this.totalBytes = length;
    this.response.writeHead(status, ['X-Request-Id', this.id, ...headers] as OutgoingHttpHeader[]);
    this.status = status;
  }

  /**
   * Has whoever the request came through send a stretch of a file.
   * @returns where to go on from, with the body alone: the stretch's end when all of it was sent. Absent: nobody sends it.
   * @throws when the client is gone
   */
  async carry(
    status: number,
    headers: OutgoingHttpHeaders,
    file: () => RestingFile | undefined,
    stretch: Interval,
  ): Promise<number | undefined> {
    const carrier = this.#carrier;
    const length = stretch.end - stretch.start;
    const lent = carrier === undefined || length < carrier.leastBytes ? undefined : file();
    if (carrier === undefined || lent === undefined) return undefined;
    this.signal.throwIfAborted();
    const loan = carrier.lend(lent, stretch, ({ bytes, firstByteAt }) => {
      this.sentBytes = bytes;
      this.firstByteAt = firstByteAt;
    });
    this.signal.addEventListener('abort', () => loan.cancel(), { once: true });
    this.#isCarried = true;
    const [name, value] = loan.header;
    this.endWithoutBody(status, { ...headers, [name]: value, 'Content-Length': 0 });
    this.firstByteAt = undefined;
    this.totalBytes = length;
    const carried = await loan.over;
    this.#isCarried = false;
    if (carried.kind !== 'given back') {
      this.#end(carried.kind === 'whole');
      this.signal.throwIfAborted();
      return stretch.end;
    }
    this.response = carried.response;
    this.#watch(carried.response);
    this.response.writeHead(200, { 'Content-Length': stretch.end - carried.position });
    return carried.position;
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
      writePiece(this.response, bytes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }

  /** Ends the connection, so that nobody takes what was sent for a whole answer. */
  destroy(): void {
    this.response.destroy();
  }
}
