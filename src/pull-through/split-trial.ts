const MIB = 1024 * 1024;

/** How often somebody should look. */
export const SPLIT_TICK_MS = 200;
/** New connections are slow at first: what comes in so long after a change tells nothing. */
const RAMP_MS = 400;
const MEASURE_MS = 600;
/** So often in a row has it to be slow before anything is split: what stopped for a moment is not a slow line. */
const FIRST_MEASUREMENTS = 2;
/** What comes in so much time anyway is not worth another request. */
const LEAST_REST_MS = 4_000;
/** A line that brings so much a second is not what keeps a pull waiting. */
const FAST_BYTES_PER_SECOND = 200 * MIB;
/** Of the time in which it is measured: with an event loop that is busier we are what is slow, and not the line. */
const BUSY_SHARE = 0.85;
/** The same of what our own limits on bandwidth hold back. */
const HELD_BACK_SHARE = 0.2;
/** Less is not a slow line, but one that stands still: a broken transfer is mended otherwise. */
const STALLED_BYTES_PER_SECOND = 16 * 1024;
/** Twice as many transfers that bring less than so many times as much do not help. */
const WORTH = 1.15;
/** How long a segment should take: short enough for readers, who are at the front; long for its round trips. */
const WINDOW_MS = 3_000;
const SMALLEST_WINDOW_BYTES = 8 * MIB;
const LARGEST_WINDOW_BYTES = 64 * MIB;

export interface SplitTrialOptions {
  /** How many there may be at most, now. */
  readonly limit: () => number;
  /** How many turned out best for another blob of that upstream a while ago; absent: not known. */
  readonly known: number | undefined;
  /** Called with how many turned out best. */
  readonly onSettled: (count: number) => void;
}

export interface SplitProgress {
  readonly atMs: number;
  /** How long the event loop has had work so far. */
  readonly busyMs: number;
  /** How long bandwidth limits of ours have held it back so far. */
  readonly heldBackMs: number;
  readonly presentBytes: number;
  readonly sizeBytes: number;
}

/**
 * How many transfers of one blob at the same time are worth it: found out by trying. Where a line is slow and much is
 * left, there are twice as many from one measurement to the next, as long as that brings more; where it does not, it
 * goes back to as many as before. Pure but for what it remembers.
 */
export class SplitTrial {
  readonly #options: SplitTrialOptions;
  #count = 1;
  #windowBytes = SMALLEST_WINDOW_BYTES;
  #isSettled = false;
  #slowMeasurements = 0;
  #before: { readonly count: number; readonly rate: number } | undefined;
  #changedAtMs: number | undefined;
  #mark: SplitProgress | undefined;

  constructor(options: SplitTrialOptions) {
    this.#options = options;
  }

  /** How many there should be. 1: one, for all that is left. */
  get count(): number {
    return this.#count;
  }

  /** How much each of several should bring. */
  get windowBytes(): number {
    return this.#windowBytes;
  }

  tick(progress: SplitProgress): void {
    this.#changedAtMs ??= progress.atMs;
    if (progress.atMs - this.#changedAtMs < RAMP_MS) return;
    this.#mark ??= progress;
    const ms = progress.atMs - this.#mark.atMs;
    if (ms < MEASURE_MS) return;
    const rate = ((progress.presentBytes - this.#mark.presentBytes) / ms) * 1000;
    const isOurs =
      progress.busyMs - this.#mark.busyMs > ms * BUSY_SHARE ||
      progress.heldBackMs - this.#mark.heldBackMs > ms * HELD_BACK_SHARE;
    this.#mark = progress;
    if (rate >= STALLED_BYTES_PER_SECOND && !isOurs) this.#measured(rate, progress);
    else this.#slowMeasurements = 0;
  }

  #measured(rate: number, { sizeBytes, presentBytes }: SplitProgress): void {
    this.#windowBytes = windowFor(rate / this.#count);
    if (this.#isSettled) return;
    if (this.#before !== undefined && rate < this.#before.rate * WORTH) {
      this.#count = this.#before.count;
      this.#settle();
      return;
    }
    const restMs = ((sizeBytes - presentBytes) / rate) * 1000;
    if (restMs < LEAST_REST_MS || rate > FAST_BYTES_PER_SECOND) {
      this.#slowMeasurements = 0;
      return;
    }
    this.#slowMeasurements += 1;
    if (this.#slowMeasurements < FIRST_MEASUREMENTS) return;
    const next = Math.min(this.#options.limit(), this.#options.known ?? this.#count * 2);
    if (next <= this.#count) {
      // What was known is not found out anew: else it would be known for ever.
      if (this.#options.known === undefined) this.#settle();
      this.#isSettled = true;
      return;
    }
    this.#before = { count: this.#count, rate };
    this.#count = next;
    this.#changedAtMs = undefined;
    this.#mark = undefined;
    // What was found out before is believed; it is forgotten in time.
    if (this.#options.known !== undefined) this.#isSettled = true;
  }

  #settle(): void {
    this.#isSettled = true;
    this.#options.onSettled(this.#count);
  }
}

function windowFor(bytesPerSecond: number): number {
  const bytes = (bytesPerSecond * WINDOW_MS) / 1000;
  return Math.min(LARGEST_WINDOW_BYTES, Math.max(SMALLEST_WINDOW_BYTES, Math.ceil(bytes / MIB) * MIB));
}
