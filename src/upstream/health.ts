import type { Clock } from '../clock.ts';
import { abortable } from '../abortable.ts';
import { Deadline } from './deadline.ts';
import { deferred } from '../deferred.ts';
import { SMALL_PATIENCE_MS } from './retry.ts';
import { UpstreamError } from './upstream-error.ts';

const FAILURES_UNTIL_DOWN = 3;
const FIRST_WINDOW_MS = 2_000;
/** So long at most does an upstream that is back go unnoticed. */
const LONGEST_WINDOW_MS = 15_000;
/** An upstream that is back answers the probe within this; who waits for more waits for nothing. */
const PROBE_WAIT_MS = 1_000;

/** `closed`: it is asked. `open`: calls fail at once, or after one try. `half-open`: one call finds out whether it is back. */
export type BreakerPhase = 'closed' | 'half-open' | 'open';

/** How a call may go about it. `left` must be called when it is over. */
export interface Admission {
  /** False: the upstream is taken for down, so there is one try and no waiting. */
  readonly mayRetry: boolean;
  /** True: it finds out whether the upstream is back, and should go on to its end whoever waits for it. */
  readonly isProbe: boolean;
  readonly left: () => void;
}

const ADMITTED: Admission = { mayRetry: true, isProbe: false, left: () => undefined };
const ONE_TRY: Admission = { mayRetry: false, isProbe: false, left: () => undefined };

/**
 * Whether one upstream answers at all: a circuit breaker. After three connection failures or timeouts in a row it is
 * taken for down, for a window of 2 s; any answer, even a 500, ends that. A failure after the window makes it dead, for
 * windows that double up to 15 s: then all calls fail at once, but for one probe at a time after each window, whose
 * result the others wait for a moment. While it is only down, a call with large patience still gets one try.
 */
export class Health {
  readonly #clock: Clock;
  readonly #changed: (cause: UpstreamError | undefined) => void;
  readonly #phaseChanged: (phase: BreakerPhase) => void;
  #phase: BreakerPhase = 'closed';
  #cause: UpstreamError | undefined;
  #failures = 0;
  #windowMs = 0;
  #windowEndMs = 0;
  #probe: Promise<void> | undefined;

  /**
   * @param changed told why it is taken for down; `undefined`: it is up again
   * @param phaseChanged told each change of the breaker
   */
  constructor(
    clock: Clock,
    changed: (cause: UpstreamError | undefined) => void,
    phaseChanged: (phase: BreakerPhase) => void = () => undefined,
  ) {
    this.#clock = clock;
    this.#changed = changed;
    this.#phaseChanged = phaseChanged;
  }

  get isUp(): boolean {
    return this.#windowMs === 0;
  }

  /** @throws UpstreamError `unavailable` for a call that may not even try; the signal's reason */
  async admit(patienceMs: number, signal: AbortSignal): Promise<Admission> {
    if (this.isUp) return ADMITTED;
    const isDead = this.#windowMs > FIRST_WINDOW_MS;
    if (!isDead && patienceMs >= SMALL_PATIENCE_MS) return ONE_TRY;
    const restMs = this.#windowEndMs - this.#clock.monotonic();
    if (restMs > 0) throw this.#down();
    if (this.#probe === undefined) return this.#beginProbe();
    await this.probed(signal);
    return ADMITTED;
  }

  /**
   * Resolves when it is known that the upstream is back.
   * @throws UpstreamError `unavailable` when it is not, or not known within a moment; the signal's reason
   */
  async probed(signal: AbortSignal): Promise<void> {
    if (this.#probe !== undefined) await this.#follow(this.#probe, signal);
  }

  /** It answered, whatever it said. */
  answered(): void {
    this.#failures = 0;
    if (this.isUp) return;
    this.#windowMs = 0;
    this.#tellPhase();
    this.#changed(undefined);
  }

  /** No connection, a reset, or no answer in time. */
  failed(cause: UpstreamError): void {
    this.#cause = cause;
    this.#failures += 1;
    if (this.#failures < FAILURES_UNTIL_DOWN) return;
    const now = this.#clock.monotonic();
    // Failures of calls that run side by side say the same thing once.
    if (!this.isUp && now < this.#windowEndMs) return;
    const wasUp = this.isUp;
    this.#windowMs = wasUp ? FIRST_WINDOW_MS : Math.min(LONGEST_WINDOW_MS, this.#windowMs * 2);
    this.#windowEndMs = now + this.#windowMs;
    if (wasUp) this.#changed(cause);
    this.#tellPhase();
  }

  #beginProbe(): Admission {
    const probe = deferred<void>();
    this.#probe = probe.promise;
    this.#tellPhase();
    return {
      mayRetry: false,
      isProbe: true,
      left: () => {
        this.#probe = undefined;
        this.#tellPhase();
        probe.resolve();
      },
    };
  }

  async #follow(probe: Promise<void>, signal: AbortSignal): Promise<void> {
    const deadline = new Deadline({ clock: this.#clock, ms: PROBE_WAIT_MS, message: '' }, signal);
    try {
      await abortable(probe, deadline.signal);
    } catch {
      signal.throwIfAborted();
    } finally {
      deadline.close();
    }
    if (!this.isUp) throw this.#down();
  }

  #tellPhase(): void {
    const isTried = this.#probe !== undefined;
    const phase = this.isUp ? 'closed' : isTried ? 'half-open' : 'open';
    if (phase === this.#phase) return;
    this.#phase = phase;
    this.#phaseChanged(phase);
  }

  #down(): UpstreamError {
    const why = this.#cause === undefined ? '' : `: ${this.#cause.message}`;
    return new UpstreamError('unavailable', `the upstream has not answered lately${why}`, {
      retryAfterMs: Math.max(0, this.#windowEndMs - this.#clock.monotonic()),
      isFinal: true,
    });
  }
}
