import { Counter, Gauge, type Registry } from 'prom-client';

/** What the fronts of a server with several workers use, together. */
export interface FrontFigures {
  /** That serve. */
  readonly running: number;
  /** Of those that ended too. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** What is told of fronts. All zero where one process does everything. */
export class FrontMetrics {
  readonly #restarts: Counter;
  #figures: () => FrontFigures = () => ({ running: 0, cpuSeconds: 0, residentBytes: 0 });

  constructor(registry: Registry) {
    const registers = [registry];
    const figures = () => this.#figures();
    this.#restarts = new Counter({
      name: 'entrepot_front_restarts_total',
      help: 'Front processes that ended unexpectedly and were started anew.',
      registers,
    });
    registry.registerMetric(
      new Gauge({
        name: 'entrepot_fronts',
        help: 'Front processes that serve; 0 where one process does everything.',
        registers: [],
        collect() {
          this.set(figures().running);
        },
      }),
    );
    registry.registerMetric(
      new Gauge({
        name: 'entrepot_front_resident_memory_bytes',
        help: 'Resident memory of all front processes, in bytes.',
        registers: [],
        collect() {
          this.set(figures().residentBytes);
        },
      }),
    );
    registry.registerMetric(
      new Counter({
        name: 'entrepot_front_cpu_seconds_total',
        help: 'CPU time that front processes have used, in seconds.',
        registers: [],
        collect() {
          this.reset();
          this.inc(figures().cpuSeconds);
        },
      }),
    );
  }

  /** Who to ask at each scrape. */
  from(figures: () => FrontFigures): void {
    this.#figures = figures;
  }

  /** How many serve. */
  get running(): number {
    return this.#figures().running;
  }

  restarted(): void {
    this.#restarts.inc();
  }
}
