import type { Clock } from '../clock.ts';

const WINDOW_MS = 5 * 60_000;
/** Wrong tokens in a window, of one address (as `clientOf` has it): who guesses keeps nobody else out. */
const ATTEMPT_LIMIT = 10;
/** Addresses that are remembered; with more of them the first are forgotten. */
const CLIENT_LIMIT = 10_000;

/** How often a token may be guessed. In memory, some 100 bytes an address. */
export class LoginAttempts {
  readonly #clock: Clock;
  readonly #failures = new Map<string, number>();
  #endsAt = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How long this client must wait before it may try, in milliseconds; 0: not at all. */
  waitMs(client: string): number {
    const leftMs = this.#endsAt - this.#clock.monotonic();
    if (leftMs <= 0) return 0;
    return (this.#failures.get(client) ?? 0) >= ATTEMPT_LIMIT ? leftMs : 0;
  }

  /** It tried, in vain. */
  failed(client: string): void {
    const now = this.#clock.monotonic();
    if (now >= this.#endsAt) {
      this.#failures.clear();
      this.#endsAt = now + WINDOW_MS;
    }
    const count = (this.#failures.get(client) ?? 0) + 1;
    this.#failures.set(client, count);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > CLIENT_LIMIT && oldest !== undefined) this.#failures.delete(oldest);
  }
}
