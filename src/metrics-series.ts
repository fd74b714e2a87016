import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/**
 * Counters and histograms for what happens on every request. prom-client hashes and sorts the labels at every single
 * call, 2.5 µs a request here; these find their series by one string key and hand their numbers to prom-client's text
 * format only when somebody scrapes.
 */

interface MetricOptions<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly Label[];
  readonly registry: Registry;
}

/** As prom-client prints it: the shared labels of a series are put into text once. */
interface Sample {
  /** Default: the metric's own. */
  readonly metricName?: string;
  readonly labels: Record<string, string>;
  readonly sharedLabels: Record<string, string>;
  readonly value: number;
}

/** Has a metric of prom-client's print these samples in place of its own. */
function showInstead(
  metric: Counter | Histogram,
  facts: { readonly name: string; readonly help: string; readonly type: 'counter' | 'histogram' },
  samples: () => readonly Sample[],
): void {
  const collected = async () => Promise.resolve({ ...facts, values: samples(), aggregator: 'sum' });
  Object.assign(metric, { get: collected, getForPromString: collected });
}

/** One time series that only grows. */
export interface CounterSeries {
  value: number;
}

/** A counter whose series are kept by the caller: `series(...)` once, then `value += n`. */
export class FastCounter<Label extends string> {
  readonly #series: { readonly labels: Record<Label, string>; readonly cell: CounterSeries }[] = [];

  constructor({ name, help, labels, registry }: MetricOptions<Label>) {
    const metric = new Counter({ name, help, labelNames: [...labels], registers: [] });
    showInstead(metric, { name, help, type: 'counter' }, () =>
      this.#series.map(({ labels: sharedLabels, cell }) => ({ labels: {}, sharedLabels, value: cell.value })),
    );
    registry.registerMetric(metric);
  }

  /** A new series at zero. To be called once for each set of labels. */
  series(labels: Record<Label, string>): CounterSeries {
    const cell = { value: 0 };
    this.#series.push({ labels, cell });
    return cell;
  }
}

/** A gauge whose series can go again: what was configured may be so no longer. */
export class FamilyGauge<Label extends string> {
  readonly #labels: readonly Label[];
  readonly #series = new Map<string, { readonly labels: Record<Label, string>; readonly value: number }>();

  constructor({ name, help, labels, registry }: MetricOptions<Label>) {
    const all = this.#series;
    this.#labels = labels;
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: [...labels],
        registers: [],
        collect() {
          this.reset();
          for (const { labels: own, value } of all.values()) this.set(own, value);
        },
      }),
    );
  }

  set(labels: Record<Label, string>, value: number): void {
    // No label value holds a control character: they come from the configuration.
    this.#series.set(this.#labels.map((label) => labels[label]).join('\0'), { labels, value });
  }

  clear(): void {
    this.#series.clear();
  }

  /** Takes those series out whose label is this. */
  drop(label: Label, value: string): void {
    for (const [key, { labels }] of this.#series) if (labels[label] === value) this.#series.delete(key);
  }
}

/** One distribution of durations or sizes. */
export class HistogramSeries {
  readonly #bounds: readonly number[];
  /** How many observations fell into each bucket alone; the last is beyond every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  /** In the unit of the bounds. What is not a number or negative counts as 0. */
  observe(value: number): void {
    const amount = value > 0 ? value : 0;
    let bucket = 0;
    while (bucket < this.#bounds.length && amount > (this.#bounds[bucket] ?? Infinity)) bucket += 1;
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
    this.sum += amount;
  }
}

export class FastHistogram<Label extends string> {
  readonly #bounds: readonly number[];
  readonly #series: { readonly labels: Record<Label, string>; readonly cell: HistogramSeries }[] = [];

  constructor({
    name,
    help,
    labels,
    registry,
    bounds,
  }: MetricOptions<Label> & { bounds: readonly number[] }) {
    this.#bounds = bounds;
    // A prom-client histogram for its name, help and place in the registry; its numbers are ours.
    const metric = new Histogram({
      name,
      help,
      labelNames: [...labels],
      buckets: [...bounds],
      registers: [],
    });
    showInstead(metric, { name, help, type: 'histogram' }, () => this.#values(name));
    registry.registerMetric(metric);
  }

  /** A new series without observations. To be called once for each set of labels. */
  series(labels: Record<Label, string>): HistogramSeries {
    const cell = new HistogramSeries(this.#bounds);
    this.#series.push({ labels, cell });
    return cell;
  }

  #values(name: string): readonly Sample[] {
    return this.#series.flatMap(({ labels: sharedLabels, cell }) => {
      let count = 0;
      const buckets = Array.from(cell.counts, (here, index) => {
        count += here;
        const le = index < this.#bounds.length ? String(this.#bounds[index]) : '+Inf';
        return { metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: count };
      });
      return [
        ...buckets,
        { metricName: `${name}_sum`, labels: {}, sharedLabels, value: cell.sum },
        { metricName: `${name}_count`, labels: {}, sharedLabels, value: count },
      ];
    });
  }
}
