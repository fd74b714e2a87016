import pLimit, { type LimitFunction } from 'p-limit';
import type { Clock } from '../clock.ts';
import { abortable } from '../abortable.ts';
import { Deadline } from './deadline.ts';
import { deferred } from '../deferred.ts';
import { UpstreamError } from './upstream-error.ts';

const BLOB_SLOTS = 64;
const OTHER_SLOTS = 32;
/** Requests that wait for a slot; each is somebody's memory. */
const QUEUE_LIMIT = 4_096;
const SLOT_WAIT_MS = 60_000;

/** Bounds how many requests of one upstream are on their way at once: blobs, and everything else. */
export class Limiter {
  readonly #clock: Clock;
  readonly #blobs = pLimit(BLOB_SLOTS);
  readonly #others = pLimit(OTHER_SLOTS);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves with the function that gives the slot back (idempotent), to be called when the body is closed.
   * @throws UpstreamError `timeout` after 60 s of waiting, `unavailable` when too many wait; the signal's reason
   */
  async slot(kind: 'blob' | 'other', signal: AbortSignal): Promise<() => void> {
    const limit = kind === 'blob' ? this.#blobs : this.#others;
    if (limit.pendingCount >= QUEUE_LIMIT) {
      throw new UpstreamError('unavailable', 'too many requests wait for this upstream');
    }
    const message = 'waited too long for other requests to this upstream';
    const deadline = new Deadline({ clock: this.#clock, ms: SLOT_WAIT_MS, message }, signal);
    const waiting = enter(limit);
    try {
      return await abortable(waiting.entered, deadline.signal);
    } catch (error) {
      waiting.leave();
      throw error;
    } finally {
      deadline.close();
    }
  }
}

/** p-limit runs functions; a slot is a function that lasts until it is left. */
function enter(limit: LimitFunction): { entered: Promise<() => void>; leave: () => void } {
  const left = deferred<void>();
  const entered = deferred<() => void>();
  void limit(async () => {
    entered.resolve(left.resolve);
    await left.promise;
  });
  return { entered: entered.promise, leave: left.resolve };
}
