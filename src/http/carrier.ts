import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Interval } from '../content/intervals.ts';
import type { RestingFile } from '../content/resting-file.ts';
import type { HotAnswer } from './hot-answers.ts';

/**
 * Whoever a request came through, in place of a connection of the client's own: he knows the client, and can send files
 * to him by himself.
 */
export interface Carrier {
  /** The client's address. */
  readonly client: string;
  /** Stretches that are shorter are sent by us: asking costs more than it spares. */
  readonly leastBytes: number;
  /** @param onSent told now and then how many bytes of the stretch have left so far */
  lend(file: RestingFile, stretch: Interval, onSent: (sent: SentSoFar) => void): Loan;
  /**
   * He may give this answer to equal requests for so long without asking, and tells of each. What is to be told to him, on
   * the answer itself: a name and a value. Absent: he always asks; `undefined`: of this one too.
   */
  readonly repeat?:
    | ((
        answer: HotAnswer,
        request: IncomingMessage,
        forMs: number,
      ) => readonly [name: string, value: string] | undefined)
    | undefined;
}

export interface SentSoFar {
  readonly bytes: number;
  /** By `performance.now()`; absent: none has left. */
  readonly firstByteAt: number | undefined;
}

/** A file that somebody sends to a client for us. */
export interface Loan {
  /** What tells him, on an answer with the client's head and without a body. */
  readonly header: readonly [name: string, value: string];
  /** Never rejects. */
  readonly over: Promise<Carried>;
  /** The client has left before he was told. */
  cancel(): void;
}

/** What became of it. */
export type Carried =
  /** All has left. */
  | { readonly kind: 'whole' }
  /** The client has left, or whoever carried has ended, and the client's connection with him. */
  | { readonly kind: 'broken off' }
  /** The file is not what it should be: the rest is wanted from us, in this response's body. */
  | { readonly kind: 'given back'; readonly position: number; readonly response: ServerResponse };
