import type { StoreStatus } from '../cache/store-events.ts';
import { parseCron } from '../config-cron.ts';
import type { WarmSchedule } from '../config.ts';
import { sameSettings } from '../config-change.ts';
import { missingSources } from '../image-sources/missing-sources.ts';
import { runSchedule, type ScheduleParts } from './schedule-run.ts';

export type ScheduleState = NonNullable<StoreStatus['schedules']>[number];

/** A clock that was set is noticed after this long, and so is a machine that slept. */
const LOOK_AGAIN_MS = 30_000;
/** A run that waits for an upstream's allowance takes hours; one that takes longer than this hangs. */
const RUN_LIMIT_MS = 24 * 3_600_000;
/** A clock that is set back by no more does not make what ran due again. */
const SET_BACK_MS = 2 * 3_600_000;

/** One schedule, as it is configured now. */
interface Entry {
  schedule: WarmSchedule;
  /** Aborted when `schedule` is another one, or none any more; not what a run listens to. */
  change: AbortController;
  isRemoved: boolean;
  loop: Promise<void>;
}

/**
 * Warms when schedules are due. Each of them by itself, and never two runs of one at once: what comes due while it runs
 * is left out, and what came due while the machine slept is made up for once. A run goes on to its end by what it began
 * with, whatever is configured meanwhile.
 */
export class Schedules {
  readonly #parts: ScheduleParts;
  readonly #entries = new Map<string, Entry>();
  readonly #states = new Map<string, ScheduleState>();
  readonly #closing = new AbortController();
  /** Those that are configured no more, until their loops have ended. */
  readonly #leaving = new Map<string, Entry>();
  #hasBegun = false;

  constructor(schedules: readonly WarmSchedule[], parts: ScheduleParts) {
    this.#parts = parts;
    this.configure(schedules);
  }

  /** From now on; once. */
  begin(): void {
    this.#hasBegun = true;
    for (const entry of this.#entries.values()) entry.loop = this.#loop(entry);
  }

  /** Those that are the same go on as they are; one that is gone while it runs is told of until it ends. */
  configure(schedules: readonly WarmSchedule[]): void {
    const before = new Map(this.#entries);
    this.#entries.clear();
    for (const schedule of schedules) {
      const known = before.get(schedule.name) ?? this.#leaving.get(schedule.name);
      before.delete(schedule.name);
      this.#leaving.delete(schedule.name);
      if (known !== undefined) this.#change(known, schedule);
      this.#entries.set(schedule.name, known ?? this.#added(schedule));
    }
    for (const [name, entry] of before) {
      entry.isRemoved = true;
      entry.change.abort();
      if (this.#hasBegun) this.#leaving.set(name, entry);
    }
    // In the order of the configuration.
    const states = new Map(this.#states);
    this.#states.clear();
    for (const { name } of schedules) this.#states.set(name, states.get(name) ?? { name, isRunning: false });
    for (const [name, state] of states)
      if (!this.#states.has(name) && state.isRunning) this.#states.set(name, { ...state, nextAt: undefined });
  }

  /** In the order of the configuration. */
  get states(): ScheduleState[] {
    return [...this.#states.values()];
  }

  /** Ends what runs; to be called before warming is closed. What was fetched until then stays. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('entrepot is shutting down'));
    await Promise.all([...this.#entries.values(), ...this.#leaving.values()].map(({ loop }) => loop));
  }

  #added(schedule: WarmSchedule): Entry {
    const loop = Promise.resolve();
    const entry: Entry = { schedule, change: new AbortController(), isRemoved: false, loop };
    if (this.#hasBegun && !this.#closing.signal.aborted) entry.loop = this.#loop(entry);
    return entry;
  }

  #change(entry: Entry, schedule: WarmSchedule): void {
    entry.isRemoved = false;
    if (sameSettings(entry.schedule, schedule)) return;
    entry.schedule = schedule;
    entry.change.abort();
  }

  async #loop(entry: Entry): Promise<void> {
    const { observer } = this.#parts;
    const { signal } = this.#closing;
    const { name } = entry.schedule;
    try {
      let looked: WarmSchedule | undefined;
      for (let lastDue = -Infinity; !entry.isRemoved;) {
        const { schedule } = entry;
        entry.change = new AbortController();
        const changed = AbortSignal.any([signal, entry.change.signal]);
        if (looked !== schedule)
          for (const problem of await missingSources(schedule.from)) observer.missing(name, problem);
        looked = schedule;
        const due = await this.#waitForTurn(schedule, lastDue, changed);
        if (due === undefined) continue;
        lastDue = due;
        await this.#run(schedule, signal);
      }
      this.#leaving.delete(name);
      this.#states.delete(name);
    } catch (error) {
      if (!signal.aborted) observer.unexpected(name, error);
    }
  }

  /** Resolves when it is due, with when it was; `undefined`: it is another one before that. @throws when all is closed */
  async #waitForTurn(
    { name, cron, timezone }: WarmSchedule,
    lastDue: number,
    changed: AbortSignal,
  ): Promise<number | undefined> {
    const { clock, observer } = this.#parts;
    const times = parseCron(cron, timezone);
    const now = clock.now();
    const due =
      'wrong' in times ? undefined : times.next(lastDue - now > SET_BACK_MS ? now : Math.max(now, lastDue));
    if (changed.aborted) return undefined;
    this.#tell(name, { nextAt: due });
    observer.due(name, due);
    try {
      await this.#until(due ?? Infinity, changed);
      return due;
    } catch (error) {
      this.#closing.signal.throwIfAborted();
      if (changed.aborted) return undefined;
      throw error;
    }
  }

  async #until(due: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    for (let left = due - clock.now(); left > 0; left = due - clock.now())
      await clock.sleep(Math.min(left, LOOK_AGAIN_MS), signal);
  }

  async #run(schedule: WarmSchedule, closing: AbortSignal): Promise<void> {
    const { clock, observer } = this.#parts;
    const { name } = schedule;
    const begunAt = clock.now();
    observer.begun(name);
    this.#tell(name, { isRunning: true });
    const over = new AbortController();
    const limit = new AbortController();
    const signal = AbortSignal.any([closing, limit.signal]);
    void clock.sleep(RUN_LIMIT_MS, over.signal).then(
      () => limit.abort(new Error('it ran for too long')),
      () => undefined,
    );
    try {
      const onWaiting = (untilMs: number | undefined) => this.#tell(name, { waitingUntil: untilMs });
      const result = await runSchedule(schedule, this.#parts, onWaiting, signal).catch((error: unknown) => {
        closing.throwIfAborted();
        if (!limit.signal.aborted) throw error;
        const durationMs = clock.now() - begunAt;
        const counts = { images: 0, failedImages: 0, problems: 1, fetchedBytes: 0, durationMs };
        return { outcome: 'failed' as const, ...counts, firstProblem: 'it ran for too long, and was ended' };
      });
      const { outcome, images, failedImages, fetchedBytes, firstProblem } = result;
      const last = { begunAt, endedAt: clock.now(), outcome, images, failedImages, fetchedBytes };
      this.#tell(name, { last: { ...last, ...(firstProblem !== undefined && { problem: firstProblem }) } });
      observer.ended(name, result);
    } finally {
      over.abort();
      this.#tell(name, { isRunning: false, waitingUntil: undefined });
    }
  }

  #tell(name: string, change: Partial<ScheduleState>): void {
    const state = this.#states.get(name);
    if (state !== undefined) this.#states.set(name, { ...state, ...change });
  }
}
