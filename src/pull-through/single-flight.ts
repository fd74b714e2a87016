import { abortable } from '../abortable.ts';
import { inheritCause } from '../request-cause.ts';

interface Flight<T> {
  readonly controller: AbortController;
  readonly promise: Promise<T>;
  waiters: number;
  isSettled: boolean;
}

/**
 * Equal work asked for at the same time is done once: all callers share the result, errors too. The work belongs to
 * none of them: it goes on while any waits, and is aborted when the last one left.
 */
export class SingleFlight {
  readonly #flights = new Map<string, Flight<unknown>>();

  /** Is this work under way, so that a `run` now would share it? */
  isRunning(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * @param key must name everything that the result depends on, its type included
   * @param work gets a signal of its own; begun at once by the first caller
   * @throws what `work` threw, or the reason of the caller's own signal
   */
  async run<T>(key: string, work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const flight = (this.#flights.get(key) as Flight<T> | undefined) ?? this.#begin(key, work, signal);
    flight.waiters += 1;
    try {
      return await abortable(flight.promise, signal);
    } finally {
      flight.waiters -= 1;
      if (flight.waiters === 0 && !flight.isSettled)
        flight.controller.abort(new DOMException('nobody waits any more', 'AbortError'));
    }
  }

  /** Who waits goes on to wait; whoever comes now begins anew. For when equal work would have another result. */
  detach(): void {
    this.#flights.clear();
  }

  #begin<T>(key: string, work: (signal: AbortSignal) => Promise<T>, first: AbortSignal): Flight<T> {
    const controller = new AbortController();
    const promise = work(inheritCause(controller.signal, first)).finally(() => {
      flight.isSettled = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    // An aborted flight is not joined: whoever comes now begins anew.
    controller.signal.addEventListener('abort', () => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    promise.catch(() => undefined);
    const flight: Flight<T> = { controller, promise, waiters: 0, isSettled: false };
    this.#flights.set(key, flight);
    return flight;
  }
}
