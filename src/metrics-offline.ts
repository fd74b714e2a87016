import { Gauge, type Registry } from 'prom-client';

/** Which upstreams are asked at all. */
export class OfflineMetrics {
  readonly #offline: Gauge<'upstream'>;

  constructor(registry: Registry) {
    this.#offline = new Gauge({
      name: 'entrepot_offline',
      help: '1: the upstream is not asked, whether it could be or not.',
      labelNames: ['upstream'],
      registers: [registry],
    });
  }

  /** It is configured no more. */
  gone(upstream: string): void {
    this.#offline.remove({ upstream });
  }

  /** @param upstream one of the configured ones */
  set(upstream: string, isOffline: boolean): void {
    this.#offline.set({ upstream }, isOffline ? 1 : 0);
  }
}
