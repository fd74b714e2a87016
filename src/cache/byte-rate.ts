import type { Clock } from '../clock.ts';

/** Bytes that may be taken at once after a pause: less would mean a timer for each read of a file. */
const BURST_MS = 100;

/** Keeps a stream of bytes at a rate: whoever took too many waits. One user at a time. */
export class ByteRate {
  readonly #clock: Clock;
  readonly #bytesPerSecond: number;
  /** When what was taken so far is paid for. */
  #paidAt = -Infinity;

  /** @param bytesPerSecond Infinity: nobody ever waits */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock;
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Waits until so many bytes are paid for. @throws the signal's reason */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    this.#paidAt = Math.max(this.#paidAt, now - BURST_MS) + (bytes / this.#bytesPerSecond) * 1000;
    if (this.#paidAt > now) await this.#clock.sleep(this.#paidAt - now, signal);
  }
}
