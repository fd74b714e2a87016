import type { Gate } from './gate.ts';
import { matchesRequest, type RecordedRequest, type RequestFilter } from './recorded-request.ts';

/** What goes wrong. All that is given is done; when several faults match a request, the later one wins by field. */
export interface FaultAction {
  /** Nothing is answered before the gate is open. */
  readonly gate?: Gate;
  /** Nothing is answered before this time has passed. */
  readonly delayMs?: number;
  /** No answer, ever; the connection stays open. */
  readonly hang?: boolean;
  /** The connection goes away without an answer: by RST, or by FIN. */
  readonly drop?: 'reset' | 'end';
  /** These bytes and nothing else are put on the socket, which stays open unless `drop` is given too. */
  readonly raw?: string | Uint8Array;
  /** This answer in place of the real one. */
  readonly respond?: {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string | readonly string[]>>;
    readonly body?: string | Uint8Array;
  };
  /** Headers (lower case) put over those of the answer; `undefined` takes one away, a list sends one several times. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The whole content with 200, whatever range was asked. */
  readonly ignoreRange?: boolean;
  /** A 206 with this range (end exclusive), honestly declared, whatever was asked. */
  readonly serveRange?: { readonly start: number; readonly end: number };
  /** `length` (the default) declares Content-Length; `chunked`; `close` ends the body by closing the connection. */
  readonly framing?: 'length' | 'chunked' | 'close';
  /** The Content-Length sent, whatever the body's is. */
  readonly declaredLength?: number;
  /** The connection goes away once so many bytes of the body are written. */
  readonly cutAfter?: number;
  /** How it goes away: `end` (the default: FIN, what was written arrives) or `reset` (RST, a little later; a reader that pauses may lose some of it). */
  readonly cutWith?: 'end' | 'reset';
  /** After so many bytes of the body the rest waits for the gate. */
  readonly stallAfter?: { readonly bytes: number; readonly gate: Gate };
  readonly bytesPerSecond?: number;
  /** The lowest bit of the byte at this position of the content (not of the range) is turned. */
  readonly flipBitAt?: number;
  /** So many bytes more after the content, or fewer when negative. The declared length stays the right one. */
  readonly extraBytes?: number;
  /** The body goes on for ever after the content. Chunked, unless `declaredLength` is given. */
  readonly endless?: boolean;
  /** The body is compressed and says so; the declared length is that of what is sent. */
  readonly gzip?: boolean;
  /** Bytes put on the socket right behind the whole answer: a second response to one request. */
  readonly trailing?: string | Uint8Array;
}

/** Which requests a fault befalls. Requests are counted as they match, whether the fault acts on them or not. */
export interface FaultMatch extends RequestFilter {
  /** The first one that is hit, counted from 1. Default 1. */
  readonly nth?: number;
  /** How many in a row are hit. Default: one if `nth` is given, else all. */
  readonly times?: number;
}

export interface Fault {
  readonly match?: FaultMatch;
  readonly action: FaultAction;
}

/** A fault that was added: `hits` = how many requests it befell so far; `remove` ends it. */
export interface AddedFault {
  readonly hits: number;
  remove(): void;
}

/** The script of what goes wrong on a fake server. */
export class Faults {
  readonly #entries = new Set<{ fault: Fault; seen: number; hits: number }>();

  add(fault: Fault): AddedFault {
    const entry = { fault, seen: 0, hits: 0 };
    this.#entries.add(entry);
    return {
      get hits() {
        return entry.hits;
      },
      remove: () => {
        this.#entries.delete(entry);
      },
    };
  }

  /** Removes all. */
  clear(): void {
    this.#entries.clear();
  }

  /** What is to befall this request; counts it. An empty action when nothing is. */
  actionFor(request: RecordedRequest): FaultAction {
    const action: FaultAction = {};
    for (const entry of this.#entries) {
      const { nth, times, ...filter } = entry.fault.match ?? {};
      if (!matchesRequest(request, filter)) continue;
      entry.seen += 1;
      const first = nth ?? 1;
      const last = first + (times ?? (nth === undefined ? Infinity : 1));
      if (entry.seen < first || entry.seen >= last) continue;
      entry.hits += 1;
      Object.assign(action, entry.fault.action);
    }
    return action;
  }
}
