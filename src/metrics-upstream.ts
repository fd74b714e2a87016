import { Counter, type Registry } from 'prom-client';
import { type ClosedNames, codeLabel } from './metrics-names.ts';
import {
  type CounterSeries,
  FamilyGauge,
  FastCounter,
  FastHistogram,
  type HistogramSeries,
} from './metrics-series.ts';

export type UpstreamRequestKind = 'manifest' | 'blob' | 'tags' | 'referrers' | 'other';
export type UpstreamMethod = 'GET' | 'HEAD' | 'other';
const BREAKER_PHASES = ['closed', 'half-open', 'open'] as const;

export interface FinishedUpstreamRequest {
  readonly upstream: string;
  readonly kind: UpstreamRequestKind;
  readonly method: UpstreamMethod;
  /** Absent when there was no answer. */
  readonly code?: number | undefined;
  /** Until its headers were there, or until it failed. */
  readonly durationMs: number;
}

/** What the registry said of its pull quota; absent parts leave the last known ones. */
export interface Quota {
  /** The user name, or absent for anonymous pulls. */
  readonly account?: string | undefined;
  readonly limit?: number | undefined;
  readonly remaining?: number | undefined;
  readonly windowMs?: number | undefined;
  /** Milliseconds since 1970. */
  readonly resetsAt?: number | undefined;
}

interface RequestSeries {
  readonly requests: CounterSeries;
  readonly duration: HistogramSeries;
}

/** Seconds. */
export const DURATION_BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
];
const ACCOUNT_COUNT_LIMIT = 100;

/** What happens between us and the upstreams. */
export class UpstreamMetrics {
  readonly #names: ClosedNames;
  readonly #known = new Set<string>();
  readonly #accounts = new Set<string>();
  readonly #requestSeries = new Map<string, RequestSeries>();
  readonly #durationSeries = new Map<string, HistogramSeries>();
  readonly #byteSeries = new Map<string, CounterSeries>();
  readonly #requests: FastCounter<'upstream' | 'kind' | 'method' | 'code'>;
  readonly #duration: FastHistogram<'upstream' | 'kind'>;
  readonly #bytes: FastCounter<'upstream'>;
  readonly #quota: Readonly<
    Record<'limit' | 'remaining' | 'windowMs' | 'resetsAt', FamilyGauge<'upstream' | 'account'>>
  >;
  readonly #up: FamilyGauge<'upstream'>;
  readonly #mirrorUp: FamilyGauge<'upstream' | 'mirror'>;
  readonly #breaker: FamilyGauge<'upstream' | 'state'>;
  readonly #pausedUntil: FamilyGauge<'upstream'>;
  readonly #pausedUntilMs = new Map<string, number>();
  readonly #retries: Counter<'upstream'>;

