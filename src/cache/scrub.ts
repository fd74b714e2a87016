import type { Clock } from '../clock.ts';
import type { Marks } from '../metadata/metadata-store.ts';
import type { StoredBlobs } from '../metadata/stored-blobs.ts';
import { ByteRate } from './byte-rate.ts';
import type { Upkeep } from './upkeep.ts';
import type { UpkeepObserver } from './upkeep-observer.ts';

/** In place of a position: none is under way. */
const NO_ROUND = -1;
/** After each of these its place is written down: what a restart reads again at most. */
const PAGE_BLOBS = 16;
/** A timer cannot wait for longer than 24 days. */
const LONGEST_SLEEP_MS = 3_600_000;
/** After the index could not be asked. */
const RETRY_MS = 60_000;

export interface ScrubSettings {
  /** From the beginning of one round to that of the next. Absent: never. */
  readonly everyMs: number | undefined;
  readonly bytesPerSecond: number;
}

/** What the scrub has come to, of the round that runs or ran last in this process. Times in ms since 1970. */
export interface ScrubProgress {
  readonly isRunning: boolean;
  readonly files: number;
  readonly bytes: number;
  readonly damaged: number;
  /** Absent: no round has begun yet. */
  readonly begunAt: number | undefined;
  /** Of the last round that came to its end. */
  readonly endedAt: number | undefined;
  /** Absent while one runs, and without a schedule. */
  readonly nextAt: number | undefined;
}

export interface ScrubParts {
  readonly blobs: StoredBlobs;
  readonly marks: Marks;
  readonly clock: Clock;
  readonly upkeep: Upkeep;
  readonly reports: UpkeepObserver;
  readonly settings: ScrubSettings;
}

/**
 * Reads every stored blob once in a while, slowly, and takes out what is bad, so that bits that rot are found before
 * somebody asks for them. Goes on after a restart where it was. The first round is due a whole period after the first
 * start: all that is new was verified when it came.
 */
export class Scrub {
  readonly #parts: ScrubParts;
  readonly #closing = new AbortController();
  /** Of what runs by the settings that hold. */
  #ending = new AbortController();
  #settings: ScrubSettings;
  #rate: ByteRate;
  #hasBegun = false;
  #progress: ScrubProgress = {
    isRunning: false,
    files: 0,
    bytes: 0,
    damaged: 0,
    begunAt: undefined,
    endedAt: undefined,
    nextAt: undefined,
  };
  #running: Promise<void> | undefined;

  constructor(parts: ScrubParts) {
    this.#parts = parts;
    this.#settings = parts.settings;
    this.#rate = new ByteRate(parts.clock, parts.settings.bytesPerSecond);
  }

  get progress(): ScrubProgress {
    return this.#progress;
  }

  /** Keeps to its schedule from now on. */
  begin(): void {
    this.#hasBegun = true;
    const { everyMs } = this.#settings;
    if (everyMs !== undefined) this.#running ??= this.#run(everyMs, this.#ending.signal);
  }

  /** A round that is under way goes on where it is, unless there are to be none. */
  configure(settings: ScrubSettings): void {
    const { everyMs, bytesPerSecond } = this.#settings;
    if (everyMs === settings.everyMs && bytesPerSecond === settings.bytesPerSecond) return;
    this.#settings = settings;
    const before = this.#running;
    this.#ending.abort(new Error('the configuration is another one'));
    this.#ending = new AbortController();
    if (!this.#hasBegun || this.#closing.signal.aborted) return;
    const { signal } = this.#ending;
    this.#running = (async () => {
      await before;
      if (signal.aborted) return;
      this.#rate = new ByteRate(this.#parts.clock, settings.bytesPerSecond);
      this.#progress = { ...this.#progress, isRunning: false, nextAt: undefined };
      if (settings.everyMs !== undefined) await this.#run(settings.everyMs, signal);
    })();
  }

  /** Waits until nothing runs any more. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#ending.abort(new Error('the store is being closed'));
    await this.#running;
  }

  async #run(everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, reports } = this.#parts;
    while (!signal.aborted) {
      try {
        await this.#waitForTurn(everyMs, signal);
        await this.#round(signal);
      } catch (cause) {
        if (signal.aborted) return;
        this.#progress = { ...this.#progress, isRunning: false };
        reports.scrubFailed(cause);
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
  }

  async #waitForTurn(everyMs: number, signal: AbortSignal): Promise<void> {
    const { clock, marks } = this.#parts;
    const endedAt = await marks.mark('scrub-ended-at');
    let begunAt = await marks.mark('scrub-begun-at');
    if (begunAt === undefined || begunAt > clock.now()) {
      // The time of the first start stands for a round: nothing is older than that.
      begunAt = clock.now();
      await marks.setMark('scrub-begun-at', begunAt);
    }
    const isUnderWay = ((await marks.mark('scrub-position')) ?? NO_ROUND) !== NO_ROUND;
    const nextAt = begunAt + everyMs;
    this.#progress = { ...this.#progress, begunAt, endedAt, nextAt };
    if (isUnderWay) return;
    for (let left = nextAt - clock.now(); left > 0; left = nextAt - clock.now()) {
      await clock.sleep(Math.min(left, LONGEST_SLEEP_MS), signal);
    }
  }

  async #round(signal: AbortSignal): Promise<void> {
    const { blobs, marks, clock, reports } = this.#parts;
    let position = (await marks.mark('scrub-position')) ?? NO_ROUND;
    if (position === NO_ROUND) {
      position = 0;
      await marks.setMark('scrub-begun-at', clock.now());
      await marks.setMark('scrub-position', position);
    }
    const begunAt = await marks.mark('scrub-begun-at');
    this.#progress = {
      ...this.#progress,
      isRunning: true,
      files: 0,
      bytes: 0,
      damaged: 0,
      begunAt,
      nextAt: undefined,
    };
    reports.scrubBegan();
    for (;;) {
      const page = await blobs.page(position, PAGE_BLOBS);
      for (const blob of page.blobs) await this.#look(blob, signal);
      if (page.next === undefined) break;
      position = page.next;
      await marks.setMark('scrub-position', position);
    }
    await marks.setMark('scrub-position', NO_ROUND);
    await marks.setMark('scrub-ended-at', clock.now());
    this.#progress = { ...this.#progress, isRunning: false, endedAt: clock.now() };
    reports.scrubEnded(this.#progress);
  }

  async #look(blob: Parameters<Upkeep['examine']>[0], signal: AbortSignal): Promise<void> {
    const { upkeep, reports } = this.#parts;
    signal.throwIfAborted();
    const onBytes = async (bytes: number) => {
      reports.verified(bytes);
      this.#progress = { ...this.#progress, bytes: this.#progress.bytes + bytes };
      await this.#rate.take(bytes, signal);
    };
    const finding = await upkeep.examine(blob, { where: 'scrub', signal, onBytes });
    this.#progress = {
      ...this.#progress,
      files: this.#progress.files + 1,
      damaged: this.#progress.damaged + (finding === 'damaged' ? 1 : 0),
    };
  }
}
