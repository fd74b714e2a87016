import type { IncomingMessage, ServerResponse } from 'node:http';
import { nextRequestId } from '../activity/request-id.ts';
import { sendWhole } from '../http/client-write.ts';
import { askedBy } from '../http/hot-answers.ts';
import type { RepeatedReport } from './front-messages.ts';

/** On an answer that may be given to equal requests: its number, for how many milliseconds, and of which generation. */
export const REPEAT_HEADER = 'x-entrepot-repeat';

/** As the owner lends no more either. */
const BODY_LIMIT_BYTES = 64 * 1024;
const ANSWER_LIMIT = 2000;
const TOTAL_LIMIT_BYTES = 32 * 1024 * 1024;
/** Each report of its own would cost the owner as much as answering. */
const REPORT_MS = 5;
const REPORT_LIMIT = 500;

interface Kept {
  readonly answer: number;
  readonly untilMs: number;
  /** Without the request's id. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/**
 * Answers that many ask for at the same moment (`HotAnswers` of the owner): he lends them, for a second at most, and is
 * told of each time that one was given.
 */
export class RepeatedAnswers {
  readonly #onReports: (reports: readonly RepeatedReport[]) => void;
  #kept = new Map<string, Kept>();
  #keptBytes = 0;
  #generation = -1;
  #reports: RepeatedReport[] = [];
  #reporting: NodeJS.Timeout | undefined;

  constructor(onReports: (reports: readonly RepeatedReport[]) => void) {
    this.#onReports = onReports;
  }

  /** @returns false when the owner must be asked; else it is answered */
  serve(request: IncomingMessage, response: ServerResponse): boolean {
    if (this.#kept.size === 0 || request.method !== 'GET' || request.httpVersion !== '1.1') return false;
    const asked = askedBy(request);
    const kept = this.#kept.get(asked);
    if (kept === undefined) return false;
    const startedAt = performance.now();
    if (startedAt >= kept.untilMs) {
      this.#drop(asked, kept);
      return false;
    }
    this.#give(kept, request, { response, startedAt });
    return true;
  }

  /** @param lent as the owner's header says it */
  keep(
    request: IncomingMessage,
    lent: string,
    { headers, body }: { readonly headers: readonly string[]; readonly body: Buffer },
  ): void {
    const [answer = NaN, forMs = NaN, generation = NaN] = lent.split(' ').map(Number);
    const isOld = generation < this.#generation;
    if (isOld || !(answer >= 0) || !(forMs > 0) || body.length > BODY_LIMIT_BYTES) return;
    if (this.#kept.size >= ANSWER_LIMIT || this.#keptBytes + body.length > TOTAL_LIMIT_BYTES) this.#dropAll();
    const asked = askedBy(request);
    const known = this.#kept.get(asked);
    if (known !== undefined) this.#drop(asked, known);
    const own = headers.filter((_, at) => headers[at - (at % 2)]?.toLowerCase() !== 'x-request-id');
    // The connection's block is used again.
    this.#kept.set(asked, {
      answer,
      untilMs: performance.now() + forMs,
      headers: own,
      body: Buffer.from(body),
    });
    this.#keptBytes += body.length;
  }

  /** What was lent before this generation is not given again, also when it comes only now. */
  forget(generation: number): void {
    this.#generation = generation;
    this.#dropAll();
  }

  /** Tells what was not told yet. */
  close(): void {
    clearTimeout(this.#reporting);
    this.#tell();
  }

  #give(
    { answer, headers, body }: Kept,
    request: IncomingMessage,
    { response, startedAt }: { readonly response: ServerResponse; readonly startedAt: number },
  ): void {
    const id = nextRequestId();
    const client = request.socket.remoteAddress ?? 'unknown';
    const firstByteMs = performance.now() - startedAt;
    response.once('close', () => {
      const ms = performance.now() - startedAt;
      this.#report({ answer, id, client, ms, firstByteMs, isComplete: response.writableFinished });
    });
    response.strictContentLength = true;
    response.writeHead(200, ['X-Request-Id', id, ...headers]);
    sendWhole(response, body);
  }

  #report(report: RepeatedReport): void {
    if (this.#reports.push(report) >= REPORT_LIMIT) this.#tell();
    else this.#reporting ??= setTimeout(() => this.#tell(), REPORT_MS);
  }

  #tell(): void {
    clearTimeout(this.#reporting);
    this.#reporting = undefined;
    const reports = this.#reports;
    this.#reports = [];
    if (reports.length > 0) this.#onReports(reports);
  }

  #drop(asked: string, { body }: Kept): void {
    this.#kept.delete(asked);
    this.#keptBytes -= body.length;
  }

  #dropAll(): void {
    this.#kept = new Map();
    this.#keptBytes = 0;
  }
}
