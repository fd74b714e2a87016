import pLimit, { type LimitFunction } from 'p-limit';
import { parseTagSelection } from '../oci/tag-selection.ts';
import type { Digest } from '../oci/digest.ts';
import { isTag, printReference } from '../oci/reference.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { BudgetEvent } from './pull-budget.ts';
import type { EventQueue } from './event-queue.ts';
import type { PullThrough } from '../pull-through/pull-through.ts';
import type { Clock } from '../clock.ts';
import type { UpstreamLimits } from '../config.ts';
import type { Courtesy } from './courtesy.ts';
import type { PullBudget } from './pull-budget.ts';
import { failureOf, type WarmFailure } from './warm-failure.ts';
import type { WarmEvent } from './warm-events.ts';
import { imageName, WarmImage, type WarmedImage } from './warm-image.ts';
import { DEFAULT_CONCURRENCY, type WarmRequest, type WarmTarget } from './warm-operations.ts';
import { WarmProgress } from './warm-progress.ts';
import { warmReferrers } from './warm-referrers.ts';

/** Images of an upstream that are looked at together: their manifests are small, and come one after the other. */
const IMAGES_AT_ONCE = 4;
/** While some of them wait for the upstream. */
const IMAGES_WHILE_WAITING = 64;
/** So often it is told how far it is. */
const TELL_MS = 500;
const DEFAULT_CONNECTIONS = 96;

export interface WarmingParts {
  readonly pullThrough: PullThrough;
  /** By name; asked directly only for what costs nothing. */
  readonly upstreams: Pick<ReadonlyMap<string, Upstream>, 'get'>;
  readonly clock: Clock;
  /** Told of what is a fault of this program; the image that it happened to counts as failed. */
  readonly onUnexpected: (error: unknown) => void;
}

export interface WarmRunParts extends WarmingParts {
  readonly budget: PullBudget;
  readonly courtesy: Courtesy;
  readonly queue: EventQueue<WarmEvent>;
  readonly signal: AbortSignal;
  /** How hard an upstream may be asked, as it is configured. */
  readonly limitsOf: (upstream: string) => UpstreamLimits;
}

/** What of an upstream goes on at the same time; upstreams do not wait for each other. */
interface Lane {
  readonly upstream: Upstream | undefined;
  readonly images: LimitFunction;
  readonly pulls: LimitFunction;
  readonly blobs: LimitFunction;
}

/** One call of `warm`, from its targets to its summary. */
export class WarmRun {
  readonly #request: WarmRequest;
  readonly #parts: WarmRunParts;
  readonly #progress = new WarmProgress();
  readonly #lanes = new Map<string, Lane>();
  readonly #inFlight = new Map<Digest, Promise<void>>();
  /** What was named twice is warmed once. */
  readonly #named = new Set<string>();
  readonly #whole: WarmImage[] = [];
  #isAtLeast = false;

  constructor(request: WarmRequest, parts: WarmRunParts) {
    this.#request = request;
    this.#parts = parts;
  }

