import { Gauge, type Registry } from 'prom-client';
import type { ClosedNames } from './metrics-names.ts';
import { FamilyGauge } from './metrics-series.ts';

/** What stands at this moment. Absent values are not known yet, and not shown. */
export interface GaugeValues {
  readonly requestsInFlight: number;
  readonly fillsInFlight: number;
  readonly fillReaders: number;
  /** Seconds since the oldest fill began; 0: there is none. */
  readonly oldestFillSeconds: number;
  readonly storeBytes: number;
  readonly storeLimitBytes: number;
  readonly storeMaxBytes: number;
  readonly storeReservedBytes: number;
  readonly storeBlobs: number;
  readonly storeQuarantinedBytes: number;
  readonly storePinnedBytes?: number | undefined;
  readonly diskFreeBytes?: number | undefined;
  /** Seconds since 1970. */
  readonly storeOldestUse?: number | undefined;
  readonly indexBytes?: number | undefined;
  readonly walBytes?: number | undefined;
  readonly warmJobs: number;
  readonly byUpstream: readonly {
    readonly upstream: string;
    readonly bytes: number;
    readonly limitBytes?: number | undefined;
  }[];
}

type Name = Exclude<keyof GaugeValues, 'byUpstream'>;

const HELP: Readonly<Record<Name, readonly [name: string, help: string]>> = {
  requestsInFlight: ['requests_in_flight', 'Requests that are being answered.'],
  fillsInFlight: ['fills_in_flight', 'Blobs that are being fetched.'],
  fillReaders: ['fill_readers', 'Responses that read from blobs being fetched.'],
  oldestFillSeconds: [
    'fill_oldest_age_seconds',
    'How long the oldest blob that is being fetched has been, in seconds; 0: none is.',
  ],
  storeBytes: ['store_bytes', 'Bytes of stored content, as the disk counts them.'],
  storeLimitBytes: [
    'store_limit_bytes',
    'Bytes that stored content may take now: less than is configured while the disk has less to give.',
  ],
  storeMaxBytes: ['store_max_bytes', 'Bytes that stored content may take by the configuration.'],
  storeReservedBytes: ['store_reserved_bytes', 'Bytes set aside for blobs being fetched.'],
  storeBlobs: ['store_blobs', 'Stored blobs.'],
  storeQuarantinedBytes: ['store_quarantined_bytes', 'Bytes of files that were set aside as damaged.'],
  storePinnedBytes: ['store_pinned_bytes', 'Bytes of stored content that is pinned, and never evicted.'],
  diskFreeBytes: ['store_disk_free_bytes', 'Bytes that are free where the store lies.'],
  storeOldestUse: [
    'store_oldest_use_timestamp_seconds',
    'When the stored blob was last used that nobody used for longest, in seconds since 1970.',
  ],
  indexBytes: ['index_bytes', 'Bytes that the index takes on the disk, its log included.'],
  walBytes: ['index_wal_bytes', "Bytes of the index's write-ahead log."],
  warmJobs: ['warm_jobs', 'Calls to warm images that go on, by commands and schedules.'],
};

/** What is asked for at each scrape: numbers that are at hand, or were sampled before. */
export class StandingMetrics {
  readonly #gauges: readonly (readonly [Name, Gauge])[];
  readonly #bytes: FamilyGauge<'upstream'>;
  readonly #limits: FamilyGauge<'upstream'>;
  readonly #names: ClosedNames;

  constructor(registry: Registry, names: ClosedNames) {
    this.#names = names;
    this.#gauges = (Object.keys(HELP) as Name[]).map((key) => {
      const [name, help] = HELP[key];
      const gauge = new Gauge({ name: `entrepot_${name}`, help, registers: [registry] });
      gauge.remove();
      return [key, gauge] as const;
    });
    const labels = ['upstream'] as const;
    this.#bytes = new FamilyGauge({
      name: 'entrepot_store_upstream_bytes',
      help: 'Bytes of stored content that an upstream brought first.',
      labels,
      registry,
    });
    this.#limits = new FamilyGauge({
      name: 'entrepot_store_upstream_limit_bytes',
      help: 'Bytes that what an upstream brings may take, where it has a share of its own.',
      labels,
      registry,
    });
  }

  set(values: GaugeValues): void {
    for (const [name, gauge] of this.#gauges) {
      const value = values[name];
      if (value === undefined) gauge.remove();
      else gauge.set(value);
    }
    const bytes = new Map<string, number>();
    this.#bytes.clear();
    this.#limits.clear();
    for (const share of values.byUpstream) {
      const upstream = this.#names.label(share.upstream);
      bytes.set(upstream, (bytes.get(upstream) ?? 0) + share.bytes);
      if (share.limitBytes !== undefined && upstream !== 'other')
        this.#limits.set({ upstream }, share.limitBytes);
    }
    for (const [upstream, sum] of bytes) this.#bytes.set({ upstream }, sum);
  }
}
