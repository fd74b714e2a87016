import { Counter, Gauge, type Registry } from 'prom-client';

/** How often the configuration was taken again, and what came of it. */
export class ReloadMetrics {
  readonly #reloads: Counter<'outcome'>;
  readonly #successful: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#reloads = new Counter({
      name: 'entrepot_config_reloads_total',
      help: 'Times that the configuration was read again; refused: it could not be used, and the old one holds; failed: a fault of entrepot, see the log.',
      labelNames: ['outcome'],
      registers,
    });
    this.#successful = new Gauge({
      name: 'entrepot_config_last_reload_successful',
      help: '1: what was read last holds; 0: it does not, or in part only.',
      registers,
    });
    for (const outcome of ['done', 'refused', 'failed']) this.#reloads.inc({ outcome }, 0);
    this.#successful.set(1);
  }

  done(): void {
    this.#reloads.inc({ outcome: 'done' });
    this.#successful.set(1);
  }

  refused(): void {
    this.#reloads.inc({ outcome: 'refused' });
    this.#successful.set(0);
  }

  /** By a fault of this program: what was read may hold in part. */
  failed(): void {
    this.#reloads.inc({ outcome: 'failed' });
    this.#successful.set(0);
  }
}
