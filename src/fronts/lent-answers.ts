import type { IncomingMessage } from 'node:http';
import { clientAddress } from '../http/client-address.ts';
import type { HotAnswer } from '../http/hot-answers.ts';
import type { FinishedExchange } from '../http/request-report.ts';
import { REPEAT_HEADER } from './repeated-answers.ts';
import type { RepeatedReport } from './front-messages.ts';

/** How often it is looked whether what was lent is still right, while anything is lent, if nobody says so. */
const LOOK_MS = 10;
/** Longer than an answer is lent, and what a front tells of it is on its way. */
const KNOWN_MS = 3_000;

/** In that time; more are not lent. */
const LENT_LIMIT = 20_000;

/** What is told of it; not its body, which may be long gone from the owner's memory. */
interface Lent {
  readonly record: HotAnswer['record'];
  readonly lengthBytes: number;
  readonly request: FinishedExchange['request'];
}

const NEVER_ABORTED = new AbortController().signal;

/** The answers that fronts may give without asking. */
export class LentAnswers {
  readonly #generation: () => number;
  readonly #onChange: (generation: number) => void;
  #lent = new Map<number, Lent>();
  #before = new Map<number, Lent>();
  #numbers = new WeakMap<HotAnswer, number>();
  #last = 0;
  #lentAt = 0;
  #turnedAt = 0;
  #told: number;
  /** In the generation that was told last. */
  #isLent = false;
  #looking: NodeJS.Timeout | undefined;

  /**
   * @param generation another number whenever what was lent may not be right any more
   * @param onChange called when it is another one, in `look` or within a hundredth of a second, where anything was lent before
   */
  constructor(generation: () => number, onChange: (generation: number) => void) {
    this.#generation = generation;
    this.#onChange = onChange;
    this.#told = generation();
  }

  /** As `Carrier.repeat`. */
  lend(
    answer: HotAnswer,
    { method, url, headers }: IncomingMessage,
    forMs: number,
  ): readonly [name: string, value: string] | undefined {
    this.look();
    const now = performance.now();
    if (now - this.#turnedAt > KNOWN_MS) {
      this.#before = this.#lent;
      this.#lent = new Map();
      this.#numbers = new WeakMap();
      this.#turnedAt = now;
    }
    this.#lentAt = now;
    this.#isLent = true;
    this.#looking ??= setInterval(() => this.look(), LOOK_MS).unref();
    let number = this.#numbers.get(answer);
    if (number === undefined) {
      if (this.#lent.size >= LENT_LIMIT) return undefined;
      number = this.#last += 1;
      this.#numbers.set(answer, number);
      const agent = headers['user-agent'];
      const request = { method, url, headers: agent === undefined ? {} : { 'user-agent': agent } };
      this.#lent.set(number, { record: answer.record, lengthBytes: answer.body.length, request });
    }
    return [REPEAT_HEADER, `${number} ${Math.floor(forMs)} ${this.#told}`];
  }

  /** What a front tells of, as if we had answered it. `undefined` for what was never lent, or long ago. */
  finished(report: RepeatedReport): FinishedExchange | undefined {
    const lent = this.#lent.get(report.answer) ?? this.#before.get(report.answer);
    if (lent === undefined) return undefined;
    const { id, client, ms, firstByteMs, isComplete } = report;
    const startedAt = performance.now() - ms;
    const { record, lengthBytes } = lent;
    return {
      id,
      client: clientAddress(client),
      request: lent.request,
      record,
      startedAt,
      firstByteAt: startedAt + firstByteMs,
      sentBytes: lengthBytes,
      totalBytes: lengthBytes,
      isComplete,
      status: 200,
      signal: NEVER_ABORTED,
    };
  }

  close(): void {
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  /** What was lent may not be right any more. */
  look(): void {
    const generation = this.#generation();
    if (generation !== this.#told) {
      this.#told = generation;
      // Of a purge of thousands one is told.
      if (this.#isLent) this.#onChange(generation);
      this.#isLent = false;
    }
    if (performance.now() - this.#lentAt > KNOWN_MS) this.close();
  }
}
