import type { ServerResponse } from 'node:http';
import { depart } from './departures.ts';

/** A connection's send buffer has room for this much. */
export const ALWAYS_TAKEN_BYTES = 8 * 1024;

/**
 * Hands a piece of a body to the connection; `done` when it has left. Node calls a write done whose socket was destroyed,
 * and a response finished that is ended after that.
 */
export function writePiece(
  response: ServerResponse,
  bytes: Uint8Array,
  done: (error: Error | undefined) => void,
): void {
  const { socket } = response;
  response.write(bytes, (error) => {
    if (error) done(error);
    else done(socket?.destroyed === false ? undefined : clientLeft());
  });
}

/** Sends all of a body whose head was written, and ends the response. */
export function sendWhole(response: ServerResponse, body: Uint8Array): void {
  if (body.length <= ALWAYS_TAKEN_BYTES) depart(response, body);
  // When a server closes, Node destroys every connection whose response was ended, whether its bytes have left or not.
  else {
    writePiece(response, body, (error) => {
      if (error === undefined) response.end();
    });
  }
}

export function clientLeft(): Error {
  return new DOMException('the client left', 'AbortError');
}
