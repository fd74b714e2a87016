import pLimit, { type LimitFunction } from 'p-limit';
import type { Clock } from '../clock.ts';
import type { UpstreamLimits } from '../config.ts';
import { abortable } from '../abortable.ts';
import { Deadline } from './deadline.ts';
import { deferred } from '../deferred.ts';
import { Pace } from './pace.ts';
import { UpstreamError } from './upstream-error.ts';

const DEFAULT_CONNECTIONS = 96;
/** So that blobs, which take long, never keep tags and manifests waiting. */
const SHARE_OF_OTHERS = 1 / 3;
/** Requests that wait for a slot; each is somebody's memory. */
const QUEUE_LIMIT = 4_096;
const SLOT_WAIT_MS = 60_000;

/** What is about to be sent. `pull`: a GET of a manifest, which registries count. */
export type LimitedKind = 'blob' | 'pull' | 'other';

/** Bounds how many requests of one upstream are on their way at once (blobs, and everything else), and how many a second. */
export class Limiter {
  readonly #clock: Clock;
  readonly #blobs: LimitFunction;
  readonly #others: LimitFunction;
  readonly #requests: Pace | undefined;
  readonly #pulls: Pace | undefined;
  #waiting = 0;

  /** @param onPaced told how long a request waits for the configured pace */
  constructor(clock: Clock, limits: UpstreamLimits = {}, onPaced?: (ms: number) => void) {
    const { connections = DEFAULT_CONNECTIONS, requestsPerSecond, pullsPerSecond } = limits;
    const others = Math.max(1, Math.floor(connections * SHARE_OF_OTHERS));
    this.#clock = clock;
    this.#blobs = pLimit(connections - others);
    this.#others = pLimit(others);
    this.#requests =
      requestsPerSecond === undefined ? undefined : new Pace(clock, requestsPerSecond, onPaced);
    this.#pulls = pullsPerSecond === undefined ? undefined : new Pace(clock, pullsPerSecond, onPaced);
  }

  /**
   * Resolves with the function that gives the slot back (idempotent), to be called when the body is closed.
   * @throws UpstreamError `timeout` after 60 s of waiting, `unavailable` or `rate-limited` when too many wait; the
   * signal's reason
   */
  async slot(kind: LimitedKind, signal: AbortSignal): Promise<() => void> {
    const limit = kind === 'blob' ? this.#blobs : this.#others;
    if (this.#waiting >= QUEUE_LIMIT) {
      throw new UpstreamError('unavailable', 'too many requests wait for this upstream');
    }
    const message = 'waited too long for other requests to this upstream';
    const deadline = new Deadline({ clock: this.#clock, ms: SLOT_WAIT_MS, message }, signal);
    this.#waiting += 1;
    try {
      // Before the slot: who waits for his turn must not keep a HEAD from going.
      if (kind === 'pull') await this.#pulls?.turn(deadline.signal);
      await this.#requests?.turn(deadline.signal);
      return await enter(limit, deadline.signal);
    } finally {
      this.#waiting -= 1;
      deadline.close();
    }
  }
}

/** p-limit runs functions; a slot is a function that lasts until it is left. @throws the signal's reason */
async function enter(limit: LimitFunction, signal: AbortSignal): Promise<() => void> {
  const left = deferred<void>();
  const entered = deferred<() => void>();
  void limit(async () => {
    entered.resolve(left.resolve);
    await left.promise;
  });
  try {
    return await abortable(entered.promise, signal);
  } catch (error) {
    left.resolve();
    throw error;
  }
}
