import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { FillMetrics } from './metrics-fills.ts';
import { FrontMetrics } from './metrics-fronts.ts';
import { ListenerMetrics } from './metrics-listeners.ts';
import { ClosedNames, codeLabel, isOwnCode } from './metrics-names.ts';
import { OfflineMetrics } from './metrics-offline.ts';
import { ReloadMetrics } from './metrics-reload.ts';
import { type CounterSeries, FastCounter, FastHistogram, type HistogramSeries } from './metrics-series.ts';
import { type GaugeValues, StandingMetrics } from './metrics-standing.ts';
import { StoreMetrics } from './metrics-store.ts';
import { DURATION_BOUNDS, UpstreamMetrics } from './metrics-upstream.ts';
import { WarmMetrics } from './metrics-warm.ts';

export type RequestKind = 'base' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'other';
/** How a request was answered; `none` where no content was asked for or given. */
export type RequestOutcome = 'hit' | 'revalidated' | 'stale' | 'miss' | 'joined' | 'bypass' | 'none';
/** Where content turned out not to be what its digest says: on its way in, when opened, while read, in a manifest. */
export type IntegrityFailurePlace = (typeof INTEGRITY_PLACES)[number];
/** What of the cache failed, so that a request was answered without it. */
export type CacheErrorPlace = (typeof CACHE_ERROR_PLACES)[number];
/** Prometheus's text format, or OpenMetrics. */
export type MetricsFormat = 'text' | 'openmetrics';

export interface FinishedRequest {
  /** An upstream's name; absent when the request named none that is configured. */
  readonly upstream?: string | undefined;
  readonly kind: RequestKind;
  readonly outcome: RequestOutcome;
  /** The response's status; 499 when the client went away before there was one. */
  readonly code: number;
  /** A manifest was given by GET: what registries count as a pull. */
  readonly isPull?: boolean | undefined;
  /** Body bytes sent. */
  readonly bytes: number;
  readonly durationMs: number;
  /** Absent when no body byte was sent. */
  readonly timeToFirstByteMs?: number | undefined;
}

export interface MetricsOptions {
  readonly version: string;
  readonly nodeVersion: string;
  /** The configured upstreams' names. Any other name is counted as `other`. */
  readonly upstreams: readonly string[];
}

const INTEGRITY_PLACES = ['fill', 'open', 'read', 'manifest', 'scrub', 'verify', 'reconcile'] as const;
const CACHE_ERROR_PLACES = ['content', 'metadata', 'space', 'eviction', 'scrape'] as const;
/** What was answered so needed no body from an upstream of its own. */
const SAVING: ReadonlySet<RequestOutcome> = new Set(['hit', 'revalidated', 'stale', 'joined']);
const KIB = 1024;
/** Bytes: 1 KiB to 10 GiB. */
const SIZE_BOUNDS = [...Array.from({ length: 12 }, (_, power) => KIB * 4 ** power), 10 * KIB * KIB * KIB];
const OPEN_METRICS = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

type RequestLabel = 'upstream' | 'kind' | 'outcome';
interface RequestSeries {
  readonly requests: CounterSeries;
  readonly bytes: CounterSeries;
  readonly duration: HistogramSeries;
  readonly firstByte: HistogramSeries;
  readonly size: HistogramSeries;
  /** Absent: nothing is spared by such an answer. */
  readonly saved: { readonly bytes: CounterSeries; readonly pulls: CounterSeries } | undefined;
}

