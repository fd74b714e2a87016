import { randomBytes } from 'node:crypto';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Clock } from '../clock.ts';
import { parseImageReference } from '../oci/image-reference.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { OciError } from '../oci/error.ts';
import { printReference } from '../oci/reference.ts';
import type { WarmEvent, WarmJob } from './warm-events.ts';
import type { WarmOperations, WarmRequest, WarmTarget } from './warm-operations.ts';

/** That run at the same time; what they ask of upstreams is bounded together. */
const RUNNING_LIMIT = 16;
/** That have ended and are still told of, and for how long. */
const ENDED_LIMIT = 50;
const ENDED_MS = 24 * 3_600_000;
/** Failures that a job tells of. */
const FAILURES_LIMIT = 100;

/** Runs of warming, those that go on and those that ended last. All fail with StoreOperationError. */
export interface WarmJobOperations {
  /** Those that run, the newest first, then those that ended, the latest first. */
  jobs(): readonly WarmJob[];
  /** @throws `not-found` */
  job(id: string): WarmJob;
  /** Begins it, and waits for nothing. @throws `busy`, `invalid` */
  start(request: WarmRequest): WarmJob;
  /** Ends one that runs; what it stored is kept. One that has ended stays as it is. @throws `not-found` */
  cancel(id: string): WarmJob;
  /** As images are written. @throws `invalid` with each that is none */
  targets(images: readonly string[]): readonly WarmTarget[];
}

interface Job {
  told: WarmJob;
  readonly ending: AbortController;
}

export interface WarmJobsParts {
  readonly warming: WarmOperations;
  readonly clock: Pick<Clock, 'now'>;
  /** By which images are read. */
  readonly upstreams: () => readonly NamedUpstream[];
}

/** The registry of warm runs of this process: also of those that are followed by who asked for them. */
export class WarmJobs implements WarmJobOperations, WarmOperations {
  readonly #parts: WarmJobsParts;
  readonly #running = new Map<string, Job>();
  /** The one that ended last is last. */
  readonly #ended = new Map<string, WarmJob>();
  readonly #background = new Set<Promise<void>>();

  constructor(parts: WarmJobsParts) {
    this.#parts = parts;
  }

