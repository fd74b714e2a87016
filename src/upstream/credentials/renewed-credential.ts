import { abortable } from '../../abortable.ts';
import type { Clock } from '../../clock.ts';
import { Deadline } from '../deadline.ts';
import { UpstreamError } from '../upstream-error.ts';
import { closedError } from './credential-place.ts';
import type { Credential } from './credential-source.ts';

/** So much of its life a credential may have left before the next one is obtained beside it. */
const RENEWAL_SHARE = 0.2;
const RENEWAL_LIMIT_MS = 15 * 60_000;
/** How long a failure stands before it is tried again, by whoever asks. */
const FAILURE_MEMORY_MS = 5_000;
/** The same where the credentials behind the credential were refused: accounts are locked after some of these. */
const DENIAL_MEMORY_MS = 60_000;
/** One that is refused younger than this is kept: a program would only give the same again. */
const YOUNG_MS = 10_000;

export interface Obtained {
  /** `undefined`: there is none, and anonymous is meant. */
  readonly credential: Credential | undefined;
  /** From when it was asked for. */
  readonly lifetimeMs: number;
}

export interface RenewedCredentialOptions {
  readonly clock: Clock;
  /** Asks for a new one. Never twice at a time. Throws UpstreamError without secrets. */
  readonly obtain: (signal: AbortSignal) => Promise<Obtained>;
  /**
   * One that is refused younger than this is kept. Default 10 s, after which a program may have another one; a cloud
   * gives another one each time, so there it is what bounds the tries (`REFUSAL_MEMORY_MS`).
   */
  readonly youngMs?: number | undefined;
  readonly deadlineMs: number;
  /** What is thrown when `obtain` has not answered by then. */
  readonly timeout: () => UpstreamError;
}

interface Held extends Obtained {
  readonly obtainedAtMs: number;
}

/**
 * A credential that somebody else makes and that expires: kept for its life on the monotonic clock, renewed beside its
 * use before that, obtained once however many ask; a failure is remembered for a moment.
 */
export class RenewedCredential {
  readonly #options: RenewedCredentialOptions;
  readonly #closing = new AbortController();
  #held: Held | undefined;
  #running: Promise<Credential | undefined> | undefined;
  #failure: { readonly error: UpstreamError; readonly untilMs: number } | undefined;

  constructor(options: RenewedCredentialOptions) {
    this.#options = options;
  }

  /** @throws UpstreamError what `obtain` failed with; the signal's reason */
  async credential(signal: AbortSignal): Promise<Credential | undefined> {
    this.#closing.signal.throwIfAborted();
    const held = this.#held;
    const ageMs = held === undefined ? 0 : this.#options.clock.monotonic() - held.obtainedAtMs;
    if (held !== undefined && ageMs < held.lifetimeMs) {
      const renewalMs = Math.min(RENEWAL_LIMIT_MS, held.lifetimeMs * RENEWAL_SHARE);
      if (ageMs >= held.lifetimeMs - renewalMs) void this.#obtained().catch(() => undefined);
      return held.credential;
    }
    return abortable(this.#obtained(), signal);
  }

  /** It is of no use: the next call obtains another one, unless it was obtained a moment ago. */
  refused(credential: Credential): void {
    const held = this.#held;
    if (held === undefined || held.credential !== credential) return;
    const { clock, youngMs = YOUNG_MS } = this.#options;
    if (clock.monotonic() - held.obtainedAtMs >= youngMs) this.#held = undefined;
  }

  /** What it is made from has changed: the next call obtains another one. */
  forget(): void {
    this.#held = undefined;
    this.#failure = undefined;
    this.#running = undefined;
  }

  close(): void {
    this.#held = undefined;
    this.#closing.abort(closedError());
  }

  async #obtained(): Promise<Credential | undefined> {
    if (this.#running !== undefined) return this.#running;
    const failure = this.#failure;
    if (failure !== undefined && this.#options.clock.monotonic() < failure.untilMs) throw failure.error;
    const running: Promise<Credential | undefined> = this.#obtain(() => this.#running === running).finally(
      () => {
        if (this.#running === running) this.#running = undefined;
      },
    );
    this.#running = running;
    return running;
  }

  /** @param isWanted false once what it is made from has changed meanwhile */
  async #obtain(isWanted: () => boolean): Promise<Credential | undefined> {
    const { clock, obtain, deadlineMs, timeout } = this.#options;
    const obtainedAtMs = clock.monotonic();
    const deadline = new Deadline({ clock, ms: deadlineMs, message: 'timeout' }, this.#closing.signal);
    try {
      // Raced, since not every library listens to a signal.
      const obtained = await abortable(obtain(deadline.signal), deadline.signal);
      if (isWanted()) {
        this.#failure = undefined;
        this.#held = { ...obtained, obtainedAtMs };
      }
      return obtained.credential;
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      const isLate = deadline.signal.aborted && error === deadline.signal.reason;
      const failure = isLate ? timeout() : error;
      if (failure instanceof UpstreamError && failure.reason !== 'offline' && isWanted()) {
        const ms = failure.reason === 'denied' ? DENIAL_MEMORY_MS : FAILURE_MEMORY_MS;
        this.#failure = { error: failure, untilMs: clock.monotonic() + ms };
      }
      throw failure;
    } finally {
      deadline.close();
    }
  }
}
