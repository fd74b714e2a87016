import type { StoreStatus } from '../cache/store-events.ts';
import { parseCron } from '../config-cron.ts';
import type { WarmSchedule } from '../config.ts';
import { missingSources } from '../image-sources/missing-sources.ts';
import { runSchedule, type ScheduleParts } from './schedule-run.ts';

export type ScheduleState = NonNullable<StoreStatus['schedules']>[number];

/** A clock that was set is noticed after this long, and so is a machine that slept. */
const LOOK_AGAIN_MS = 30_000;
/** A run that waits for an upstream's allowance takes hours; one that takes longer than this hangs. */
const RUN_LIMIT_MS = 24 * 3_600_000;
/** A clock that is set back by no more does not make what ran due again. */
const SET_BACK_MS = 2 * 3_600_000;

/**
 * Warms when schedules are due. Each of them by itself, and never two runs of one at once: what comes due while it runs
 * is left out, and what came due while the machine slept is made up for once.
 */
export class Schedules {
  readonly #parts: ScheduleParts;
  readonly #schedules: readonly WarmSchedule[];
  readonly #states = new Map<string, ScheduleState>();
  readonly #closing = new AbortController();
  #loops: readonly Promise<void>[] = [];

  constructor(schedules: readonly WarmSchedule[], parts: ScheduleParts) {
    this.#schedules = schedules;
    this.#parts = parts;
    for (const { name } of schedules) this.#states.set(name, { name, isRunning: false });
  }

  /** From now on; once. */
  begin(): void {
    this.#loops = this.#schedules.map((schedule) => this.#loop(schedule));
  }

  /** In the order of the configuration. */
  get states(): ScheduleState[] {
    return [...this.#states.values()];
  }

  /** Ends what runs; to be called before warming is closed. What was fetched until then stays. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('entrepot is shutting down'));
    await Promise.all(this.#loops);
  }

  async #loop(schedule: WarmSchedule): Promise<void> {
    const { clock, observer } = this.#parts;
    const { name } = schedule;
    const { signal } = this.#closing;
    const times = parseCron(schedule.cron, schedule.timezone);
    if ('wrong' in times) return;
    try {
      for (const problem of await missingSources(schedule.from)) observer.missing(name, problem);
      for (let lastDue = -Infinity; ;) {
        const now = clock.now();
        const due = times.next(lastDue - now > SET_BACK_MS ? now : Math.max(now, lastDue));
        this.#change(name, { nextAt: due });
        observer.due(name, due);
        if (due === undefined) return;
        await this.#until(due, signal);
        lastDue = due;
        await this.#run(schedule, signal);
      }
    } catch (error) {
      if (!signal.aborted) observer.unexpected(name, error);
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
    this.#change(name, { isRunning: true });
    const over = new AbortController();
    const limit = new AbortController();
    const signal = AbortSignal.any([closing, limit.signal]);
    void clock.sleep(RUN_LIMIT_MS, over.signal).then(
      () => limit.abort(new Error('it ran for too long')),
      () => undefined,
    );
    try {
      const onWaiting = (untilMs: number | undefined) => this.#change(name, { waitingUntil: untilMs });
      const result = await runSchedule(schedule, this.#parts, onWaiting, signal).catch((error: unknown) => {
        closing.throwIfAborted();
        if (!limit.signal.aborted) throw error;
        const durationMs = clock.now() - begunAt;
        const counts = { images: 0, failedImages: 0, problems: 1, fetchedBytes: 0, durationMs };
        return { outcome: 'failed' as const, ...counts, firstProblem: 'it ran for too long, and was ended' };
      });
      const { outcome, images, failedImages, fetchedBytes, firstProblem } = result;
      const last = { begunAt, endedAt: clock.now(), outcome, images, failedImages, fetchedBytes };
      this.#change(name, { last: { ...last, ...(firstProblem !== undefined && { problem: firstProblem }) } });
      observer.ended(name, result);
    } finally {
      over.abort();
      this.#change(name, { isRunning: false, waitingUntil: undefined });
    }
  }

  #change(name: string, change: Partial<ScheduleState>): void {
    const state = this.#states.get(name) ?? { name, isRunning: false };
    this.#states.set(name, { ...state, ...change });
  }
}
