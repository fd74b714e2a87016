import type { Evicted, EvictionReason } from './metrics-store.ts';
import type { Clock } from './clock.ts';
import { errorFacts, type Log } from './log.ts';
import type { UpstreamObserver } from './upstream/upstream-observer.ts';

/** What goes on and on is summed up, and said so often at most. */
const ROUND_MS = 60_000;

/** Log lines of eviction: that it began, then what went, a line a minute while it goes on. */
export class EvictionLines {
  readonly #log: Log;
  readonly #clock: Clock;
  #round: { blobs: number; bytes: number; readonly reasons: Set<EvictionReason> } | undefined;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  evicted({ blobs, bytes, reason }: Evicted): void {
    this.#log.debug({ blobs, bytes, reason }, 'evicted');
    if (this.#round === undefined) {
      this.#log.info({ reason }, 'eviction began');
      this.#begin();
    }
    const round = this.#round;
    if (round === undefined) return;
    round.blobs += blobs;
    round.bytes += bytes;
    round.reasons.add(reason);
  }

  #begin(): void {
    this.#round = { blobs: 0, bytes: 0, reasons: new Set() };
    void this.#clock.sleep(ROUND_MS).then(() => this.#tell());
  }

  /** A minute in which nothing went ends it. */
  #tell(): void {
    const round = this.#round;
    if (round === undefined || round.blobs === 0) {
      this.#round = undefined;
      this.#log.info({}, 'eviction ended');
      return;
    }
    const { blobs, bytes, reasons } = round;
    this.#log.info({ blobs, bytes, reasons: [...reasons], seconds: ROUND_MS / 1000 }, 'evicted to make room');
    this.#begin();
  }
}

/** Log lines of how an upstream is: one for each change. */
export function upstreamStateLines(
  upstream: string,
  log: Log,
  clock: Clock,
): Pick<UpstreamObserver, 'availabilityChanged' | 'mirrorAvailabilityChanged' | 'breakerChanged' | 'paused'> {
  let isOpen = false;
  let pausedUntil = -Infinity;
  return {
    availabilityChanged(cause) {
      if (cause === undefined) log.info({ upstream }, 'the upstream answers again');
      else log.warn({ upstream, error: errorFacts(cause) }, 'the upstream does not answer');
    },
    mirrorAvailabilityChanged({ mirror, cause }) {
      if (cause === undefined) log.info({ upstream, mirror }, 'the mirror answers again');
      else log.warn({ upstream, mirror, error: errorFacts(cause) }, 'the mirror does not answer');
    },
    breakerChanged(phase) {
      // While it is down the breaker opens again after each look.
      log.debug({ upstream, breaker: phase }, 'the breaker changed');
      if ((phase === 'closed') !== isOpen) return;
      isOpen = phase !== 'closed';
      if (isOpen) log.info({ upstream }, 'the breaker is open: what is not cached fails soon');
      else log.info({ upstream }, 'the breaker is closed: the upstream is asked as before');
    },
    paused({ cause, forMs }) {
      const now = clock.monotonic();
      const until = new Date(clock.now() + forMs).toISOString();
      const facts = { upstream, cause, seconds: Math.round(forMs / 1000), until };
      log.debug(facts, 'requests to the upstream wait');
      // Requests that are refused side by side, and our own pace, are no change; a pause that is prolonged is.
      if (cause === 'pace' || now + forMs < pausedUntil + ROUND_MS) return;
      pausedUntil = now + forMs;
      log.warn(facts, 'the upstream limits our requests: it is not asked until then');
    },
  };
}
