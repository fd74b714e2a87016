import { Counter, type Registry } from 'prom-client';
import { FastHistogram, type HistogramSeries } from './metrics-series.ts';

/** Why a fill came to nothing: the reasons of UpstreamError and PullThroughError, and what else there may be. */
export const FILL_FAILURES = [
  'corrupt',
  'unavailable',
  'timeout',
  'rate-limited',
  'denied',
  'not-found',
  'protocol',
  'refused',
  'offline',
  'other',
] as const;
/** How a fill ended: its blob is stored, went past the store, or came to nothing; or nobody wanted it any more. */
export const FILL_OUTCOMES = ['stored', 'passed', 'failed', 'given-up'] as const;
export type FillOutcome = (typeof FILL_OUTCOMES)[number];

/** Readers of one fill: a roll-out to many nodes is many. */
const READER_BOUNDS = [0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** Blobs that are fetched. */
export class FillMetrics {
  readonly #ended: Counter<'outcome'>;
  readonly #failed: Counter<'reason'>;
  readonly #resumed: Counter;
  readonly #readers: HistogramSeries;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#ended = new Counter({
      name: 'entrepot_fills_total',
      help: 'Blob transfers that ended: stored, passed by the store, failed, or given up since nobody wanted them.',
      labelNames: ['outcome'],
      registers,
    });
    this.#failed = new Counter({
      name: 'entrepot_fills_failed_total',
      help: 'Blob transfers that came to nothing, by reason.',
      labelNames: ['reason'],
      registers,
    });
    this.#resumed = new Counter({
      name: 'entrepot_fills_resumed_total',
      help: 'Broken blob transfers that were taken up again.',
      registers,
    });
    this.#readers = new FastHistogram({
      name: 'entrepot_fill_clients',
      help: 'Responses that one blob transfer was shared by, counted at its end.',
      labels: [],
      registry,
      bounds: READER_BOUNDS,
    }).series({});
    for (const outcome of FILL_OUTCOMES) this.#ended.inc({ outcome }, 0);
    for (const reason of FILL_FAILURES) this.#failed.inc({ reason }, 0);
  }

  resumed(): void {
    this.#resumed.inc();
  }

  /** @param reason of the error, if it is one of ours */
  failed(reason: string | undefined): void {
    this.#failed.inc({ reason: FILL_FAILURES.find((known) => known === reason) ?? 'other' });
  }

  ended({ outcome, readers }: { readonly outcome: FillOutcome; readonly readers: number }): void {
    this.#ended.inc({ outcome });
    this.#readers.observe(readers);
  }
}
