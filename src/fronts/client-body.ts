import type { ServerResponse } from 'node:http';
import type { BodyTaker } from '../http/blob-body.ts';
import { clientLeft, writePiece } from '../http/client-write.ts';

/** A body on its way to a client, and how far it is. */
export class ClientBody implements BodyTaker {
  /** Handed to the connection. */
  sentBytes = 0;
  /** By `performance.now()`. */
  firstByteAt: number | undefined;
  readonly #response: ServerResponse;
  readonly #leaving = new AbortController();
  #fail: ((reason: unknown) => void) | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
    // A body that turns out shorter than its Content-Length must never pass for a whole one.
    response.strictContentLength = true;
    const closed = (): void => {
      if (response.writableFinished) return;
      const reason = clientLeft();
      this.#leaving.abort(reason);
      this.#fail?.(reason);
    };
    if (response.destroyed) closed();
    else response.once('close', closed);
  }

  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.signal.throwIfAborted();
    this.firstByteAt ??= performance.now();
    this.sentBytes += bytes.length;
    await new Promise<void>((resolve, reject) => {
      // Node forgets the callback of a write that comes between the end of the socket and its `close`.
      this.#fail = reject;
      writePiece(this.#response, bytes, (error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}
