import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { translated } from '../metadata/database.ts';
import { MetadataError } from '../metadata/metadata-error.ts';
import type { UsageRow, UsageStore } from '../metadata/usage-store.ts';
import type { UsageRows } from './usage-rows.ts';
import type { UsageSums } from './usage-sums.ts';

export const DAY_MS = 24 * 3_600_000;
/** What a kill loses at most. */
const WRITE_EVERY_MS = 60_000;
/** Rows in one transaction, each a turn of the event loop: a millisecond or two. */
const BATCH = 200;
/** Rows of a day. When there are twice as many the smallest are counted together. */
const KEPT_A_DAY = { image: 5_000, client: 2_000 } as const;
/** Of days that are long over; with these 400 days are 800,000 rows, 100 MB, at the worst. */
const KEPT_OF_OLD_DAYS = { image: 1_000, client: 500 } as const;
const OLD_AFTER_DAYS = 35;
const TIDY_EVERY_MS = 3_600_000;
/** How far the wall clock may stray from the other one within a minute and still be believed. */
const STRAY_MS = 60_000;
/** What cannot be opened is tried again so much later: each try makes an object that stays. */
const REOPEN_AFTER_MS = 10 * 60_000;

export interface KeptUsageParts {
  readonly clock: Clock;
  /** What was asked since this was called last. */
  readonly take: () => UsageSums;
  /** @throws MetadataError */
  readonly open: () => UsageStore;
  /** Moves away what `open` found damaged, or what turned out to be. */
  readonly setAside: () => string;
  /** Rows are forgotten when they are older. */
  readonly keepMs: number;
  /** Told once when it cannot be written, and with `undefined` when it can again. Must not throw. */
  readonly onTrouble: (cause: MetadataError | undefined) => void;
  readonly onSetAside: (path: string) => void;
}

/**
 * Usage by day on disk, written every minute: nothing waits for it, and no failure of it is anything but a gap in a report.
 * What cannot be written is kept in memory, within bounds, until it can.
 */
export class KeptUsage {
  readonly #parts: KeptUsageParts;
  readonly #ending = new AbortController();
  #store: UsageStore | undefined;
  /** Since when opening failed, by the clock that never goes backwards. */
  #failedAt: number | undefined;
  #waiting: UsageRow[] = [];
  #writing: Promise<void> = Promise.resolve();
  #running: Promise<void> | undefined;
  #isTroubled = false;
  #tidiedAt: number;
  /** When both clocks were looked at last, and since when they agree. */
  #looked: { readonly wall: number; readonly monotonic: number };
  #steadySince: number;

  constructor(parts: KeptUsageParts) {
    this.#parts = parts;
    const { clock } = parts;
    this.#looked = { wall: clock.now(), monotonic: clock.monotonic() };
    this.#steadySince = this.#looked.monotonic;
    this.#tidiedAt = this.#looked.monotonic;
  }

  /** Writes every minute from now on. */
  begin(): void {
    this.#running ??= this.#run();
  }

  /** Writes down what was gathered so far. Never fails. */
  write(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#writeAll());
    return this.#writing;
  }

