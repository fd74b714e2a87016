import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '../clock.ts';

/** A working day; then the token is asked for again. */
export const SESSION_MS = 12 * 3_600_000;
/** Only who knows the token makes one. */
const SESSION_LIMIT = 100;
const ID_BYTES = 32;
/** What the CSRF token of those without a session is made from: no session is called so. */
const NO_SESSION = 'none';

/** Who is signed in to the page: random names, in memory only, so that a restart ends them all. */
export class AdminSessions {
  readonly #clock: Clock;
  readonly #key = randomBytes(ID_BYTES);
  /** When they end, on the monotonic clock; oldest first. */
  readonly #endsAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A new session. When there are too many the oldest ends. */
  begin(): string {
    for (const [id] of this.#endsAt) {
      if (this.#endsAt.size < SESSION_LIMIT && this.has(id)) break;
      this.#endsAt.delete(id);
    }
    const id = randomBytes(ID_BYTES).toString('base64url');
    this.#endsAt.set(id, this.#clock.monotonic() + SESSION_MS);
    return id;
  }

  /** Whether it has begun and not ended. */
  has(id: string): boolean {
    const endsAt = this.#endsAt.get(id);
    return endsAt !== undefined && this.#clock.monotonic() < endsAt;
  }

  /** Harmless when there is none. */
  end(id: string): void {
    this.#endsAt.delete(id);
  }

  /** What a page of this session sends with every change. @param id absent: of who needs no session */
  csrfTokenOf(id: string = NO_SESSION): string {
    return createHmac('sha256', this.#key).update(id).digest('base64url');
  }

  /** In the same time, whatever was given. */
  isCsrfToken(given: string, id?: string): boolean {
    const right = Buffer.from(this.csrfTokenOf(id));
    const bytes = Buffer.from(given);
    return bytes.length === right.length && timingSafeEqual(bytes, right);
  }
}
