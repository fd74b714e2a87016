import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import { ALWAYS_TAKEN_BYTES } from '../http/client-write.ts';
import { depart } from '../http/departures.ts';
import { giveBack } from '../upstream/read-blocks.ts';

export interface OwnerHead {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as the owner wrote them. */
  readonly raw: readonly string[];
}

/**
 * Looks at the head of an answer. What it gives is done in place of relaying the body when the answer is over; absent: it
 * has written the head for the client, and the body follows.
 */
export type OnHead = (head: OwnerHead) => (() => void) | undefined;

/**
 * One answer of the owner, on its way to a client: at the client's pace, and broken off when either is gone. What was
 * begun and is not whole never ends as if it were.
 */
export class OwnerAnswer implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  readonly #onHead: OnHead;
  readonly #onDropped: () => void;
  #controller: Dispatcher.DispatchController | undefined;
  #instead: (() => void) | undefined;
  /** Told of a body that came whole at once; it may be kept. */
  onWhole: ((body: Buffer) => void) | undefined;
  /** A small body that is whole already, so that it leaves with its head. */
  #whole: Buffer | undefined;
  #lengthBytes: number | undefined;
  #writing = 0;
  #isOver = false;

  /**
   * @param response the client's; who calls sees to it that nobody else writes to it
   * @param onDropped called when the answer is not taken to its end, once; the owner may have written all of it
   */
  constructor(response: ServerResponse, onHead: OnHead, onDropped: () => void = () => undefined) {
    this.#response = response;
    this.#onHead = onHead;
    this.#onDropped = onDropped;
    response.once('close', () => {
      if (this.#isOver) return;
      this.#drop();
      this.#controller?.abort(new Error('the client left'));
    });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#response.destroyed) controller.abort(new Error('the client left'));
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    const raw = Array.isArray(controller.rawHeaders) ? controller.rawHeaders : [];
    const length = headers['content-length'];
    this.#lengthBytes = typeof length === 'string' ? Number(length) : undefined;
    this.#response.strictContentLength = true;
    this.#instead = this.#onHead({
      status,
      headers,
      raw: raw.map((text) => (typeof text === 'string' ? text : text.toString('latin1'))),
    });
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#instead !== undefined) return;
    if (chunk.length === this.#lengthBytes) this.onWhole?.(chunk);
    if (chunk.length === this.#lengthBytes && chunk.length <= ALWAYS_TAKEN_BYTES) {
      this.#whole = chunk;
      return;
    }
    this.#writing += 1;
    const isTaken = this.#response.write(chunk, (error) => {
      this.#writing -= 1;
      if (error) return;
      giveBack(chunk);
      if (this.#isOver && this.#writing === 0) this.#end();
    });
    if (isTaken) return;
    controller.pause();
    this.#response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#instead !== undefined) this.#instead();
    else if (this.#whole !== undefined) depart(this.#response, this.#whole);
    // Node ends a connection of a server that closes once its response was ended, whether its bytes have left or not.
    else if (this.#writing === 0) this.#end();
  }

  onResponseError(): void {
    this.destroy();
  }

  /** Ends the client's connection, so that nobody takes what was sent for a whole answer. */
  destroy(): void {
    if (!this.#isOver) this.#drop();
    this.#response.destroy();
  }

  #drop(): void {
    this.#isOver = true;
    this.#onDropped();
  }

  #end(): void {
    try {
      this.#response.end();
    } catch {
      // Shorter than it said.
      this.#response.destroy();
    }
  }
}
