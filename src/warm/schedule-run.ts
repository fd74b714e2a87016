import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Clock } from '../clock.ts';
import type { WarmSchedule } from '../config.ts';
import { chosenImages } from '../image-sources/chosen-images.ts';
import type { SourceProblem } from '../image-sources/named-image.ts';
import { readSources } from '../image-sources/read-sources.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { printImageName } from '../oci/image-reference.ts';
import type { ScheduleObserver, ScheduleResult } from './schedule-observer.ts';
import type { WarmEvent } from './warm-events.ts';
import { TARGET_LIMIT, type WarmOperations } from './warm-operations.ts';
import { warmTargets } from './warm-targets.ts';

export interface ScheduleParts {
  readonly warming: WarmOperations;
  readonly upstreams: readonly NamedUpstream[];
  readonly clock: Clock;
  readonly observer: ScheduleObserver;
}

/** Told of one run; all of them are counted. */
const TOLD_LIMIT = 20;

/**
 * Reads what a schedule names, and has it warmed. What cannot be read or had makes the run one that failed, and the rest
 * is warmed all the same.
 * @param onWaiting told until when it waits for an upstream; `undefined`: no longer
 * @throws the signal's reason, and nothing else
 */
export async function runSchedule(
  schedule: WarmSchedule,
  parts: ScheduleParts,
  onWaiting: (untilMs: number | undefined) => void,
  signal: AbortSignal,
): Promise<ScheduleResult> {
  const { clock, observer } = parts;
  const startedMs = clock.monotonic();
  const run = new RunCounts(schedule.name, observer);
  try {
    const targets = warmTargets(await imagesOf(schedule, parts, run, signal), schedule.tags);
    const { platforms, withReferrers, concurrency } = schedule;
    const request = {
      targets: targets.slice(0, TARGET_LIMIT),
      platforms,
      withReferrers,
      dryRun: false,
      concurrency,
    };
    if (targets.length > 0)
      for await (const event of parts.warming.warm(request, signal)) {
        if (event.event === 'waiting') onWaiting(event.untilMs);
        else if (event.event === 'resumed') onWaiting(undefined);
        run.take(event);
      }
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof StoreOperationError)) observer.unexpected(schedule.name, error);
    run.problem({
      place: '',
      message: error instanceof StoreOperationError ? error.message : 'an unexpected error',
    });
  }
  return run.result(clock.monotonic() - startedMs);
}

async function imagesOf(
  { images, from }: WarmSchedule,
  { upstreams }: ScheduleParts,
  run: RunCounts,
  signal: AbortSignal,
) {
  // A server's environment holds secrets, and whoever may write a Compose file need not be who may see them.
  const sources = await readSources(from, { workingDir: '/', environment: {} }, signal);
  const configured = images.map((image) => ({ text: printImageName(image), place: 'argument' }));
  const chosen = chosenImages([...configured, ...sources.images], upstreams);
  for (const problem of [...sources.problems, ...chosen.problems]) run.problem(problem);
  if (chosen.images.length > TARGET_LIMIT)
    run.problem({
      place: '',
      message: `${chosen.images.length} images: the first ${TARGET_LIMIT} are warmed`,
    });
  return chosen.images;
}

/** What is counted of a run, and told of it. */
class RunCounts {
  readonly #name: string;
  readonly #observer: ScheduleObserver;
  #problems = 0;
  #failures = 0;
  #isOver = false;
  #images = 0;
  #failedImages = 0;
  #fetchedBytes = 0;
  #first: string | undefined;

  constructor(name: string, observer: ScheduleObserver) {
    this.#name = name;
    this.#observer = observer;
  }

  problem(problem: SourceProblem): void {
    const { place, message } = problem;
    this.#problems += 1;
    this.#first ??= place === '' ? message : `${place}: ${message}`;
    if (this.#problems <= TOLD_LIMIT) this.#observer.problem(this.#name, problem);
  }

  take(event: WarmEvent): void {
    if (event.event === 'waiting') this.#observer.waiting(this.#name, event);
    else if (event.event === 'failed') {
      this.#failures += 1;
      this.#first ??= `${event.image}: ${event.message}`;
      if (this.#failures <= TOLD_LIMIT) this.#observer.imageFailed(this.#name, event);
    } else if (event.event === 'progress') this.#fetchedBytes = event.fetchedBytes;
    else if (event.event === 'done') {
      this.#isOver = true;
      this.#images = event.images.total;
      this.#failedImages = event.images.failed;
      this.#fetchedBytes = event.fetchedBytes;
    }
  }

  result(durationMs: number): ScheduleResult {
    const isWhole = this.#problems === 0 && this.#failures === 0 && this.#failedImages === 0 && this.#isOver;
    return {
      outcome: isWhole ? 'done' : 'failed',
      images: this.#images,
      failedImages: this.#failedImages,
      problems: this.#problems,
      fetchedBytes: this.#fetchedBytes,
      durationMs: Math.round(durationMs),
      ...(this.#first !== undefined && { firstProblem: this.#first }),
    };
  }
}