  /** Tells everything, `done` last. @throws the signal's reason */
  async run(): Promise<void> {
    const { clock, queue, budget, signal } = this.#parts;
    const { targets, dryRun } = this.#request;
    const startedAtMs = clock.monotonic();
    const over = new AbortController();
    const ending = AbortSignal.any([signal, over.signal]);
    const stopListening = budget.listen((event) => this.#onBudget(event));
    try {
      const images = targets.flatMap((target) => ('reference' in target ? this.#once(target) : []));
      this.#progress.images.total = images.length;
      queue.push({ event: 'begun', images: images.length, dryRun });
      const telling = this.#tellNowAndThen(ending);
      await Promise.all([
        ...images.map((image) => this.#warm(image)),
        ...targets.map((target) => ('tags' in target ? this.#warmTags(target) : undefined)),
      ]);
      signal.throwIfAborted();
      if (!dryRun) await this.#seeKept();
      over.abort();
      await telling;
      signal.throwIfAborted();
      this.#tellDone(Math.round(clock.monotonic() - startedAtMs));
    } finally {
      over.abort();
      stopListening();
    }
  }

  async #warm(image: WarmedImage): Promise<void> {
    const { signal } = this.#parts;
    const { upstream: name } = image.key;
    const lane = this.#lane(name);
    await lane.images(async () => {
      if (signal.aborted) return;
      const { upstream } = lane;
      if (upstream === undefined) return this.#reject(image, unknownUpstream(name));
      const { withReferrers, platforms, dryRun } = this.#request;
      const parts = {
        ...this.#parts,
        upstream,
        platforms,
        dryRun,
        progress: this.#progress,
        pulls: lane.pulls,
        blobs: lane.blobs,
        inFlight: this.#inFlight,
        tell: (event: WarmEvent) => this.#tell(event),
        failureOf: (error: unknown) => this.#failureOf(error),
      };
      const warming = new WarmImage(image, imageName(image), parts);
      await warming.run(async (manifests) => {
        if (withReferrers) await warmReferrers(warming, manifests, parts);
      });
      if (warming.isWhole) this.#whole.push(warming);
    });
  }

  /** What came last may have pushed out what came first. */
  async #seeKept(): Promise<void> {
    for (const image of this.#whole) {
      this.#parts.signal.throwIfAborted();
      await image.seeKept();
    }
  }

  async #warmTags(target: Extract<WarmTarget, { tags: string }>): Promise<void> {
    const { pullThrough, budget, queue, signal } = this.#parts;
    const { upstream, repository, place } = target;
    const key = { upstream, repository };
    const name = `${upstream}/${repository}`;
    let images: readonly WarmedImage[];
    try {
      const selection = parseTagSelection(target.tags);
      if ('problem' in selection) throw new Rejection('invalid', selection.problem);
      const { value, outcome } = await this.#lane(upstream).images(() =>
        budget.patiently(upstream, () => pullThrough.tags(key, signal), signal),
      );
      const tags = value.filter(isTag).filter((tag) => selection.matches(tag));
      queue.push({ event: 'selected', repository: name, tags: tags.length, of: value.length });
      if (tags.length === 0)
        throw new Rejection('no-tags', `none of its ${value.length} tags is of ${target.tags}`);
      images = tags.flatMap((tag) => this.#once({ ...target, reference: { tag } }));
      // There may be others by now.
      if (outcome === 'stale') {
        this.#progress.images.total += 1;
        this.#rejectNamed(name, place, NO_LIST);
      }
    } catch (error) {
      this.#progress.images.total += 1;
      this.#rejectNamed(name, place, this.#failureOf(error));
      return;
    }
    this.#progress.images.total += images.length;
    await Promise.all(images.map((image) => this.#warm(image)));
  }

  /** Nothing for what was named before. */
  #once(target: WarmTarget & WarmedReference): readonly WarmedImage[] {
    const { upstream, repository, reference, place } = target;
    const name = `${upstream} ${repository} ${printReference(reference)}`;
    if (this.#named.has(name)) return [];
    this.#named.add(name);
    return [{ key: { upstream, repository }, reference, place }];
  }

  #reject(image: WarmedImage, failure: WarmFailure): void {
    this.#rejectNamed(imageName(image), image.place, failure);
  }

  #rejectNamed(image: string, place: string | undefined, failure: WarmFailure): void {
    this.#progress.images.failed += 1;
    this.#progress.failed(failure.reason);
    this.#tell({ event: 'failed', image, ...(place !== undefined && { place }), ...failure });
  }

  #lane(name: string): Lane {
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const { upstreams, limitsOf } = this.#parts;
    const { connections = DEFAULT_CONNECTIONS, pullsPerSecond } = limitsOf(name);
    // Half of what blobs may have of the connections, so that clients need not wait for one.
    const forBlobs = connections - Math.max(1, Math.floor(connections / 3));
    const { concurrency = DEFAULT_CONCURRENCY } = this.#request;
    const lane = {
      upstream: upstreams.get(name),
      images: pLimit(IMAGES_AT_ONCE),
      // Where manifests wait their turn, one at a time: clients wait in the same row.
      pulls: pLimit(pullsPerSecond === undefined ? IMAGES_AT_ONCE : 1),
      blobs: pLimit(Math.max(1, Math.min(concurrency, Math.floor(forBlobs / 2)))),
    };
    this.#lanes.set(name, lane);
    return lane;
  }

  #failureOf(error: unknown): WarmFailure {
    if (error instanceof Rejection) return { reason: error.reason, message: error.message };
    const failure = failureOf(error);
    if (failure !== undefined) return failure;
    if (!this.#parts.signal.aborted) this.#parts.onUnexpected(error);
    return { reason: 'failed', message: 'an unexpected error' };
  }

  // --- telling -----------------------------------------------------------------------------------------------------

  #tell(event: WarmEvent): void {
    // What breaks off since nobody wants it any more is no failure.
    if (this.#parts.signal.aborted) return;
    if (event.event === 'image' && event.atLeast) this.#isAtLeast = true;
    this.#parts.queue.push(event);
  }

  #onBudget(event: BudgetEvent): void {
    const lane = this.#lanes.get(event.upstream);
    if (lane === undefined) return;
    // Those that wait keep nobody back of whom everything is here, or only blobs are missing.
    lane.images.concurrency = event.event === 'waiting' ? IMAGES_WHILE_WAITING : IMAGES_AT_ONCE;
    if (event.event === 'resumed') {
      this.#tell(event);
      return;
    }
    const { allowance, reserve, ...rest } = event;
    this.#tell({
      ...rest,
      ...(allowance !== undefined && { remaining: allowance.remaining }),
      ...(allowance?.limit !== undefined && { limit: allowance.limit }),
      ...(reserve !== undefined && { reserve }),
    });
  }

  async #tellNowAndThen(ending: AbortSignal): Promise<void> {
    const { clock, queue } = this.#parts;
    while (!ending.aborted) {
      if (queue.isEmpty) this.#tellProgress();
      await clock.sleep(TELL_MS, ending).catch(() => undefined);
    }
  }

  #tellProgress(): void {
    const { pullThrough, queue } = this.#parts;
    const bytesOf = (digest: Digest): number => {
      for (const name of this.#lanes.keys()) {
        const bytes = pullThrough.fillProgress(name, digest);
        if (bytes !== undefined) return bytes;
      }
      return 0;
    };
    queue.push(this.#progress.event(bytesOf));
  }

  #tellDone(ms: number): void {
    const { budget } = this.#parts;
    this.#tellProgress();
    const { pulls, ...summary } = this.#progress.summary;
    this.#tell({
      event: 'done',
      dryRun: this.#request.dryRun,
      ...summary,
      pulls: [...this.#lanes.keys()].flatMap((upstream) => {
        const count = pulls.find((known) => known.upstream === upstream)?.pulls ?? 0;
        const allowance = budget.allowanceOf(upstream);
        if (count === 0 && allowance === undefined) return [];
        return [
          {
            upstream,
            pulls: count,
            ...(allowance !== undefined && { remaining: Math.max(0, allowance.remaining) }),
            ...(allowance?.limit !== undefined && { limit: allowance.limit }),
          },
        ];
      }),
      atLeast: this.#isAtLeast,
      ms,
    });
  }
}

type WarmedReference = Extract<WarmTarget, { readonly reference: unknown }>;

/** What was asked for cannot be. */
class Rejection extends Error {
  readonly reason: WarmFailure['reason'];

  constructor(reason: WarmFailure['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

function unknownUpstream(name: string): WarmFailure {
  return { reason: 'unknown-upstream', message: `no upstream is configured as ${name}` };
}

const NO_LIST: WarmFailure = {
  reason: 'unavailable',
  message: 'the upstream did not list its tags: those that are known here are taken',
};
