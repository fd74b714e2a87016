import { Counter, Gauge, type Registry } from 'prom-client';

/** What is told of our own listeners. Its labels come from the configuration alone. */
export class ListenerMetrics {
  readonly #expiry: Gauge<'listener'>;
  readonly #refused: Counter<'limit'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#expiry = new Gauge({
      name: 'entrepot_tls_certificate_expiry_timestamp_seconds',
      help: 'When the certificate that a listener shows expires, in seconds since 1970.',
      labelNames: ['listener'],
      registers,
    });
    this.#refused = new Counter({
      name: 'entrepot_connections_refused_total',
      help: 'Connections refused: too many of one client, or too many in total.',
      labelNames: ['limit'],
      registers,
    });
    for (const limit of ['client', 'total']) this.#refused.inc({ limit }, 0);
  }

  /** `listener`: the address as it is configured. */
  certificateExpires(listener: string, atMs: number): void {
    this.#expiry.set({ listener }, Math.floor(atMs / 1000));
  }

  refused(limit: 'client' | 'total'): void {
    this.#refused.inc({ limit });
  }
}
