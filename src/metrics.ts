import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { ListenerMetrics } from './metrics-listeners.ts';
import { OfflineMetrics } from './metrics-offline.ts';
import { type GaugeValues, StandingMetrics } from './metrics-standing.ts';
import { StoreMetrics } from './metrics-store.ts';
import { WarmMetrics } from './metrics-warm.ts';
import { type CounterSeries, FastCounter, FastHistogram, type HistogramSeries } from './metrics-series.ts';

export type RequestKind = 'base' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'other';
/** How a request was answered; `none` where no content was asked for or given. */
export type RequestOutcome = 'hit' | 'revalidated' | 'stale' | 'miss' | 'joined' | 'bypass' | 'none';
export type UpstreamMethod = 'GET' | 'HEAD' | 'other';
/** Where content turned out not to be what its digest says: on its way in, when opened, while read, in a manifest. */
export type IntegrityFailurePlace = (typeof INTEGRITY_PLACES)[number];
/** What of the cache failed, so that a request was answered without it. */
export type CacheErrorPlace = 'content' | 'metadata' | 'space' | 'eviction' | 'scrape';

export interface FinishedRequest {
  /** An upstream's name; absent when the request named none that is configured. */
  readonly upstream?: string | undefined;
  readonly kind: RequestKind;
  readonly outcome: RequestOutcome;
  /** The response's status; 499 when the client went away before there was one. */
  readonly code: number;
  /** Body bytes sent. */
  readonly bytes: number;
  readonly durationMs: number;
  /** Absent when no body byte was sent. */
  readonly timeToFirstByteMs?: number | undefined;
}

export interface FinishedUpstreamRequest {
  readonly upstream: string;
  readonly kind: RequestKind;
  readonly method: UpstreamMethod;
  /** Absent when there was no answer. */
  readonly code?: number | undefined;
  /** Until its headers were there, or until it failed. */
  readonly durationMs: number;
}

/** What the registry said of its pull quota; absent parts leave the last known ones. */
export interface RateLimit {
  readonly upstream: string;
  /** The user name, or absent for anonymous pulls. */
  readonly account?: string | undefined;
  readonly limit?: number | undefined;
  readonly remaining?: number | undefined;
}

export interface MetricsOptions {
  readonly version: string;
  readonly nodeVersion: string;
  /** The configured upstreams' names. Any other name is counted as `other`. */
  readonly upstreams: readonly string[];
}

const INTEGRITY_PLACES = ['fill', 'open', 'read', 'manifest', 'scrub', 'verify', 'reconcile'] as const;
/** Seconds. From a manifest out of memory to a large layer over a slow line. */
const DURATION_BOUNDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600,
];
/** Statuses that get a series of their own; the others are counted as their class, such as `5xx`. */
const CODES: ReadonlySet<number> = new Set([
  200, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 413, 414, 416, 421, 429,
  431, 499, 500, 501, 502, 503, 504, 507,
]);
const ACCOUNT_COUNT_LIMIT = 100;

type RequestLabel = 'upstream' | 'kind' | 'outcome';
interface RequestSeries {
  readonly requests: CounterSeries;
  readonly bytes: CounterSeries;
  readonly duration: HistogramSeries;
  readonly firstByte: HistogramSeries;
}
interface UpstreamSeries {
  readonly requests: CounterSeries;
  readonly duration: HistogramSeries;
}

