import type { Chunk, Content } from '../content/content.ts';
import type { Interval } from '../content/intervals.ts';

/**
 * What a reader of the whole blob is not given before the digest is verified. Clients see the end of a body that is
 * right, or none; a body that fits is not even begun before.
 */
export const HOLD_BACK_BYTES = 64 * 1024;

/** A reader's first piece: many clients that come together all get a first byte before any of them gets much. */
const FIRST_BYTES = 64 * 1024;

/** What a reader of a blob in flight wants: all of it, verified before it ends; or these stretches, as they arrive. */
export type Wanted = 'whole' | readonly Interval[];

/** The side of a fill that its readers use. */
export interface ReadableFetch {
  /** Bytes that can be had right now, or `undefined`. @throws what ended the fill. */
  tryRead(reader: FetchReader, position: number, limitBytes: number): Promise<Chunk> | Chunk | undefined;
  /** Called when a reader begins to wait, so that what it waits for is brought in. */
  onWaiting(reader: FetchReader): void;
  /** Called when a reader has moved on. */
  onMoved(): void;
  onClosed(reader: FetchReader): void;
}

/** One reader of a blob in flight. Holds nothing of the fill but its place in it. */
export class FetchReader implements Content {
  readonly sizeBytes: number;
  readonly wanted: Wanted;
  readonly #fetch: ReadableFetch;
  /** Where it reads, or will next. */
  position = 0;
  #wake: (() => void) | undefined;
  #hasRead = false;
  #isClosed = false;

  constructor(fetch: ReadableFetch, sizeBytes: number, wanted: Wanted) {
    this.#fetch = fetch;
    this.sizeBytes = sizeBytes;
    this.wanted = wanted;
    if (wanted !== 'whole') this.position = wanted[0]?.start ?? 0;
  }

  get isWaiting(): boolean {
    return this.#wake !== undefined;
  }

  /** The bytes that it needs next: from its position to the end of what it wants there. */
  get demand(): Interval {
    const { position, wanted } = this;
    if (wanted === 'whole') return { start: position, end: this.sizeBytes };
    const end = wanted.find((range) => range.start <= position && position < range.end)?.end;
    return { start: position, end: end ?? position };
  }

  async read(position: number, atMost: number, signal: AbortSignal): Promise<Chunk> {
    const limitBytes = this.#hasRead ? atMost : Math.min(atMost, FIRST_BYTES);
    this.#hasRead = true;
    this.position = position;
    this.#fetch.onMoved();
    for (;;) {
      signal.throwIfAborted();
      const chunk = this.#fetch.tryRead(this, position, limitBytes);
      if (chunk !== undefined) return await chunk;
      // Within the same turn as the look: what comes in between would wake nobody.
      await this.#wait(signal);
    }
  }

  /** Ends the wait, whatever for. */
  wake(): void {
    this.#wake?.();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#fetch.onClosed(this);
  }

  async #wait(signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const end = () => {
        this.#wake = undefined;
        signal.removeEventListener('abort', end);
        resolve();
      };
      this.#wake = end;
      signal.addEventListener('abort', end, { once: true });
      this.#fetch.onWaiting(this);
    });
  }
}
