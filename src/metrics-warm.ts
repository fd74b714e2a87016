import { Counter, Gauge, type Registry } from 'prom-client';

/** What is told of a run of a schedule. */
export interface FinishedRun {
  readonly outcome: 'done' | 'failed';
  readonly failedImages: number;
  readonly fetchedBytes: number;
  readonly durationMs: number;
  /** Milliseconds since 1970. */
  readonly endedAt: number;
}

/** The schedules that warm the cache. Their names come from the configuration. */
export class WarmMetrics {
  readonly #runs: Counter<'schedule' | 'outcome'>;
  readonly #running: Gauge<'schedule'>;
  readonly #nextRun: Gauge<'schedule'>;
  readonly #lastRun: Gauge<'schedule'>;
  readonly #lastSuccess: Gauge<'schedule'>;
  readonly #duration: Gauge<'schedule'>;
  readonly #failedImages: Gauge<'schedule'>;
  readonly #bytes: Counter<'schedule'>;

  constructor(registry: Registry) {
    const named = <Label extends string>(name: string, help: string, ...labelNames: Label[]) => ({
      name: `entrepot_warm_${name}`,
      help,
      labelNames,
      registers: [registry],
    });
    this.#runs = new Counter(
      named('runs_total', 'Runs of a schedule that came to an end.', 'schedule', 'outcome'),
    );
    this.#running = new Gauge(named('running', '1: the schedule runs.', 'schedule'));
    this.#nextRun = new Gauge(
      named('next_run_timestamp_seconds', 'When the schedule is due next.', 'schedule'),
    );
    this.#lastRun = new Gauge(named('last_run_timestamp_seconds', 'When its last run ended.', 'schedule'));
    this.#lastSuccess = new Gauge(
      named('last_success_timestamp_seconds', 'When the last run ended that had everything.', 'schedule'),
    );
    this.#duration = new Gauge(named('last_run_duration_seconds', 'How long its last run took.', 'schedule'));
    this.#failedImages = new Gauge(
      named('failed_images', 'Images that its last run could not have.', 'schedule'),
    );
    this.#bytes = new Counter(named('fetched_bytes_total', 'Bytes that its runs brought in.', 'schedule'));
  }

  /** There is such a schedule: what counts begins at zero. */
  known(schedule: string): void {
    for (const outcome of ['done', 'failed']) this.#runs.inc({ schedule, outcome }, 0);
    this.#running.set({ schedule }, 0);
    this.#bytes.inc({ schedule }, 0);
  }

  /** There is no such schedule any more. */
  gone(schedule: string): void {
    for (const outcome of ['done', 'failed']) this.#runs.remove({ schedule, outcome });
    const others = [this.#running, this.#nextRun, this.#lastRun, this.#lastSuccess, this.#duration];
    for (const metric of [...others, this.#failedImages, this.#bytes]) metric.remove({ schedule });
  }

  /** `undefined`: never again. Milliseconds since 1970. */
  due(schedule: string, at: number | undefined): void {
    if (at === undefined) this.#nextRun.remove({ schedule });
    else this.#nextRun.set({ schedule }, at / 1000);
  }

  begun(schedule: string): void {
    this.#running.set({ schedule }, 1);
  }

  ended(schedule: string, { outcome, failedImages, fetchedBytes, durationMs, endedAt }: FinishedRun): void {
    this.#running.set({ schedule }, 0);
    this.#runs.inc({ schedule, outcome });
    this.#bytes.inc({ schedule }, fetchedBytes);
    this.#failedImages.set({ schedule }, failedImages);
    this.#duration.set({ schedule }, durationMs / 1000);
    this.#lastRun.set({ schedule }, endedAt / 1000);
    if (outcome === 'done') this.#lastSuccess.set({ schedule }, endedAt / 1000);
  }
}