/** A registry of its own, never prom-client's global one. Label sets are closed: no series comes from outside data. */
export class Metrics {
  readonly #registry = new Registry();
  /** Our own listeners' part. */
  readonly listeners = new ListenerMetrics(this.#registry);
  readonly offline = new OfflineMetrics(this.#registry);
  readonly warm = new WarmMetrics(this.#registry);
  /** The store's condition. */
  readonly store = new StoreMetrics(this.#registry);
  readonly #upstreams: ReadonlySet<string>;
  readonly #accounts = new Set<string>();
  readonly #requestSeries = new Map<string, RequestSeries>();
  readonly #upstreamSeries = new Map<string, UpstreamSeries>();
  readonly #upstreamByteSeries = new Map<string, CounterSeries>();
  readonly #shared = new Map<string, CounterSeries>();
  readonly #sharedDurations = new Map<string, HistogramSeries>();
  #gaugeSource: (() => GaugeValues | Promise<GaugeValues>) | undefined;

  readonly #requests: FastCounter<RequestLabel | 'code'>;
  readonly #responseBytes: FastCounter<RequestLabel>;
  readonly #duration: FastHistogram<'kind' | 'outcome'>;
  readonly #firstByte: FastHistogram<'kind' | 'outcome'>;
  readonly #upstreamRequests: FastCounter<'upstream' | 'kind' | 'method' | 'code'>;
  readonly #upstreamDuration: FastHistogram<'upstream' | 'kind'>;
  readonly #upstreamBytes: FastCounter<'upstream'>;
  readonly #rateLimit: Gauge<'upstream' | 'account'>;
  readonly #rateRemaining: Gauge<'upstream' | 'account'>;
  readonly #up: Gauge<'upstream'>;
  readonly #mirrorUp: Gauge<'upstream' | 'mirror'>;
  readonly #retries: Counter<'upstream'>;
  readonly #resumed: Counter;
  readonly #evictions: Counter;
  readonly #evictedBytes: Counter;
  readonly #integrityFailures: Counter<'where'>;
  readonly #verifiedBytes: Counter;
  readonly #cacheErrors: Counter<'where'>;
  readonly #unexpectedErrors: Counter;
  readonly #standing: StandingMetrics;

  constructor({ version, nodeVersion, upstreams }: MetricsOptions) {
    this.#upstreams = new Set(upstreams);
    const registry = this.#registry;
    const registers = [registry];
    collectDefaultMetrics({ register: registry });
    const named = <Label extends string>(name: string, help: string, ...labels: Label[]) => ({
      name: `entrepot_${name}`,
      help,
      labels,
      labelNames: labels,
      registry,
      registers,
    });
    const bounds = DURATION_BOUNDS;

    this.#requests = new FastCounter(
      named('requests_total', 'Requests answered.', 'upstream', 'kind', 'outcome', 'code'),
    );
    this.#responseBytes = new FastCounter(
      named('response_bytes_total', 'Body bytes sent to clients.', 'upstream', 'kind', 'outcome'),
    );
    this.#duration = new FastHistogram({
      ...named(
        'request_duration_seconds',
        'From a request to the end of its response, in seconds.',
        'kind',
        'outcome',
      ),
      bounds,
    });
    this.#firstByte = new FastHistogram({
      ...named(
        'time_to_first_byte_seconds',
        'From a request to the first byte of its body, in seconds.',
        'kind',
        'outcome',
      ),
      bounds,
    });
    this.#upstreamRequests = new FastCounter(
      named(
        'upstream_requests_total',
        'Requests sent to upstreams; code none: no answer.',
        'upstream',
        'kind',
        'method',
        'code',
      ),
    );
    this.#upstreamDuration = new FastHistogram({
      ...named(
        'upstream_request_duration_seconds',
        "From a request to an upstream to its answer's headers, in seconds.",
        'upstream',
        'kind',
      ),
      bounds,
    });
    this.#upstreamBytes = new FastCounter(
      named('upstream_bytes_total', 'Body bytes received from upstreams.', 'upstream'),
    );
    this.#rateLimit = new Gauge(
      named(
        'upstream_ratelimit_limit',
        'Pulls that the upstream allows in its window.',
        'upstream',
        'account',
      ),
    );
    this.#rateRemaining = new Gauge(
      named('upstream_ratelimit_remaining', 'Pulls that are left in its window.', 'upstream', 'account'),
    );
    this.#up = new Gauge(
      named('upstream_up', '1: the upstream answered last time; 0: it did not.', 'upstream'),
    );
    this.#mirrorUp = new Gauge(
      named('mirror_up', '1: the mirror answered last time; 0: it did not.', 'upstream', 'mirror'),
    );
    this.#retries = new Counter(
      named('upstream_retries_total', 'Requests sent to upstreams again after a failure.', 'upstream'),
    );
    this.#resumed = new Counter(
      named('fills_resumed_total', 'Broken blob transfers that were taken up again.'),
    );
    this.#evictions = new Counter(named('evictions_total', 'Blobs removed to make room.'));
    this.#evictedBytes = new Counter(named('evicted_bytes_total', 'Bytes removed to make room.'));
    this.#integrityFailures = new Counter(
      named('integrity_failures_total', 'Content that was not what its digest says.', 'where'),
    );
    this.#verifiedBytes = new Counter(
      named('verified_bytes_total', 'Stored bytes that were read and compared with their digests.'),
    );
    this.#cacheErrors = new Counter(
      named('cache_errors_total', 'Failures of the cache itself that a request had to do without.', 'where'),
    );
    this.#unexpectedErrors = new Counter(
      named('unexpected_errors_total', 'Faults in entrepot that nothing caught.'),
    );
    this.#standing = new StandingMetrics(registry);
    const build = new Gauge(named('build_info', 'Always 1; the labels say what runs.', 'version', 'node'));
    build.set({ version, node: nodeVersion }, 1);
    for (const where of INTEGRITY_PLACES) this.#integrityFailures.inc({ where }, 0);
    for (const where of ['content', 'metadata', 'space', 'eviction', 'scrape'])
      this.#cacheErrors.inc({ where }, 0);
    for (const upstream of upstreams) this.#retries.inc({ upstream }, 0);
  }

  requestFinished(request: FinishedRequest): void {
    const upstream = request.upstream === undefined ? 'none' : this.#knownUpstream(request.upstream);
    const { kind, outcome, timeToFirstByteMs } = request;
    const key = `${upstream} ${kind} ${outcome} ${request.code}`;
    const series =
      this.#requestSeries.get(key) ?? this.#openRequest(key, { upstream, kind, outcome }, request.code);
    series.requests.value += 1;
    series.bytes.value += request.bytes;
    series.duration.observe(request.durationMs / 1000);
    if (timeToFirstByteMs !== undefined) series.firstByte.observe(timeToFirstByteMs / 1000);
  }

  upstreamRequestFinished(request: FinishedUpstreamRequest): void {
    const upstream = this.#knownUpstream(request.upstream);
    const { kind, method } = request;
    const code = codeLabel(request.code);
    const key = `${upstream} ${kind} ${method} ${code}`;
    let series = this.#upstreamSeries.get(key);
    if (series === undefined) {
      series = {
        requests: this.#upstreamRequests.series({ upstream, kind, method, code }),
        duration: this.#histogram(`upstream ${upstream} ${kind}`, () =>
          this.#upstreamDuration.series({ upstream, kind }),
        ),
      };
      this.#upstreamSeries.set(key, series);
    }
    series.requests.value += 1;
    series.duration.observe(request.durationMs / 1000);
  }

  /** Called for every piece that arrives: one look-up. */
  upstreamBytes(upstream: string, bytes: number): void {
    let series = this.#upstreamByteSeries.get(upstream);
    if (series === undefined) {
      const label = this.#knownUpstream(upstream);
      series = this.#counter(`bytes ${label}`, () => this.#upstreamBytes.series({ upstream: label }));
      if (label === upstream) this.#upstreamByteSeries.set(upstream, series);
    }
    series.value += bytes;
  }

  upstreamRetried(upstream: string): void {
    this.#retries.inc({ upstream: this.#knownUpstream(upstream) });
  }

  rateLimit({ upstream, account, limit, remaining }: RateLimit): void {
    const labels = { upstream: this.#knownUpstream(upstream), account: this.#knownAccount(account) };
    if (limit !== undefined) this.#rateLimit.set(labels, limit);
    if (remaining !== undefined) this.#rateRemaining.set(labels, remaining);
  }

  upstreamUp(upstream: string, up: boolean): void {
    this.#up.set({ upstream: this.#knownUpstream(upstream) }, up ? 1 : 0);
  }

  /** @param mirror one of the configured ones */
  mirrorUp(upstream: string, mirror: string, up: boolean): void {
    this.#mirrorUp.set({ upstream: this.#knownUpstream(upstream), mirror }, up ? 1 : 0);
  }

  fillResumed(): void {
    this.#resumed.inc();
  }

  evicted(count: number, bytes: number): void {
    this.#evictions.inc(count);
    this.#evictedBytes.inc(bytes);
  }

  verified(bytes: number): void {
    this.#verifiedBytes.inc(bytes);
  }

  integrityFailure(where: IntegrityFailurePlace): void {
    this.#integrityFailures.inc({ where });
  }

  cacheError(where: CacheErrorPlace): void {
    this.#cacheErrors.inc({ where });
  }

  unexpectedError(): void {
    this.#unexpectedErrors.inc();
  }

  /** Who to ask at each scrape. Until it is set, and when it fails, the gauges keep their last values (0 at first). */
  gauges(source: () => GaugeValues | Promise<GaugeValues>): void {
    this.#gaugeSource = source;
  }

  /** Everything in Prometheus's text format. */
  async render(): Promise<{ readonly contentType: string; readonly text: string }> {
    try {
      const values = await this.#gaugeSource?.();
      if (values !== undefined) this.#standing.set(values);
    } catch {
      this.cacheError('scrape');
    }
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #openRequest(key: string, labels: Record<RequestLabel, string>, status: number): RequestSeries {
    const { upstream, kind, outcome } = labels;
    const code = codeLabel(status);
    const known = this.#requestSeries.get(`${upstream} ${kind} ${outcome} ${code}`);
    if (known !== undefined) return known;
    const series = {
      requests: this.#requests.series({ ...labels, code }),
      bytes: this.#counter(`sent ${upstream} ${kind} ${outcome}`, () => this.#responseBytes.series(labels)),
      duration: this.#histogram(`duration ${kind} ${outcome}`, () =>
        this.#duration.series({ kind, outcome }),
      ),
      firstByte: this.#histogram(`first ${kind} ${outcome}`, () => this.#firstByte.series({ kind, outcome })),
    };
    // An unusual status is looked up by its class every time, lest made-up ones fill the map.
    this.#requestSeries.set(CODES.has(status) ? key : `${upstream} ${kind} ${outcome} ${code}`, series);
    return series;
  }

  #counter(key: string, open: () => CounterSeries): CounterSeries {
    const series = this.#shared.get(key) ?? open();
    this.#shared.set(key, series);
    return series;
  }

  #histogram(key: string, open: () => HistogramSeries): HistogramSeries {
    const series = this.#sharedDurations.get(key) ?? open();
    this.#sharedDurations.set(key, series);
    return series;
  }

  #knownUpstream(name: string): string {
    return this.#upstreams.has(name) ? name : 'other';
  }

  #knownAccount(account = 'anonymous'): string {
    if (this.#accounts.has(account)) return account;
    if (this.#accounts.size >= ACCOUNT_COUNT_LIMIT) return 'other';
    this.#accounts.add(account);
    return account;
  }
}

export function createMetrics(options: MetricsOptions): Metrics {
  return new Metrics(options);
}

function codeLabel(status: number | undefined): string {
  if (status === undefined) return 'none';
  if (CODES.has(status)) return String(status);
  return status >= 100 && status < 500 ? `${Math.floor(status / 100)}xx` : '5xx';
}
