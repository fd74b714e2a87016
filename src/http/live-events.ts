import type { ActivityOperations } from '../activity/activity-operations.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Clock } from '../clock.ts';

/** Whoever looks is told so often. */
const TICK_MS = 1000;
/** Who may look at the same time: each holds a connection. */
const WATCHER_LIMIT = 32;
/** What a watcher that reads slowly may be behind; what comes meanwhile is left out for it. */
const WAITING_LIMIT = 2;

export interface LiveEventsParts {
  readonly activity: Pick<ActivityOperations, 'live'>;
  readonly clock: Clock;
}

type Watcher = ReadableStreamDefaultController<Uint8Array>;

/** What goes on right now, as server-sent events: looked at once for all who watch, and not at all for nobody. */
export class LiveEvents {
  readonly #parts: LiveEventsParts;
  readonly #watchers = new Set<Watcher>();
  #ticking: AbortController | undefined;

  constructor(parts: LiveEventsParts) {
    this.#parts = parts;
  }

  /** How many are watching. */
  get watcherCount(): number {
    return this.#watchers.size;
  }

  /**
   * An answer without end: a LiveView now, and one every second.
   * @param signal of the request: aborted when the client is gone
   * @throws StoreOperationError `busy`
   */
  async watch(signal: AbortSignal): Promise<Response> {
    this.#admit();
    const first = await this.#frame(signal);
    this.#admit();
    let watcher: Watcher | undefined;
    const leave = (): void => {
      signal.removeEventListener('abort', leave);
      if (watcher !== undefined) this.#leave(watcher);
    };
    // Of a body that nobody has begun to read nobody says that it is not wanted any more.
    signal.addEventListener('abort', leave);
    const body = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          watcher = controller;
          controller.enqueue(first);
          this.#watchers.add(controller);
          if (this.#ticking === undefined) void this.#tick();
        },
        cancel: leave,
      },
      { highWaterMark: WAITING_LIMIT },
    );
    if (signal.aborted) leave();
    return new Response(body, {
      headers: { 'Content-Type': 'text/event-stream', 'X-Accel-Buffering': 'no' },
    });
  }

  #admit(): void {
    if (this.#watchers.size >= WATCHER_LIMIT)
      throw new StoreOperationError('busy', `${WATCHER_LIMIT} are watching; try again later`);
  }

  #leave(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    if (this.#watchers.size > 0) return;
    this.#ticking?.abort();
    this.#ticking = undefined;
  }

  /** Until the last one has left. */
  async #tick(): Promise<void> {
    const ticking = new AbortController();
    this.#ticking = ticking;
    try {
      for (;;) {
        await this.#parts.clock.sleep(TICK_MS, ticking.signal);
        const frame = await this.#frame(ticking.signal);
        ticking.signal.throwIfAborted();
        for (const watcher of this.#watchers) if ((watcher.desiredSize ?? 0) > 0) watcher.enqueue(frame);
      }
    } catch {
      if (ticking.signal.aborted) return;
      // What cannot be told any more ends; browsers ask again by themselves.
      this.#ticking = undefined;
      for (const watcher of this.#watchers) watcher.close();
      this.#watchers.clear();
    }
  }

  async #frame(signal: AbortSignal): Promise<Uint8Array> {
    const view = await this.#parts.activity.live(signal);
    return new TextEncoder().encode(`data: ${JSON.stringify(view)}\n\n`);
  }
}
