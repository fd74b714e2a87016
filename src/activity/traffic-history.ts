import type { Clock } from '../clock.ts';
import type { TrafficStep } from './activity-events.ts';
import { noTraffic, type Traffic } from './traffic.ts';

const STEP_MS = 60_000;
/** A day, of 100 bytes a step. */
const STEP_LIMIT = 24 * 60;

interface Step extends Traffic {
  /** Which one since the clock's beginning. */
  readonly number: number;
  upstreamBytes: number;
  upstreamPulls: number;
}

/**
 * What was answered in each minute of the last day. Minutes are counted by the clock that never goes backwards, so that a
 * wall clock that is set neither tears a hole nor has two steps share a minute.
 */
export class TrafficHistory {
  readonly #clock: Clock;
  readonly #begunAt: number;
  /** Those in which anything happened, oldest first. */
  readonly #steps: Step[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#begunAt = clock.monotonic();
  }

  /** The step that it is now, to be added to. */
  get current(): Step {
    const number = this.#number();
    const last = this.#steps.at(-1);
    if (last?.number === number) return last;
    const step = { number, ...noTraffic(), upstreamBytes: 0, upstreamPulls: 0 };
    this.#steps.push(step);
    if (this.#steps.length > STEP_LIMIT) this.#steps.shift();
    return step;
  }

  /** Every step since then, oldest first, also those in which nothing happened; the last one is not over yet. */
  list(sinceMs: number): readonly TrafficStep[] {
    const now = this.#number();
    const count = Math.min(STEP_LIMIT, now + 1, Math.max(1, Math.ceil(sinceMs / STEP_MS)));
    const byNumber = new Map(this.#steps.map((step) => [step.number, step]));
    const elapsed = this.#clock.monotonic() - this.#begunAt;
    const base = this.#clock.now() - elapsed;
    return Array.from({ length: count }, (_, at) => {
      const number = now - count + 1 + at;
      const { number: _number, ...sums } = byNumber.get(number) ?? NOTHING;
      const startMs = number * STEP_MS;
      return {
        at: Math.round(base + startMs),
        durationMs: Math.max(1, Math.round(Math.min(STEP_MS, elapsed - startMs))),
        ...sums,
      };
    });
  }

  #number(): number {
    return Math.floor((this.#clock.monotonic() - this.#begunAt) / STEP_MS);
  }
}

const NOTHING: Step = { number: -1, ...noTraffic(), upstreamBytes: 0, upstreamPulls: 0 };

/** @returns when the first of the steps of `sinceMs` begins, where it is the first there ever was: the process is younger */
export function beginningOf(steps: readonly TrafficStep[], sinceMs: number): number | undefined {
  return steps.length < Math.min(STEP_LIMIT, Math.ceil(sinceMs / STEP_MS)) ? steps[0]?.at : undefined;
}
