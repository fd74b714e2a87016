import type { SourceProblem } from '../image-sources/named-image.ts';
import type { WarmEvent } from './warm-events.ts';

/** How a run of a schedule went. `failed`: something of it could not be had; all else of it is here. */
export type ScheduleOutcome = 'done' | 'failed';

export interface ScheduleResult {
  readonly outcome: ScheduleOutcome;
  readonly images: number;
  /** Of the images. */
  readonly failedImages: number;
  /** Files that cannot be read, and what in them is no image of an upstream. */
  readonly problems: number;
  readonly fetchedBytes: number;
  readonly durationMs: number;
  /** What went wrong first, for people. Absent: nothing did. */
  readonly firstProblem?: string | undefined;
}

type EventOf<Name extends WarmEvent['event']> = Extract<WarmEvent, { event: Name }>;

/** Told of what schedules do, for the log and the metrics. Must not throw. `schedule`: its name. */
export interface ScheduleObserver {
  /** When it is due next; `undefined`: never again. Milliseconds since 1970. */
  due(schedule: string, at: number | undefined): void;
  /** At the start: what cannot be read now, and may be there when it is due. */
  missing(schedule: string, problem: SourceProblem): void;
  begun(schedule: string): void;
  /** Of a run, the first of these only. */
  problem(schedule: string, problem: SourceProblem): void;
  /** Of a run, the first of these only. */
  imageFailed(schedule: string, failure: EventOf<'failed'>): void;
  waiting(schedule: string, wait: EventOf<'waiting'>): void;
  ended(schedule: string, result: ScheduleResult): void;
  /** A fault of this program ended a run; `ended` follows. */
  unexpected(schedule: string, error: unknown): void;
}