  constructor(registry: Registry, names: ClosedNames) {
    this.#names = names;
    const named = <Label extends string>(name: string, help: string, ...labels: Label[]) => ({
      name: `entrepot_${name}`,
      help,
      labels,
      labelNames: labels,
      registry,
      registers: [registry],
    });
    this.#requests = new FastCounter(
      named(
        'upstream_requests_total',
        'Requests sent to upstreams; code none: no answer.',
        'upstream',
        'kind',
        'method',
        'code',
      ),
    );
    this.#duration = new FastHistogram({
      ...named(
        'upstream_request_duration_seconds',
        "From a request to an upstream to its answer's headers, in seconds.",
        'upstream',
        'kind',
      ),
      bounds: DURATION_BOUNDS,
    });
    this.#bytes = new FastCounter(
      named('upstream_bytes_total', 'Body bytes received from upstreams.', 'upstream'),
    );
    const quota = (name: string, help: string) =>
      new FamilyGauge(named(`upstream_ratelimit_${name}`, help, 'upstream', 'account'));
    this.#quota = {
      limit: quota('limit', 'Pulls that the upstream allows in its window.'),
      remaining: quota('remaining', 'Pulls that are left in its window, as the upstream said last.'),
      windowMs: quota('window_seconds', 'How long its window is, in seconds.'),
      resetsAt: quota(
        'reset_timestamp_seconds',
        'When the quota is whole again at the latest, in seconds since 1970.',
      ),
    };
    this.#up = new FamilyGauge(
      named('upstream_up', '1: the upstream answered last time; 0: it did not.', 'upstream'),
    );
    this.#mirrorUp = new FamilyGauge(
      named('mirror_up', '1: the mirror answered last time; 0: it did not.', 'upstream', 'mirror'),
    );
    this.#breaker = new FamilyGauge(
      named(
        'upstream_breaker_state',
        '1 for the state of its circuit breaker: open (misses fail at once), half-open (one request looks), closed.',
        'upstream',
        'state',
      ),
    );
    this.#pausedUntil = new FamilyGauge(
      named(
        'upstream_paused_until_timestamp_seconds',
        'Until when requests wait since the upstream said 429, or for the configured pace, in seconds since 1970; past: they do not.',
        'upstream',
      ),
    );
    this.#retries = new Counter(
      named('upstream_retries_total', 'Requests sent to upstreams again after a failure.', 'upstream'),
    );
  }

  /** There is such an upstream, configured by this name: it is up until it is not. Harmless when repeated. */
  known(upstream: string): void {
    if (this.#known.has(upstream)) return;
    this.#known.add(upstream);
    this.#retries.inc({ upstream }, 0);
    this.up(upstream, true);
    this.breaker(upstream, 'closed');
    this.#pausedUntil.set({ upstream }, 0);
    this.#bytesOf(upstream);
  }

  /** A new client of it is asked for the first time: what stood of the one before does no longer. */
  begun(upstream: string): void {
    this.up(upstream, true);
    this.breaker(upstream, 'closed');
    this.#mirrorUp.drop('upstream', this.#names.label(upstream));
  }

  /** It is configured no more: what counts stays, what stands goes. */
  forgotten(upstream: string): void {
    this.#known.delete(upstream);
    this.#pausedUntilMs.delete(upstream);
    for (const gauge of [this.#up, this.#pausedUntil]) gauge.drop('upstream', upstream);
    this.#mirrorUp.drop('upstream', upstream);
    this.#breaker.drop('upstream', upstream);
    for (const gauge of Object.values(this.#quota)) gauge.drop('upstream', upstream);
  }

  requestFinished(request: FinishedUpstreamRequest): void {
    const upstream = this.#names.label(request.upstream);
    const { kind, method } = request;
    const code = codeLabel(request.code);
    const key = `${upstream} ${kind} ${method} ${code}`;
    let series = this.#requestSeries.get(key);
    if (series === undefined) {
      series = {
        requests: this.#requests.series({ upstream, kind, method, code }),
        duration: this.#durationOf(upstream, kind),
      };
      this.#requestSeries.set(key, series);
    }
    series.requests.value += 1;
    series.duration.observe(request.durationMs / 1000);
  }

  /** Called for every piece that arrives: one look-up. */
  bytes(upstream: string, bytes: number): void {
    const series = this.#byteSeries.get(upstream) ?? this.#bytesOf(this.#names.label(upstream));
    series.value += bytes;
  }

  retried(upstream: string): void {
    this.#retries.inc({ upstream: this.#names.label(upstream) });
  }

  // What stands is told of configured upstreams only: a client that finishes what it began may outlive its own.

  quota(upstream: string, { account, ...facts }: Quota): void {
    if (!this.#names.has(upstream)) return;
    const labels = { upstream, account: this.#accountLabel(account) };
    const { limit, remaining, windowMs, resetsAt } = this.#quota;
    if (facts.limit !== undefined) limit.set(labels, facts.limit);
    if (facts.remaining !== undefined) remaining.set(labels, facts.remaining);
    if (facts.windowMs !== undefined) windowMs.set(labels, facts.windowMs / 1000);
    if (facts.resetsAt !== undefined) resetsAt.set(labels, facts.resetsAt / 1000);
  }

  up(upstream: string, isUp: boolean): void {
    if (this.#names.has(upstream)) this.#up.set({ upstream }, isUp ? 1 : 0);
  }

  /** @param mirror one of the configured ones */
  mirrorUp(upstream: string, mirror: string, isUp: boolean): void {
    if (this.#names.has(upstream)) this.#mirrorUp.set({ upstream, mirror }, isUp ? 1 : 0);
  }

  breaker(upstream: string, phase: (typeof BREAKER_PHASES)[number]): void {
    if (!this.#names.has(upstream)) return;
    for (const state of BREAKER_PHASES) this.#breaker.set({ upstream, state }, state === phase ? 1 : 0);
  }

  /** For who tells them one by one. */
  figures(upstream: string) {
    return {
      quota: (quota: Quota) => this.quota(upstream, quota),
      pausedUntil: (atMs: number) => this.pausedUntil(upstream, atMs),
    };
  }

  /** The latest of those that were told. @param atMs milliseconds since 1970 */
  pausedUntil(upstream: string, atMs: number): void {
    if (!this.#names.has(upstream)) return;
    if (atMs <= (this.#pausedUntilMs.get(upstream) ?? 0)) return;
    this.#pausedUntilMs.set(upstream, atMs);
    this.#pausedUntil.set({ upstream }, atMs / 1000);
  }

  #bytesOf(upstream: string): CounterSeries {
    const series = this.#byteSeries.get(upstream) ?? this.#bytes.series({ upstream });
    this.#byteSeries.set(upstream, series);
    return series;
  }

  #durationOf(upstream: string, kind: UpstreamRequestKind): HistogramSeries {
    const key = `${upstream} ${kind}`;
    const series = this.#durationSeries.get(key) ?? this.#duration.series({ upstream, kind });
    this.#durationSeries.set(key, series);
    return series;
  }

  #accountLabel(account = 'anonymous'): string {
    if (this.#accounts.has(account)) return account;
    if (this.#accounts.size >= ACCOUNT_COUNT_LIMIT) return 'other';
    this.#accounts.add(account);
    return account;
  }
}
