import type { ServerResponse } from 'node:http';

interface Departure {
  readonly response: ServerResponse;
  readonly body: Uint8Array | undefined;
}

let waiting: Departure[] = [];

/**
 * Ends a response whose head was written, with all of its body, when the requests that came in together have been
 * looked at: so answers leave in one burst. A client with many connections that sleeps between two answers must be woken
 * for each, which costs the system more than the answer; in a burst it is awake for all but the first. Nobody waits
 * for more than what is at hand already.
 */
export function depart(response: ServerResponse, body?: Uint8Array): void {
  if (waiting.push({ response, body }) === 1) setImmediate(leave);
}

/** Sends what waits to leave: to be called before a connection is judged by whether its answer was ended. */
export function leave(): void {
  const leaving = waiting;
  waiting = [];
  for (const { response, body } of leaving) {
    try {
      if (body === undefined) response.end();
      else response.end(body);
    } catch {
      // A body that does not fit its head: nothing may follow it on this connection, and the others are not to suffer.
      response.destroy();
    }
  }
}
