import type { ServerResponse } from 'node:http';
import type { Interval } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';
import { type Deferred, deferred } from '../deferred.ts';
import type { Carried, Loan, SentSoFar } from '../http/carrier.ts';
import type { CarriedReport } from './front-messages.ts';
import { GRANT_HEADER, printGrant } from './grant.ts';

interface OpenLoan {
  readonly stretch: Interval;
  readonly begunAt: number;
  readonly over: Deferred<Carried>;
  readonly onSent: (sent: SentSoFar) => void;
}

/** The files that one front is sending for its owner. As many as it has connections. */
export class Loans {
  readonly #open = new Map<number, OpenLoan>();
  #last = 0;

  /** As `Carrier.lend`. */
  lend(file: RestingFile, stretch: Interval, onSent: (sent: SentSoFar) => void): Loan {
    const loan = (this.#last += 1);
    const over = deferred<Carried>();
    this.#open.set(loan, { stretch, begunAt: performance.now(), over, onSent });
    return {
      header: [GRANT_HEADER, printGrant({ loan, file, stretch })],
      over: over.promise,
      cancel: () => this.#settle(loan, { kind: 'broken off' }),
    };
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
    open?.over.resolve(carried);
  }
}
