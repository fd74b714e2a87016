import type { Clock } from '../clock.ts';

const WINDOW_MS = 5 * 60_000;
/** Wrong tokens in a window, of one address (as `clientOf` has it) and of all together. */
const CLIENT_LIMIT = 10;
const TOTAL_LIMIT = 200;

/** How often a token may be guessed. In memory, and no larger than `TOTAL_LIMIT`. */
export class LoginAttempts {
  readonly #clock: Clock;
  readonly #failures = new Map<string, number>();
  #total = 0;
  #endsAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long this client must wait before it may try, in milliseconds; 0: not at all. */
  waitMs(client: string): number {
    const leftMs = this.#endsAt - this.#clock.monotonic();
    if (leftMs <= 0) return 0;
    const isOver = this.#total >= TOTAL_LIMIT || (this.#failures.get(client) ?? 0) >= CLIENT_LIMIT;
    return isOver ? leftMs : 0;
  }

  /** It tried, in vain. */
  failed(client: string): void {
    const now = this.#clock.monotonic();
    if (now >= this.#endsAt) {
      this.#failures.clear();
      this.#total = 0;
      this.#endsAt = now + WINDOW_MS;
    }
    this.#total += 1;
    this.#failures.set(client, (this.#failures.get(client) ?? 0) + 1);
  }
}
