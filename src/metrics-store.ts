import { Counter, Gauge, type Registry } from 'prom-client';
import { FastHistogram, type HistogramSeries } from './metrics-series.ts';

/** Why nothing can be stored: what `cache/store-condition` tells. */
export const STORE_TROUBLES = ['disk-full', 'quota', 'read-only', 'exhausted', 'io', 'index'] as const;
export type StoreTrouble = (typeof STORE_TROUBLES)[number];
/** Why blobs were given up: the store's limit, an upstream's share of it, the disk, their age, or an operator. */
export const EVICTION_REASONS = ['limit', 'upstream-limit', 'disk', 'age', 'command'] as const;
export type EvictionReason = (typeof EVICTION_REASONS)[number];

export interface Evicted {
  readonly blobs: number;
  /** As the disk counts them. */
  readonly bytes: number;
  readonly reason: EvictionReason;
  /** For how long each was not used, milliseconds. */
  readonly agesMs: readonly number[];
}

/** Seconds: a minute, an hour, a day, a week, a month, a year, and some between. */
const AGE_BOUNDS = [
  60, 600, 3600, 21_600, 86_400, 259_200, 604_800, 1_209_600, 2_592_000, 7_776_000, 15_552_000, 31_536_000,
];

/** What is stored: its condition, and what leaves it. */
export class StoreMetrics {
  readonly #trouble: Gauge<'reason'>;
  readonly #evictions: Counter<'reason'>;
  readonly #evictedBytes: Counter<'reason'>;
  readonly #ages: HistogramSeries;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#trouble = new Gauge({
      name: 'entrepot_store_trouble',
      help: '1: nothing can be stored, for this reason; pulls go on uncached.',
      labelNames: ['reason'],
      registers,
    });
    this.#evictions = new Counter({
      name: 'entrepot_evictions_total',
      help: 'Blobs removed to make room, or since nobody used them for long.',
      labelNames: ['reason'],
      registers,
    });
    this.#evictedBytes = new Counter({
      name: 'entrepot_evicted_bytes_total',
      help: 'Bytes of blobs removed to make room, or since nobody used them for long.',
      labelNames: ['reason'],
      registers,
    });
    this.#ages = new FastHistogram({
      name: 'entrepot_eviction_age_seconds',
      help: 'For how long removed blobs had not been used, in seconds.',
      labels: [],
      registry,
      bounds: AGE_BOUNDS,
    }).series({});
    this.trouble(undefined);
    for (const reason of EVICTION_REASONS) {
      this.#evictions.inc({ reason }, 0);
      this.#evictedBytes.inc({ reason }, 0);
    }
  }

  /** Absent: there is none. */
  trouble(now: StoreTrouble | undefined): void {
    for (const reason of STORE_TROUBLES) this.#trouble.set({ reason }, reason === now ? 1 : 0);
  }

  evicted({ blobs, bytes, reason, agesMs }: Evicted): void {
    this.#evictions.inc({ reason }, blobs);
    this.#evictedBytes.inc({ reason }, bytes);
    for (const ms of agesMs) this.#ages.observe(ms / 1000);
  }
}
