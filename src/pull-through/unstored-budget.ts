import type { Clock } from '../clock.ts';
import { ContentError } from '../content/content-error.ts';
import { type Deferred, deferred } from '../deferred.ts';
import { WINDOW_BYTES } from './unstored-bytes.ts';

/** However little is asked for: what a transfer takes in buffers of its own. */
const LEAST_BYTES = 64 * 1024;
/** Fetches that wait for their turn; each is somebody's memory. */
const QUEUE_LIMIT = 4096;
/** A late answer is better than none, but who waits longer has given up. */
const TURN_WAIT_MS = 30_000;

/** Gives back what was taken. To be called once. */
export type GiveBack = () => void;

interface Waiter {
  readonly bytes: number;
  readonly turn: Deferred<GiveBack>;
}

/** Memory for bytes that cannot be stored, of all fills together. */
export class UnstoredBudget {
  readonly #clock: Clock;
  readonly #limitBytes: number;
  readonly #waiters = new Set<Waiter>();
  #takenBytes = 0;

  constructor(clock: Clock, limitBytes: number) {
    this.#clock = clock;
    this.#limitBytes = limitBytes;
  }

  /**
   * A whole window, now: for a fill that is on its way, and holds what others wait for. One that gets none fails, and its
   * client goes elsewhere.
   * @throws ContentError `no-space`
   */
  take(): GiveBack {
    if (!this.#fits(WINDOW_BYTES)) {
      throw new ContentError('no-space', 'too many blobs that cannot be stored are being sent at once');
    }
    return this.#claim(WINDOW_BYTES);
  }

  /**
   * As much as a fetch of `wantedBytes` can ever keep, when it is its turn: who comes first is first. For a fetch that
   * holds nothing yet.
   * @throws ContentError `no-space` after 30 s of waiting, or when too many wait; the signal's reason
   */
  async takeInTurn(wantedBytes: number, signal: AbortSignal): Promise<GiveBack> {
    signal.throwIfAborted();
    const bytes = Math.min(Math.max(wantedBytes, LEAST_BYTES), WINDOW_BYTES);
    if (this.#waiters.size === 0 && this.#fits(bytes)) return this.#claim(bytes);
    if (this.#waiters.size >= QUEUE_LIMIT) {
      throw new ContentError('no-space', 'too many requests wait for memory to pass their bytes on');
    }
    const waiter: Waiter = { bytes, turn: deferred() };
    const leave = () => this.#dismiss(waiter, signal.reason);
    const ended = new AbortController();
    signal.addEventListener('abort', leave, { once: true });
    this.#waiters.add(waiter);
    void this.#expire(waiter, ended.signal);
    try {
      return await waiter.turn.promise;
    } finally {
      ended.abort();
      signal.removeEventListener('abort', leave);
    }
  }

  async #expire(waiter: Waiter, ended: AbortSignal): Promise<void> {
    try {
      await this.#clock.sleep(TURN_WAIT_MS, ended);
    } catch {
      return;
    }
    this.#dismiss(waiter, new ContentError('no-space', 'waited too long for memory to pass the bytes on'));
  }

  /** At once, so that no turn is given to who has left. It may have held up smaller ones. */
  #dismiss(waiter: Waiter, reason: unknown): void {
    if (!this.#waiters.delete(waiter)) return;
    waiter.turn.reject(reason);
    this.#admit();
  }

  #fits(bytes: number): boolean {
    return this.#takenBytes + bytes <= this.#limitBytes;
  }

  #claim(bytes: number): GiveBack {
    this.#takenBytes += bytes;
    return () => {
      this.#takenBytes -= bytes;
      this.#admit();
    };
  }

  #admit(): void {
    for (const waiter of this.#waiters) {
      if (!this.#fits(waiter.bytes)) return;
      this.#waiters.delete(waiter);
      waiter.turn.resolve(this.#claim(waiter.bytes));
    }
  }
}
