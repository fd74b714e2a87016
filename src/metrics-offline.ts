import { Gauge, type Registry } from 'prom-client';
import type { ClosedNames } from './metrics-names.ts';

/** Which upstreams are asked at all. */
export class OfflineMetrics {
  readonly #offline: Gauge<'upstream'>;
  readonly #names: ClosedNames;

  constructor(registry: Registry, names: ClosedNames) {
    this.#names = names;
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

  /** One that is configured no more may be taken offline as long as something of it is under way: it is not shown. */
  set(upstream: string, isOffline: boolean): void {
    if (this.#names.has(upstream)) this.#offline.set({ upstream }, isOffline ? 1 : 0);
  }
}
