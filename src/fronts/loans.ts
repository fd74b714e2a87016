import type { ServerResponse } from 'node:http';
import type { Interval } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';
import { type Deferred, deferred } from '../deferred.ts';
import type { Carried, Loan, SentSoFar } from '../http/carrier.ts';
import type { CarriedReport } from './front-messages.ts';
import { GRANT_HEADER, printGrant } from './grant.ts';

/** Of requests that were dropped before an answer of ours to them was taken, and may still be on their way. */
const LEFT_LIMIT = 10_000;

interface OpenLoan {
  /** What the front calls the request. */
  readonly request: number;
  readonly stretch: Interval;
  readonly begunAt: number;
  readonly over: Deferred<Carried>;
  readonly onSent: (sent: SentSoFar) => void;
}

/** The files that one front is sending for its owner. As many as it has connections. */
export class Loans {
  readonly #open = new Map<number, OpenLoan>();
  /** By the front's request. */
  readonly #ofRequest = new Map<number, number>();
  readonly #left = new Set<number>();
  #last = 0;

  /**
   * As `Carrier.lend`. One for each request at most.
   * @param request what the front calls it
   */
  lend(request: number, file: RestingFile, stretch: Interval, onSent: (sent: SentSoFar) => void): Loan {
    const loan = (this.#last += 1);
    const over = deferred<Carried>();
    this.#ofRequest.set(request, loan);
    this.#open.set(loan, { request, stretch, begunAt: performance.now(), over, onSent });
    if (this.#left.has(request)) this.#settle(loan, { kind: 'broken off' });
    return {
      header: [GRANT_HEADER, printGrant({ loan, file, stretch })],
      over: over.promise,
      cancel: () => this.#settle(loan, { kind: 'broken off' }),
    };
  }

  /**
   * The front has dropped this request, and takes no grant for it: that one was written does not say that it was read. The
   * request itself may come only after this.
   */
  left(request: number): void {
    const loan = this.#ofRequest.get(request);
    if (loan !== undefined) {
      this.#settle(loan, { kind: 'broken off' });
      return;
    }
    const [oldest] = this.#left;
    if (this.#left.size >= LEFT_LIMIT && oldest !== undefined) this.#left.delete(oldest);
    this.#left.add(request);
  }

  /** The front says how far it is. Of what is over already nothing is heard. */
  report({ loan, sentBytes, firstByteMs, state }: CarriedReport): void {
    const open = this.#open.get(loan);
    if (open === undefined) return;
    const { begunAt, stretch, onSent } = open;
    const bytes = Math.min(sentBytes, stretch.end - stretch.start);
    onSent({ bytes, firstByteAt: firstByteMs === undefined ? undefined : begunAt + firstByteMs });
    if (state !== 'going on') this.#settle(loan, { kind: state });
  }

  /** The front wants the rest from `position` on. @returns false when it has no such loan */
  giveBack(loan: number, position: number, response: ServerResponse): boolean {
    const open = this.#open.get(loan);
    if (open === undefined || !(position >= open.stretch.start && position < open.stretch.end)) return false;
    const bytes = position - open.stretch.start;
    open.onSent({ bytes, firstByteAt: bytes === 0 ? undefined : performance.now() });
    this.#settle(loan, { kind: 'given back', position, response });
    return true;
  }

  /** The front is no more. */
  end(): void {
    for (const loan of this.#open.keys()) this.#settle(loan, { kind: 'broken off' });
  }

  #settle(loan: number, carried: Carried): void {
    const open = this.#open.get(loan);
    this.#open.delete(loan);
    if (open === undefined) return;
    this.#ofRequest.delete(open.request);
    open.over.resolve(carried);
  }
}