  jobs(): readonly WarmJob[] {
    this.#forget();
    const running = [...this.#running.values()].map(({ told }) => told);
    return [...running.toReversed(), ...[...this.#ended.values()].toReversed()];
  }

  job(id: string): WarmJob {
    this.#forget();
    const found = this.#running.get(id)?.told ?? this.#ended.get(id);
    if (found === undefined) throw new StoreOperationError('not-found', `there is no warm job ${id}`);
    return found;
  }

  start(request: WarmRequest): WarmJob {
    const job = this.#begin(request);
    const work = this.#drain(job, request);
    this.#background.add(work);
    void work.finally(() => this.#background.delete(work));
    return job.told;
  }

  cancel(id: string): WarmJob {
    const running = this.#running.get(id);
    if (running === undefined) return this.job(id);
    this.#end(running, { state: 'cancelled' });
    running.ending.abort(new StoreOperationError('failed', 'the warm job was cancelled'));
    return this.job(id);
  }

  targets(images: readonly string[]): readonly WarmTarget[] {
    const upstreams = this.#parts.upstreams();
    return images.map((text, at) => {
      const place = `images.${at}`;
      try {
        const image = parseImageReference(text, upstreams);
        if (!('problem' in image)) return image;
        throw new StoreOperationError('invalid', `${place}: ${image.problem}`);
      } catch (error) {
        if (error instanceof OciError) throw new StoreOperationError('invalid', `${place}: ${error.message}`);
        throw error;
      }
    });
  }

  /** The run as it goes, for who follows it: it ends when nobody does, and can be cancelled by others. */
  async *warm(request: WarmRequest, signal: AbortSignal): AsyncGenerator<WarmEvent, void, undefined> {
    const job = this.#begin(request);
    try {
      yield* this.#run(job, request, signal);
    } finally {
      this.#end(job, { state: 'cancelled' });
    }
  }

  /** Ends what was started in the background, and waits for it. */
  async close(): Promise<void> {
    for (const { ending } of this.#running.values())
      ending.abort(new StoreOperationError('failed', 'entrepot is shutting down'));
    await Promise.all(this.#background);
  }

  async #drain(job: Job, request: WarmRequest): Promise<void> {
    const events = this.#run(job, request, job.ending.signal)[Symbol.asyncIterator]();
    try {
      while ((await events.next()).done !== true);
    } catch {
      // Told by the job.
    }
  }

  async *#run(
    job: Job,
    request: WarmRequest,
    signal: AbortSignal,
  ): AsyncGenerator<WarmEvent, void, undefined> {
    const joined = AbortSignal.any([signal, job.ending.signal]);
    try {
      for await (const event of this.#parts.warming.warm(request, joined)) {
        job.told = updated(job.told, event);
        if (event.event === 'done') this.#end(job, { state: 'done' });
        yield event;
      }
    } catch (error) {
      const problem = error instanceof StoreOperationError ? error.message : undefined;
      const isLeft = signal.aborted && problem === undefined;
      this.#end(
        job,
        isLeft ? { state: 'cancelled' } : { state: 'failed', problem: problem ?? 'an unexpected error' },
      );
      throw error;
    }
  }

  #begin(request: WarmRequest): Job {
    if (this.#running.size >= RUNNING_LIMIT)
      throw new StoreOperationError('busy', `${RUNNING_LIMIT} warm jobs are running; try again later`);
    const id = randomBytes(8).toString('hex');
    const told: WarmJob = {
      id,
      title: titleOf(request.targets),
      state: 'running',
      dryRun: request.dryRun,
      begunAt: this.#parts.clock.now(),
      images: { done: 0, failed: 0, total: request.targets.length },
      blobs: { done: 0, total: 0 },
      presentBytes: 0,
      fetchedBytes: 0,
      totalBytes: 0,
      failures: [],
      failureCount: 0,
    };
    const job = { told, ending: new AbortController() };
    this.#running.set(id, job);
    return job;
  }

  /** Once; what comes after it changes nothing. */
  #end(job: Job, { state, problem }: Pick<WarmJob, 'state' | 'problem'>): void {
    if (!this.#running.delete(job.told.id)) return;
    const { waiting: _, ...told } = job.told;
    job.told = {
      ...told,
      state,
      endedAt: this.#parts.clock.now(),
      ...(problem !== undefined && { problem }),
    };
    this.#ended.set(job.told.id, job.told);
    this.#forget();
  }

  #forget(): void {
    const before = this.#parts.clock.now() - ENDED_MS;
    for (const [id, { endedAt = 0 }] of this.#ended) {
      if (this.#ended.size <= ENDED_LIMIT && endedAt >= before) break;
      this.#ended.delete(id);
    }
  }
}

function titleOf([first, ...others]: readonly WarmTarget[]): string {
  if (first === undefined) return 'nothing';
  const name = `${first.upstream}/${first.repository}`;
  if ('tags' in first) return withMore(`${name} (${first.tags})`, others.length);
  const separator = 'tag' in first.reference ? ':' : '@';
  return withMore(`${name}${separator}${printReference(first.reference)}`, others.length);
}

function withMore(name: string, count: number): string {
  return count === 0 ? name : `${name} and ${count} more`;
}

function updated(told: WarmJob, event: WarmEvent): WarmJob {
  switch (event.event) {
    case 'begun':
      return { ...told, images: { ...told.images, total: event.images } };
    case 'progress': {
      const { images, blobs, presentBytes, fetchedBytes, totalBytes } = event;
      return { ...told, images, blobs, presentBytes, fetchedBytes, totalBytes };
    }
    case 'waiting':
      return { ...told, waiting: { upstream: event.upstream, why: event.why, untilMs: event.untilMs } };
    case 'resumed': {
      const { waiting: _, ...others } = told;
      return others;
    }
    case 'failed': {
      const { image, digest, reason, message } = event;
      const failure = { image, ...(digest !== undefined && { digest }), reason, message };
      const failures = told.failures.length < FAILURES_LIMIT ? [...told.failures, failure] : told.failures;
      return { ...told, failures, failureCount: told.failureCount + 1 };
    }
    case 'done': {
      const { images, blobs, presentBytes, fetchedBytes } = event;
      const blobCount = blobs.present + blobs.fetched + blobs.failed;
      return {
        ...told,
        images: { done: images.total, failed: images.failed, total: images.total },
        blobs: { done: blobs.present + blobs.fetched, total: blobCount },
        presentBytes,
        fetchedBytes,
        totalBytes: Math.max(told.totalBytes, presentBytes + fetchedBytes),
      };
    }
    case 'selected':
    case 'image':
      return told;
  }
}
