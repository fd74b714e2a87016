import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { FrontEnd } from './front-process.ts';

/** A front that dies as soon as it runs is started again ever more slowly. */
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 30_000;
/** One that ran so long did not die of its start. */
const SOUND_AFTER_MS = 60_000;
/** So many in a row of another version: its files will not be ours again. */
const STRANGER_LIMIT = 5;

export interface FrontRestartsParts {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Of this process. */
  readonly version: string;
  readonly start: () => void;
}

export interface LostFront {
  readonly pid: number | undefined;
  readonly ranMs: number;
  readonly end: FrontEnd;
  /** What it is, where it is not of our version. */
  readonly otherVersion: string | undefined;
  /** Whether nobody serves now. */
  readonly isMissed: boolean;
}

/** Replaces fronts that end unexpectedly, at a bounded pace. */
export class FrontRestarts {
  readonly #parts: FrontRestartsParts;
  readonly #waiting = new Set<NodeJS.Timeout>();
  #pauseMs = FIRST_PAUSE_MS;
  /** In a row. */
  #strangers = 0;

  constructor(parts: FrontRestartsParts) {
    this.#parts = parts;
  }

  /** One that was started serves. */
  served(): void {
    this.#strangers = 0;
  }

  ended(lost: LostFront): void {
    const { ranMs, otherVersion } = lost;
    this.#pauseMs = ranMs > SOUND_AFTER_MS ? FIRST_PAUSE_MS : Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
    if (otherVersion === undefined) this.#replace(lost);
    else this.#replaceStranger(lost, otherVersion);
  }

  close(): void {
    for (const timer of this.#waiting) clearTimeout(timer);
    this.#waiting.clear();
  }

  #replace({ pid, ranMs, end: { code, signal, lastWords } }: LostFront): void {
    const facts = { pid, code, signal, ms: Math.round(ranMs), againInMs: this.#pauseMs };
    const words = lastWords === '' ? {} : { lastWords };
    this.#parts.log.error({ ...facts, ...words }, 'a worker ended unexpectedly: another one is started');
    this.#startIn(this.#pauseMs);
  }

  /** The files may yet be put back, or were caught in the middle of it; without anybody who serves, that is all hope. */
  #replaceStranger({ pid, isMissed }: LostFront, workerVersion: string): void {
    const { log, version } = this.#parts;
    this.#strangers += 1;
    if (this.#strangers === 1)
      log.error(
        { pid, version, workerVersion },
        'a worker of another version was ended: entrepot was replaced while it runs, and must be restarted',
      );
    if (this.#strangers < STRANGER_LIMIT) this.#startIn(this.#pauseMs);
    else if (isMissed) this.#startIn(LONGEST_PAUSE_MS);
  }

  #startIn(pauseMs: number): void {
    const { metrics, start } = this.#parts;
    metrics.fronts.restarted();
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      start();
    }, pauseMs);
    this.#waiting.add(timer);
  }
}