/** A registry of its own, never prom-client's global one. Label sets are closed: no series comes from outside data. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #names: ClosedNames;
  /** Our own listeners' part. */
  readonly listeners = new ListenerMetrics(this.#registry);
  /** Of several workers, those that speak with clients. */
  readonly fronts = new FrontMetrics(this.#registry);
  readonly offline: OfflineMetrics;
  readonly reloads = new ReloadMetrics(this.#registry);
  readonly warm = new WarmMetrics(this.#registry);
  /** The store's condition, and what leaves it. */
  readonly store = new StoreMetrics(this.#registry);
  readonly fills = new FillMetrics(this.#registry);
  readonly upstreams: UpstreamMetrics;
  readonly #requestSeries = new Map<string, RequestSeries>();
  readonly #shared = new Map<string, CounterSeries>();
  readonly #sharedHistograms = new Map<string, HistogramSeries>();
  #gaugeSource: (() => GaugeValues | Promise<GaugeValues>) | undefined;

  readonly #requests: FastCounter<RequestLabel | 'code'>;
  readonly #responseBytes: FastCounter<RequestLabel>;
  readonly #duration: FastHistogram<'kind' | 'outcome'>;
  readonly #firstByte: FastHistogram<'kind' | 'outcome'>;
  readonly #size: FastHistogram<'kind'>;
  readonly #savedBytes: FastCounter<'upstream'>;
  readonly #savedPulls: FastCounter<'upstream'>;
  readonly #integrityFailures: Counter<'where'>;
  readonly #verifiedBytes: Counter;
  readonly #cacheErrors: Counter<'where'>;
  readonly #unexpectedErrors: Counter;
  readonly #standing: StandingMetrics;

  constructor({ version, nodeVersion, upstreams }: MetricsOptions) {
    this.#names = new ClosedNames(upstreams);
    const registry = this.#registry;
    const registers = [registry];
    collectDefaultMetrics({ register: registry });
    this.offline = new OfflineMetrics(registry, this.#names);
    this.upstreams = new UpstreamMetrics(registry, this.#names);
    const named = <Label extends string>(name: string, help: string, ...labels: Label[]) => ({
      name: `entrepot_${name}`,
      help,
      labels,
      labelNames: labels,
      registry,
      registers,
    });
    const timed = (name: string, help: string) =>
      new FastHistogram({ ...named(name, help, 'kind', 'outcome'), bounds: DURATION_BOUNDS });

    this.#requests = new FastCounter(
      named('requests_total', 'Requests answered.', 'upstream', 'kind', 'outcome', 'code'),
    );
    this.#responseBytes = new FastCounter(
      named('response_bytes_total', 'Body bytes sent to clients.', 'upstream', 'kind', 'outcome'),
    );
    this.#duration = timed(
      'request_duration_seconds',
      'From a request to the end of its response, in seconds.',
    );
    this.#firstByte = timed(
      'time_to_first_byte_seconds',
      'From a request to the first byte of its body, in seconds.',
    );
    this.#size = new FastHistogram({
      ...named('response_size_bytes', 'Body bytes of responses that had a body.', 'kind'),
      bounds: SIZE_BOUNDS,
    });
    this.#savedBytes = new FastCounter(
      named(
        'saved_bytes_total',
        'Body bytes sent to clients that no upstream was asked for at that time.',
        'upstream',
      ),
    );
    this.#savedPulls = new FastCounter(
      named(
        'saved_pulls_total',
        'Manifests given by GET, as registries count pulls, that no upstream was asked for by GET.',
        'upstream',
      ),
    );
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
    this.#standing = new StandingMetrics(registry, this.#names);
    const build = new Gauge(named('build_info', 'Always 1; the labels say what runs.', 'version', 'node'));
    build.set({ version, node: nodeVersion }, 1);
    for (const where of INTEGRITY_PLACES) this.#integrityFailures.inc({ where }, 0);
    for (const where of CACHE_ERROR_PLACES) this.#cacheErrors.inc({ where }, 0);
    for (const upstream of upstreams) this.#known(upstream);
  }

  /** From now on these upstreams are configured. */
  configured(upstreams: readonly string[]): void {
    const gone = this.#names.replace(upstreams);
    for (const upstream of gone) this.upstreams.forgotten(upstream);
    for (const upstream of upstreams) this.#known(upstream);
  }

  requestFinished(request: FinishedRequest): void {
    const upstream = request.upstream === undefined ? 'none' : this.#names.label(request.upstream);
    const { kind, outcome, bytes, timeToFirstByteMs } = request;
    const key = `${upstream} ${kind} ${outcome} ${request.code}`;
    const series =
      this.#requestSeries.get(key) ?? this.#openRequest(key, { upstream, kind, outcome }, request.code);
    series.requests.value += 1;
    series.bytes.value += bytes;
    series.duration.observe(request.durationMs / 1000);
    if (bytes > 0) series.size.observe(bytes);
    if (timeToFirstByteMs !== undefined) series.firstByte.observe(timeToFirstByteMs / 1000);
    if (series.saved === undefined) return;
    series.saved.bytes.value += bytes;
    if (request.isPull === true) series.saved.pulls.value += 1;
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

  /** Everything. */
  async render(
    format: MetricsFormat = 'text',
  ): Promise<{ readonly contentType: string; readonly text: string }> {
    try {
      const values = await this.#gaugeSource?.();
      if (values !== undefined) this.#standing.set(values);
    } catch {
      this.cacheError('scrape');
    }
    const text = await this.#registry.metrics();
    if (format === 'openmetrics') return { contentType: OPEN_METRICS, text: openMetrics(text) };
    return { contentType: this.#registry.contentType, text };
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
      size: this.#histogram(`size ${kind}`, () => this.#size.series({ kind })),
      saved: SAVING.has(outcome as RequestOutcome) ? this.#savedOf(upstream) : undefined,
    };
    // An unusual status is looked up by its class every time, lest made-up ones fill the map.
    this.#requestSeries.set(isOwnCode(status) ? key : `${upstream} ${kind} ${outcome} ${code}`, series);
    return series;
  }

  #counter(key: string, open: () => CounterSeries): CounterSeries {
    const series = this.#shared.get(key) ?? open();
    this.#shared.set(key, series);
    return series;
  }

  #histogram(key: string, open: () => HistogramSeries): HistogramSeries {
    const series = this.#sharedHistograms.get(key) ?? open();
    this.#sharedHistograms.set(key, series);
    return series;
  }

  #savedOf(upstream: string): NonNullable<RequestSeries['saved']> {
    return {
      bytes: this.#counter(`saved bytes ${upstream}`, () => this.#savedBytes.series({ upstream })),
      pulls: this.#counter(`saved pulls ${upstream}`, () => this.#savedPulls.series({ upstream })),
    };
  }

  #known(upstream: string): void {
    this.upstreams.known(upstream);
    this.#savedOf(upstream);
  }
}

export function createMetrics(options: MetricsOptions): Metrics {
  return new Metrics(options);
}

/**
 * prom-client writes OpenMetrics by changing the names of its counters for good, so that one registry cannot do both. The
 * formats differ in little: families of counters are named without `_total`, and there is an end.
 */
function openMetrics(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '');
  const counters = lines.flatMap((line) => /^# TYPE (\S+)_total counter$/.exec(line)?.[1] ?? []);
  const families = new Set(counters);
  const named = lines.map((line) => {
    const [, keyword, family, rest] = /^# (HELP|TYPE) (\S+)_total (.*)$/.exec(line) ?? [];
    return family !== undefined && families.has(family) ? `# ${keyword} ${family} ${rest}` : line;
  });
  return `${named.join('\n')}\n# EOF\n`;
}