  /**
   * Adds what is kept from that day on, and what is not written yet.
   * @returns the first day of which anything is kept, whatever was asked for
   */
  async read(into: UsageRows, fromDay: number, signal: AbortSignal): Promise<number | undefined> {
    await this.write();
    for (const row of this.#waiting) addRow(into, row);
    const first = this.#attempt((store) => store.days(0))?.[0];
    for (const day of this.#attempt((store) => store.days(fromDay)) ?? []) {
      for (const row of this.#attempt((store) => store.read(day)) ?? []) addRow(into, row);
      await nextTurn();
      signal.throwIfAborted();
    }
    return first;
  }

  /** Writes what is left. Nothing may be asked afterwards. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#running;
    await this.write();
    this.#store?.close();
    this.#store = undefined;
  }

  async #run(): Promise<void> {
    const { clock } = this.#parts;
    for (;;) {
      try {
        await clock.sleep(WRITE_EVERY_MS, this.#ending.signal);
      } catch {
        return;
      }
      this.#look();
      await this.write();
      await this.#tidy();
    }
  }

  get #day(): number {
    return Math.floor(this.#parts.clock.now() / DAY_MS);
  }

  async #writeAll(): Promise<void> {
    // What could not be written yet goes first, and bounds what is taken meanwhile.
    if (this.#waiting.length === 0) this.#waiting = rowsOf(this.#parts.take());
    if (this.#waiting.length === 0) return;
    const day = this.#day;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH);
      const isWritten = this.#attempt((store) => {
        store.add(day, batch);
        return true;
      });
      if (isWritten !== true) return;
      this.#waiting.splice(0, batch.length);
      await nextTurn();
    }
    for (const kind of ['image', 'client'] as const)
      this.#attempt((store) => {
        const limit = KEPT_A_DAY[kind];
        if (store.count(day, kind) > 2 * limit) store.keepLargest(day, kind, limit);
      });
  }

  /** A wall clock that jumps says nothing of what is old until it has run like the other one for an hour. */
  #look(): void {
    const { clock } = this.#parts;
    const now = { wall: clock.now(), monotonic: clock.monotonic() };
    const passed = now.monotonic - this.#looked.monotonic;
    if (Math.abs(now.wall - this.#looked.wall - passed) > STRAY_MS) this.#steadySince = now.monotonic;
    this.#looked = now;
  }

  async #tidy(): Promise<void> {
    const { monotonic } = this.#looked;
    const since = Math.max(this.#tidiedAt, this.#steadySince);
    if (monotonic - since < TIDY_EVERY_MS) return;
    this.#tidiedAt = monotonic;
    const today = this.#day;
    const before = today - Math.ceil(this.#parts.keepMs / DAY_MS);
    while (this.#attempt((store) => store.forget(before, BATCH)) === BATCH) await nextTurn();
    const days = this.#attempt((store) => store.days(0)) ?? [];
    for (const day of days.filter((one) => one < today)) {
      const limits = day < today - OLD_AFTER_DAYS ? KEPT_OF_OLD_DAYS : KEPT_A_DAY;
      for (const kind of ['image', 'client'] as const)
        this.#attempt((store) => {
          // What stands for many already is not counted: a few rows.
          if (store.count(day, kind) > limits[kind] + 100) store.keepLargest(day, kind, limits[kind]);
        });
      await nextTurn();
    }
  }

  /** `undefined` when it cannot be done now: said once, and tried again by whoever needs it next. */
  #attempt<T>(work: (store: UsageStore) => T): T | undefined {
    const { clock, open, onTrouble } = this.#parts;
    if (this.#failedAt !== undefined && clock.monotonic() - this.#failedAt < REOPEN_AFTER_MS)
      return undefined;
    try {
      this.#failedAt = undefined;
      this.#store ??= this.#opened(open);
      const result = work(this.#store);
      if (this.#isTroubled) onTrouble(undefined);
      this.#isTroubled = false;
      return result;
    } catch (thrown) {
      const cause = translated(thrown);
      if (cause.reason === 'damaged' && this.#beginAnew()) return undefined;
      if (!this.#isTroubled) onTrouble(cause);
      this.#isTroubled = true;
      return undefined;
    }
  }

  #opened(open: () => UsageStore): UsageStore {
    try {
      return open();
    } catch (cause) {
      if (!(cause instanceof MetadataError) || cause.reason !== 'damaged')
        this.#failedAt = this.#parts.clock.monotonic();
      throw cause;
    }
  }

  /** @returns whether the damaged one is out of the way: whoever needs it next begins an empty one */
  #beginAnew(): boolean {
    const { clock, setAside, onSetAside } = this.#parts;
    try {
      this.#store?.close();
      this.#store = undefined;
      onSetAside(setAside());
      return true;
    } catch {
      this.#store = undefined;
      this.#failedAt = clock.monotonic();
      return false;
    }
  }
}

function rowsOf({ upstreams, images, clients }: UsageSums): UsageRow[] {
  const rows: UsageRow[] = [];
  for (const [name, sums] of upstreams) rows.push({ kind: 'upstream', name, sums });
  for (const [upstream, repositories] of images)
    for (const [repository, sums] of repositories)
      rows.push({ kind: 'image', name: `${upstream}/${repository}`, sums });
  for (const [name, sums] of clients) rows.push({ kind: 'client', name, sums });
  return rows;
}

function addRow(into: UsageRows, row: UsageRow): void {
  if (row.kind === 'upstream') into.addUpstream(row.name, row.sums);
  else if (row.kind === 'image') into.addImage(row.name, row.sums);
  else into.addClient(row.name, row.sums);
}
