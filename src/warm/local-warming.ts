import { setMaxListeners } from 'node:events';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { PullReserve, UpstreamConfig } from '../config.ts';
import { Courtesy } from './courtesy.ts';
import { EventQueue } from './event-queue.ts';
import type { PullAllowances } from './pull-allowances.ts';
import { PullBudget } from './pull-budget.ts';
import type { WarmEvent } from './warm-events.ts';
import { CONCURRENCY_LIMIT, TARGET_LIMIT, type WarmOperations, type WarmRequest } from './warm-operations.ts';
import { type WarmingParts, WarmRun, type WarmRunParts } from './warm-run.ts';

/** Where the configuration says nothing. */
const DEFAULT_RESERVE: PullReserve = { share: 0.1 };

/** Warming by the PullThrough of this process. What several runs ask of an upstream together is bounded. */
export class LocalWarming implements WarmOperations {
  readonly #parts: WarmingParts & Pick<WarmRunParts, 'limitsOf'>;
  readonly #budget: PullBudget;
  readonly #courtesy: Courtesy;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(
    parts: WarmingParts & {
      readonly allowances: PullAllowances;
      /** As they are configured at the moment. */
      readonly config: () => readonly Pick<UpstreamConfig, 'name' | 'limits'>[];
    },
  ) {
    const { clock, pullThrough, allowances, config, ...rest } = parts;
    const limitsOf = (upstream: string) => config().find(({ name }) => name === upstream)?.limits ?? {};
    const reserveOf = (upstream: string) => limitsOf(upstream).pullReserve ?? DEFAULT_RESERVE;
    this.#parts = { ...rest, clock, pullThrough, limitsOf };
    this.#budget = new PullBudget({ clock, allowances, reserveOf });
    this.#courtesy = new Courtesy({ clock, clientFills: (upstream) => pullThrough.clientFills(upstream) });
  }

  /** Calls that go on. */
  get runningCount(): number {
    return this.#running.size;
  }

  async *warm(request: WarmRequest, signal: AbortSignal): AsyncGenerator<WarmEvent, void, undefined> {
    const { targets, concurrency = 1 } = request;
    if (targets.length > TARGET_LIMIT)
      throw new StoreOperationError('invalid', `targets: accepted are ${TARGET_LIMIT} at most`);
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > CONCURRENCY_LIMIT)
      throw new StoreOperationError('invalid', `concurrency: accepted is 1 to ${CONCURRENCY_LIMIT}`);
    const leaving = new AbortController();
    const joined = AbortSignal.any([signal, leaving.signal, this.#closing.signal]);
    // Each image and blob of it listens.
    setMaxListeners(0, joined);
    const queue = new EventQueue<WarmEvent>();
    const parts = { ...this.#parts, budget: this.#budget, courtesy: this.#courtesy, queue, signal: joined };
    const work = new WarmRun(request, parts).run().then(
      () => queue.end(),
      (error: unknown) => queue.fail(error),
    );
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
    try {
      yield* queue;
    } finally {
      leaving.abort();
      await work;
    }
  }

  /** Ends all runs; they fail. To be called before PullThrough is closed. */
  async close(): Promise<void> {
    this.#closing.abort(new StoreOperationError('failed', 'entrepot is shutting down'));
    await Promise.all(this.#running);
  }
}
