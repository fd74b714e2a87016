import type { IncomingMessage } from 'node:http';
import type { Clock } from '../clock.ts';
import type { RequestRecord } from './request-record.ts';

/** How long an answer may be given again at most. */
const LIFE_MS = 1000;
/** From how many equal requests within that time on: below that, keeping costs more than it spares. */
const HOT_FROM = 4;
const REQUEST_LIMIT = 2000;
const BODY_LIMIT_BYTES = 64 * 1024;
/** Of all bodies that are kept. */
const TOTAL_LIMIT_BYTES = 32 * 1024 * 1024;
/** Targets and headers of clients of registries are a tenth of that; longer ones are not looked at. */
const REQUEST_LENGTH_LIMIT = 4096;

/** An answer that was given, whole: a hit of content that is immutable, or known to be fresh. */
export interface HotAnswer {
  readonly record: RequestRecord;
  /** Name and value in turn; without what is each answer's own. */
  readonly headers: readonly (string | number | readonly string[] | undefined)[];
  readonly body: Uint8Array;
}

/** An answer, and how long it is known to be right; `Infinity` for what is immutable. */
export type KeepAnswer = (answer: HotAnswer, freshForMs: number) => void;

/**
 * Answers that are asked for many times a second: a hundred nodes begin the same rollout at the same moment. An equal
 * request, to the last header, gets the equal answer for up to a second without being decided upon anew; whatever may
 * change a decision ends that at once (`generation`). Every answer is still counted, logged and shown on its own.
 */
export class HotAnswers {
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #generation: () => number;
  #asked = new Map<string, number>();
  #kept = new Map<string, { readonly answer: HotAnswer; readonly untilMs: number }>();
  #keptBytes = 0;
  #ofGeneration = 0;
  #untilMs = -Infinity;

  /** @param generation another number whenever what was decided before may be decided otherwise */
  constructor(clock: Pick<Clock, 'monotonic'>, generation: () => number) {
    this.#clock = clock;
    this.#generation = generation;
  }

  /** The answer to give again; a function that keeps the one that is about to be given; or neither. */
  find(request: IncomingMessage): HotAnswer | KeepAnswer | undefined {
    if (request.method !== 'GET' || request.httpVersion !== '1.1') return undefined;
    const asked = askedBy(request);
    if (asked.length > REQUEST_LENGTH_LIMIT) return undefined;
    const nowMs = this.#clock.monotonic();
    const generation = this.#generation();
    if (nowMs >= this.#untilMs || generation !== this.#ofGeneration) this.#beginAnew(nowMs, generation);
    const known = this.#kept.get(asked);
    if (known !== undefined) {
      if (nowMs < known.untilMs) return known.answer;
      this.#drop(asked);
    }
    return this.#isHot(asked) ? this.#keeper(asked, generation) : undefined;
  }

  /** For how long what `find` gave may be given to equal requests. 0 for what is not kept. */
  leftMs(request: IncomingMessage): number {
    const untilMs = Math.min(this.#untilMs, this.#kept.get(askedBy(request))?.untilMs ?? -Infinity);
    return Math.max(0, untilMs - this.#clock.monotonic());
  }

  #isHot(request: string): boolean {
    const count = (this.#asked.get(request) ?? 0) + 1;
    if (count > 1 || this.#asked.size < REQUEST_LIMIT) this.#asked.set(request, count);
    return count >= HOT_FROM;
  }

  #keeper(request: string, generation: number): KeepAnswer {
    return (answer, freshForMs) => {
      const { length } = answer.body;
      // What was decided before is not kept beyond a change that came meanwhile.
      if (generation !== this.#generation() || generation !== this.#ofGeneration) return;
      // Many that ask at the same moment may all be told to keep it.
      this.#drop(request);
      if (length > BODY_LIMIT_BYTES || this.#keptBytes + length > TOTAL_LIMIT_BYTES) return;
      this.#keptBytes += length;
      this.#kept.set(request, { answer, untilMs: this.#clock.monotonic() + freshForMs });
    };
  }

  #drop(request: string): void {
    const known = this.#kept.get(request);
    if (known === undefined) return;
    this.#kept.delete(request);
    this.#keptBytes -= known.answer.body.length;
  }

  #beginAnew(nowMs: number, generation: number): void {
    if (this.#asked.size > 0) this.#asked = new Map();
    if (this.#kept.size > 0) this.#kept = new Map();
    this.#keptBytes = 0;
    this.#ofGeneration = generation;
    this.#untilMs = nowMs + LIFE_MS;
  }
}

/** Requests of which this is the same are equal. Neither a target nor a header holds a line break. */
export function askedBy({ url, rawHeaders }: Pick<IncomingMessage, 'url' | 'rawHeaders'>): string {
  return `${url}\n${rawHeaders.join('\n')}`;
}
