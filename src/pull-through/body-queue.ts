import type { Readable } from 'node:stream';
import { newcomers } from '../newcomers.ts';
import type { BlobTransfer } from '../upstream/upstream.ts';

/** What a body may hold while the disk is busy: then its socket is no longer read. */
const QUEUE_LIMIT_BYTES = 1024 * 1024;

/**
 * What a body may bring in one turn of the event loop. libuv would read on for up to 2 MiB while a fast upstream sends;
 * so long every other connection waits, and so long nothing is sent to who reads the blob.
 */
const TURN_LIMIT_BYTES = 256 * 1024;

/** Keeps what has arrived of an upstream body, to be taken in large runs without joining its chunks first. Takes the body over. */
export class BodyQueue {
  readonly #body: Readable;
  readonly #onChange: () => void;
  readonly #giveBack: (chunk: Buffer) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  /** That arrived in this turn of the event loop. */
  #turnBytes = 0;
  #offset = 0;
  #isEnded = false;
  #error: Error | undefined;
  /** `onChange` is not called for bytes while fewer than this are here: waking for each piece costs more than the piece. */
  wakeAtBytes = 1;

  /** @param onChange called when enough bytes have arrived, and when the body is over */
  constructor({ body, giveBack }: Pick<BlobTransfer, 'body' | 'giveBack'>, onChange: () => void) {
    this.#body = body;
    this.#onChange = onChange;
    this.#giveBack = giveBack;
    body.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      this.#count(chunk.length);
      if (this.#bytes >= QUEUE_LIMIT_BYTES) body.pause();
      if (this.#bytes >= this.wakeAtBytes) onChange();
    });
    body.on('end', () => {
      this.#isEnded = true;
      onChange();
    });
    body.on('error', (error) => this.#fail(error));
    body.on('close', () => this.#fail(new Error('the body was closed before its end')));
  }

  /** Bytes that can be taken. */
  get bytes(): number {
    return this.#bytes;
  }

  /** True when no more will arrive. */
  get isOver(): boolean {
    return this.#isEnded || this.#error !== undefined;
  }

  /** What broke the body; `undefined` while it goes on, and when it came to its end. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Moves up to `limitBytes` of what has arrived to the start of `into`. @returns how many. */
  take(into: Uint8Array, limitBytes: number): number {
    return this.#consume(limitBytes, (part, at) => into.set(part, at));
  }

  /** Throws away up to `limitBytes` of what has arrived. @returns how many. */
  skip(limitBytes: number): number {
    return this.#consume(limitBytes, () => undefined);
  }

  #consume(limitBytes: number, use: (part: Buffer, at: number) => void): number {
    let taken = 0;
    while (taken < limitBytes) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const part = chunk.subarray(this.#offset, this.#offset + limitBytes - taken);
      use(part, taken);
      taken += part.length;
      this.#offset += part.length;
      if (this.#offset < chunk.length) break;
      this.#chunks.shift();
      this.#giveBack(chunk);
      this.#offset = 0;
    }
    this.#bytes -= taken;
    this.#resume();
    return taken;
  }

  #count(length: number): void {
    if (this.#turnBytes === 0) void this.#beginTurn();
    this.#turnBytes += length;
    if (this.#turnBytes >= TURN_LIMIT_BYTES) this.#body.pause();
  }

  async #beginTurn(): Promise<void> {
    await newcomers.turnWithout();
    this.#turnBytes = 0;
    this.#resume();
  }

  #resume(): void {
    const mayFlow = this.#bytes < QUEUE_LIMIT_BYTES && this.#turnBytes < TURN_LIMIT_BYTES;
    if (mayFlow && this.#body.isPaused()) this.#body.resume();
  }

  /** Cancels what is left of the body. Harmless at its end. */
  destroy(): void {
    this.#body.destroy();
  }

  #fail(error: Error): void {
    if (this.isOver) return;
    this.#error = error;
    this.#onChange();
  }
}
