import { Gauge, type Registry } from 'prom-client';

/** What stands at this moment. */
export interface GaugeValues {
  readonly fillsInFlight: number;
  readonly fillReaders: number;
  readonly storeBytes: number;
  readonly storeLimitBytes: number;
  readonly storeReservedBytes: number;
  readonly storeBlobs: number;
}

/** What is asked for at each scrape. */
export class StandingMetrics {
  readonly #gauges: { readonly [Name in keyof GaugeValues]: Gauge };

  constructor(registry: Registry) {
    const standing = (name: string, help: string) =>
      new Gauge({ name: `entrepot_${name}`, help, registers: [registry] });
    this.#gauges = {
      fillsInFlight: standing('fills_in_flight', 'Blobs that are being fetched.'),
      fillReaders: standing('fill_readers', 'Responses that read from blobs being fetched.'),
      storeBytes: standing('store_bytes', 'Bytes of stored content.'),
      storeLimitBytes: standing('store_limit_bytes', 'Bytes that stored content may take.'),
      storeReservedBytes: standing('store_reserved_bytes', 'Bytes set aside for blobs being fetched.'),
      storeBlobs: standing('store_blobs', 'Stored blobs.'),
    };
  }

  set(values: GaugeValues): void {
    for (const [name, gauge] of Object.entries(this.#gauges)) gauge.set(values[name as keyof GaugeValues]);
  }
}
