import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../../src/clock.ts';

interface Sleeper {
  readonly wakeAtMs: number;
  readonly wake: () => void;
}

/** Turns of the event loop that whoever was woken gets before the next one is. */
const TURNS_PER_WAKE = 3;

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  readonly #sleepers = new Set<Sleeper>();
  readonly #watchers = new Set<() => void>();

  /** `wallMs` = the wall time to begin with. */
  constructor(wallMs = Date.UTC(2030, 0, 1)) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  /** How many are asleep now. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  /** In how many milliseconds the next one wakes; absent when nobody sleeps. */
  get nextWakeMs(): number | undefined {
    const next = this.#next(Infinity);
    return next && next.wakeAtMs - this.#monotonicMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        this.#sleepers.delete(sleeper);
        signal?.removeEventListener('abort', abort);
      };
      const wake = (): void => {
        leave();
        resolve();
      };
      const abort = (): void => {
        leave();
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- Clock promises the signal's own reason
        reject(signal?.reason);
      };
      const sleeper: Sleeper = { wakeAtMs: this.#monotonicMs + Math.max(0, ms), wake };
      this.#sleepers.add(sleeper);
      signal?.addEventListener('abort', abort);
      for (const watcher of this.#watchers) watcher();
    });
  }

  /** Resolves once `count` are asleep at the same time; at once if they are. */
  async asleep(count = 1): Promise<void> {
    if (this.#sleepers.size >= count) return;
    await new Promise<void>((resolve) => {
      const watcher = (): void => {
        if (this.#sleepers.size < count) return;
        this.#watchers.delete(watcher);
        resolve();
      };
      this.#watchers.add(watcher);
    });
  }

  /**
   * Moves both times on by `ms`. Who has to wake is woken in order of time, at its own time, and gets some turns of
   * the event loop before the next one: so a loop that sleeps again within `ms` is woken again.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      const next = this.#next(endMs);
      if (!next) break;
      this.#move(next.wakeAtMs);
      next.wake();
      for (let turn = 0; turn < TURNS_PER_WAKE; turn++) await nextTurn();
    }
    this.#move(endMs);
    await nextTurn();
  }

  /** Sets the wall time, as an operator or NTP does; monotonic time and sleepers do not notice. */
  setWall(ms: number): void {
    this.#wallMs = ms;
  }

  #move(toMs: number): void {
    this.#wallMs += toMs - this.#monotonicMs;
    this.#monotonicMs = toMs;
  }

  /** The first of those who wake no later than `endMs`; of equals the one who went to sleep first. */
  #next(endMs: number): Sleeper | undefined {
    let first: Sleeper | undefined;
    for (const sleeper of this.#sleepers) {
      if (sleeper.wakeAtMs <= endMs && (!first || sleeper.wakeAtMs < first.wakeAtMs)) first = sleeper;
    }
    return first;
  }
}
