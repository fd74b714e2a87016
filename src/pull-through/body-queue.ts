import type { Readable } from 'node:stream';

/** What a body may hold while the disk is busy: then its socket is no longer read. */
const QUEUE_LIMIT_BYTES = 1024 * 1024;

/** Reads an upstream body in runs as large as what has arrived, without joining its chunks first. Takes the body over. */
export class BodyQueue {
  readonly #body: Readable;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #offset = 0;
  #isEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  constructor(body: Readable) {
    this.#body = body;
    body.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes >= QUEUE_LIMIT_BYTES) body.pause();
      this.#wake?.();
    });
    body.on('end', () => {
      this.#isEnded = true;
      this.#wake?.();
    });
    body.on('error', (error) => this.#fail(error));
    body.on('close', () => this.#fail(new Error('the body was closed before its end')));
  }

  /** True when bytes can be taken, false at the end of the body. @throws what broke the body, after what came before. */
  async ready(): Promise<boolean> {
    while (this.#bytes === 0) {
      if (this.#isEnded) return false;
      if (this.#error !== undefined) throw this.#error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    return true;
  }

  /** Moves up to `limitBytes` of what has arrived to the start of `into`. @returns how many. */
  take(into: Uint8Array, limitBytes: number): number {
    let taken = 0;
    while (taken < limitBytes) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) break;
      const part = chunk.subarray(this.#offset, this.#offset + limitBytes - taken);
      into.set(part, taken);
      taken += part.length;
      this.#offset += part.length;
      if (this.#offset < chunk.length) break;
      this.#chunks.shift();
      this.#offset = 0;
    }
    this.#bytes -= taken;
    if (this.#body.isPaused() && this.#bytes < QUEUE_LIMIT_BYTES / 2) this.#body.resume();
    return taken;
  }

  /** Throws away up to `limitBytes` of what has arrived. @returns how many. */
  skip(limitBytes: number): number {
    const count = Math.min(limitBytes, this.#bytes);
    return this.take(Buffer.allocUnsafe(count), count);
  }

  /** Cancels what is left of the body. Harmless at its end. */
  destroy(): void {
    this.#body.destroy();
  }

  #fail(error: Error): void {
    if (this.#isEnded) return;
    this.#error ??= error;
    this.#wake?.();
  }
}
