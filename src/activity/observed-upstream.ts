import type { Clock } from '../clock.ts';
import type { BreakerPhase } from '../upstream/health.ts';
import type { UpstreamObserver } from '../upstream/upstream-observer.ts';
import { type Quota, QuotaWindows } from './quota-window.ts';
import type { UpstreamStanding } from './upstream-standing.ts';

/** Of the newest requests: enough for a 99th percentile. */
const LATENCY_COUNT = 512;
const ERROR_COUNT = 10;
/** Longer messages are cut: they are for a line of a page. */
const MESSAGE_LIMIT = 300;

/** Told what is known now, for metrics. Must not throw. */
export interface UpstreamFigures {
  quota(quota: Quota): void;
  /** @param atMs milliseconds since 1970 */
  pausedUntil(atMs: number): void;
}

type Observed = Omit<UpstreamStanding, 'upstream' | 'url'>;
type ToldError = Observed['lastErrors'][number];

/** What is known of an upstream by watching its client: some kilobytes, however long it goes on. */
export class ObservedUpstream {
  readonly observer: UpstreamObserver;
  readonly #clock: Pick<Clock, 'now'>;
  readonly #figures: UpstreamFigures | undefined;
  readonly #latencies = new Float64Array(LATENCY_COUNT);
  readonly #quotas: QuotaWindows;
  readonly #mirrors = new Map<string, boolean>();
  #errors: readonly ToldError[] = [];
  #requests = 0;
  /** Of `requests`: those of which there is a latency. */
  #timed = 0;
  #failures = 0;
  #bytes = 0;
  #breaker: BreakerPhase = 'closed';
  #pausedUntil = 0;
  /** By kind of request, of which there are few. */
  readonly #pauses = new Map<string, number>();
  #isUp: boolean | undefined;
  #upSince: number | undefined;

  constructor(clock: Pick<Clock, 'now'>, figures?: UpstreamFigures) {
    this.#clock = clock;
    this.#figures = figures;
    this.#quotas = new QuotaWindows(clock);
    this.observer = this.#observe();
  }

  /** @param mirrors `host[:port]` of those that are configured, in their order */
  standing(mirrors: readonly string[]): Observed {
    const isUp = this.#isUp;
    return {
      state: isUp === undefined ? 'unknown' : isUp ? 'up' : 'down',
      since: this.#upSince,
      breaker: this.#breaker,
      pausedUntil: this.#pausedUntil > this.#clock.now() ? this.#pausedUntil : undefined,
      pauses: this.#pausesNow(),
      latencyMs: this.#latency(),
      requests: this.#requests,
      failures: this.#failures,
      bytes: this.#bytes,
      quotas: [...this.#quotas.all],
      mirrors: mirrors.map((mirror) => ({ mirror, isUp: this.#mirrors.get(mirror) ?? true })),
      lastErrors: [...this.#errors],
    };
  }

  #observe(): UpstreamObserver {
    return {
      requestStarted() {},
      requestFinished: ({ code, durationMs, error }) => {
        this.#requests += 1;
        if (error !== undefined || (typeof code === 'number' && code >= 500)) this.#failures += 1;
        if (code === 'error') return;
        this.#latencies[this.#timed % LATENCY_COUNT] = durationMs;
        this.#timed += 1;
        if (this.#isUp === undefined) this.#turn(true);
      },
      bytesReceived: (count) => {
        this.#bytes += count;
      },
      rateLimit: (report) => {
        const quota = this.#quotas.told(report);
        if (quota !== undefined) this.#figures?.quota(quota);
      },
      availabilityChanged: (cause) => this.#turn(cause === undefined),
      mirrorAvailabilityChanged: ({ mirror, cause }) => this.#mirrors.set(mirror, cause === undefined),
      breakerChanged: (phase) => {
        this.#breaker = phase;
      },
      paused: ({ forMs, kind }) => {
        const until = this.#clock.now() + forMs;
        this.#pausedUntil = Math.max(this.#pausedUntil, until);
        if (kind !== undefined) this.#pauses.set(kind, Math.max(this.#pauses.get(kind) ?? 0, until));
        this.#figures?.pausedUntil(this.#pausedUntil);
      },
      tryFailed: ({ kind, error }) => this.#failed(error.message, kind),
      retried() {},
      refused: ({ what, host }) => this.#failed(`it named a forbidden place (${what}): ${host}`),
      doubtfulCredentials: ({ problem }) => this.#failed(problem),
      unusableCredentials: ({ problem }) => this.#failed(problem),
      refusedTlsFiles: ({ problem }) => this.#failed(problem),
    };
  }

  #pausesNow(): Observed['pauses'] {
    const now = this.#clock.now();
    const pauses = [...this.#pauses].flatMap(([kind, until]) => (until > now ? [{ kind, until }] : []));
    return pauses.length === 0 ? undefined : pauses;
  }

  #turn(isUp: boolean): void {
    this.#isUp = isUp;
    this.#upSince = this.#clock.now();
  }

  /** Trouble that lasts says the same again and again: it is one line, with the time of the last. */
  #failed(text: string, kind?: string): void {
    const message = text.length > MESSAGE_LIMIT ? `${text.slice(0, MESSAGE_LIMIT)}…` : text;
    const told = { at: this.#clock.now(), ...(kind !== undefined && { kind }), message };
    const others = this.#errors.filter((known) => known.message !== message || known.kind !== kind);
    this.#errors = [told, ...others].slice(0, ERROR_COUNT);
  }

  #latency(): Observed['latencyMs'] {
    const samples = Math.min(this.#timed, LATENCY_COUNT);
    if (samples === 0) return undefined;
    const sorted = this.#latencies.slice(0, samples).toSorted();
    const at = (share: number): number => sorted[Math.min(samples - 1, Math.floor(samples * share))] ?? 0;
    return { p50: at(0.5), p99: at(0.99), samples };
  }
}
