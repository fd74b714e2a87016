import type { Clock } from '../clock.ts';
import { abortable } from '../abortable.ts';
import { Deadline } from './deadline.ts';
import { deferred } from '../deferred.ts';
import { UpstreamError } from './upstream-error.ts';

/** What an upstream limits apart: Docker Hub counts manifest GETs, not HEADs. */
export type PausedKind = 'manifest-get' | 'manifest-head' | 'blob' | 'tags' | 'referrers' | 'token' | 'ping';

/** Longer than any registry's window; a mistaken date must not end the upstream for good. */
const LONGEST_PAUSE_MS = 24 * 60 * 60 * 1000;
/** What says `Retry-After: 0` means soon, not at once and again. */
const SHORTEST_PAUSE_MS = 1_000;
const PAUSE_WITHOUT_RETRY_AFTER_MS = 5_000;

interface Pause {
  readonly untilMs: number;
  /** Settles when the request that finds out whether the pause is over has its answer. */
  probe: Promise<void> | undefined;
}

/**
 * Keeps requests of one kind back after a 429, until the time the upstream named. The first one after that goes alone;
 * the others follow when it was not refused again.
 */
export class Pauses {
  readonly #clock: Clock;
  readonly #pauses = new Map<PausedKind, Pause>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The upstream said 429 to `kind`. Absent `retryAfterMs` = 5 s; it counts as 1 s at least and a day at most. @returns how long it lasts, ms */
  begin(kind: PausedKind, retryAfterMs: number | undefined): number {
    const wantedMs = Math.max(SHORTEST_PAUSE_MS, retryAfterMs ?? PAUSE_WITHOUT_RETRY_AFTER_MS);
    const ms = Math.min(LONGEST_PAUSE_MS, wantedMs);
    const untilMs = Math.max(this.#clock.monotonic() + ms, this.#pauses.get(kind)?.untilMs ?? 0);
    this.#pauses.set(kind, { untilMs, probe: undefined });
    return untilMs - this.#clock.monotonic();
  }

  /**
   * Resolves when a request of `kind` may be made; the function it gives must be called once that has its answer (or
   * failed). Waits no longer than `patienceMs`.
   * @throws UpstreamError `rate-limited` at once when the pause lasts longer than that
   */
  async pass(kind: PausedKind, patienceMs: number, signal: AbortSignal): Promise<() => void> {
    const startedAtMs = this.#clock.monotonic();
    for (;;) {
      signal.throwIfAborted();
      const pause = this.#pauses.get(kind);
      if (pause === undefined) return () => undefined;
      const now = this.#clock.monotonic();
      const restMs = Math.max(0, pause.untilMs - now);
      const patienceLeftMs = patienceMs - (now - startedAtMs);
      // What is over keeps nobody back, however little patience is left: time went by since it was asked.
      if (restMs > 0 && restMs > patienceLeftMs) throw limited(restMs);
      if (restMs > 0) await this.#clock.sleep(restMs, signal);
      else if (pause.probe === undefined) return this.#probe(kind, pause);
      else await this.#follow(pause.probe, patienceLeftMs, signal);
    }
  }

  #probe(kind: PausedKind, pause: Pause): () => void {
    const probe = deferred<void>();
    pause.probe = probe.promise;
    return () => {
      // A probe that was refused has begun another pause.
      if (this.#pauses.get(kind) === pause) this.#pauses.delete(kind);
      probe.resolve();
    };
  }

  async #follow(probe: Promise<void>, patienceMs: number, signal: AbortSignal): Promise<void> {
    const deadline = new Deadline({ clock: this.#clock, ms: patienceMs, message: '' }, signal);
    try {
      await abortable(probe, deadline.signal);
    } catch {
      signal.throwIfAborted();
      throw limited(undefined);
    } finally {
      deadline.close();
    }
  }
}

function limited(retryAfterMs: number | undefined): UpstreamError {
  return new UpstreamError('rate-limited', 'the upstream limits our requests', { status: 429, retryAfterMs });
}
