import { Gauge, type Registry } from 'prom-client';

/** Why nothing can be stored: what `cache/store-condition` tells. */
export const STORE_TROUBLES = ['disk-full', 'quota', 'read-only', 'exhausted', 'io', 'index'] as const;
export type StoreTrouble = (typeof STORE_TROUBLES)[number];

/** The store's condition. */
export class StoreMetrics {
  readonly #trouble: Gauge<'reason'>;

  constructor(registry: Registry) {
    this.#trouble = new Gauge({
      name: 'entrepot_store_trouble',
      help: '1: nothing can be stored, for this reason; pulls go on uncached.',
      labelNames: ['reason'],
      registers: [registry],
    });
    this.trouble(undefined);
  }

  /** Absent: there is none. */
  trouble(now: StoreTrouble | undefined): void {
    for (const reason of STORE_TROUBLES) this.#trouble.set({ reason }, reason === now ? 1 : 0);
  }
}
