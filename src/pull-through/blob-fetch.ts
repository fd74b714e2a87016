import { abortable } from '../abortable.ts';
import type { Clock } from '../clock.ts';
import type { Chunk } from '../content/content.ts';
import type { Interval } from '../content/intervals.ts';
import type { Slab, SlabPool } from '../content/slabs.ts';
import { deferred } from '../deferred.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobTransfer } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import { attachCause } from '../request-cause.ts';
import type { BlobFetchParts, BlobFetchTask } from './blob-fetch-task.ts';
import { Condition } from './condition.ts';
import type { Allowance } from './bandwidth.ts';
import { FetchReader, HOLD_BACK_BYTES, type ReadableFetch, type Wanted } from './fetch-reader.ts';
import { FillBytes } from './fill-bytes.ts';
import { FillReaders } from './fill-readers.ts';
import { shouldFinish } from './fill-policy.ts';
import { FillSplit } from './fill-split.ts';
import { Linger } from './linger.ts';
import { PullThroughError } from './pull-through-error.ts';
import type { EndedFill } from './pull-through-observer.ts';
import type { BlobSource, Segment, SegmentHost } from './segment.ts';
import { isCovered, planSegments } from './segment-plan.ts';
import { SegmentRuns } from './segment-runs.ts';

type State = 'pending' | 'verified' | 'failed';

/**
 * A blob in flight: the one transfer that brings it in, owned by the cache, and any number of readers that follow it.
 * See "A fill, closer" in the architecture document; no reader is in this state, and none can hold it up (but for
 * bytes that cannot be stored: those must wait for who reads them).
 */
export class BlobFetch implements SegmentHost, ReadableFetch {
  readonly digest: Digest;
  readonly clock: Clock;
  readonly slabs: SlabPool;
  readonly sources: BlobSource[];
  readonly allowance: Allowance;
  /** Settles, without an error, when the fill has ended and nothing of it is left but what readers hold. */
  readonly ended: Promise<void>;
  readonly #parts: BlobFetchParts;
  readonly #task: BlobFetchTask;
  readonly #isPassing: boolean;
  readonly #controller = new AbortController();
  readonly #readers = new FillReaders();
  readonly #segments: SegmentRuns;
  readonly #split: FillSplit;
  #segmentFailure: { readonly error: unknown } | undefined;
  readonly #bytes: FillBytes;
  readonly #size = deferred<number>();
  readonly #changed = new Condition();
  readonly #verified = deferred<void>();
  readonly #unstored = deferred<void>();
  #sizeBytes: number | undefined;
  #state: State = 'pending';
  #failure: unknown;
  #isOver = false;
  #canJump = true;
  #outcome: EndedFill['outcome'] = 'passed';
  #waiterCount = 0;
  readonly #linger: Linger;

  constructor(parts: BlobFetchParts, task: BlobFetchTask) {
    this.#parts = parts;
    this.#task = task;
    this.#isPassing = task.passingBytes !== undefined;
    this.digest = task.digest;
    this.clock = parts.clock;
    this.slabs = parts.slabs;
    this.sources = [task.source];
    attachCause(this.#controller.signal, task.source.cause);
    this.allowance = task.allowance;
    this.#linger = new Linger(parts.clock, parts.settings.lingerMs, () => this.#onLingered());
    this.#bytes = new FillBytes({
      digest: task.digest,
      upstream: task.source.upstream.name,
      signal: this.#controller.signal,
      cache: parts.cache,
      slabs: parts.slabs,
      unstoredBudget: parts.unstoredBudget,
      passingBytes: task.passingBytes,
      heldBackBytes: HOLD_BACK_BYTES,
      changed: this.#changed,
      slowestReader: () => this.#readers.slowest,
      onUnstored: (cause) => {
        this.#canJump = false;
        this.#unstored.resolve();
        if (cause !== undefined) parts.observer.cacheFailure('content', cause);
        this.#lingerIfUnread();
      },
    });
    this.#segments = new SegmentRuns({
      host: this,
      signal: this.#controller.signal,
      share: task.share,
      onOver: (segment, failure) => this.#onSegmentOver(segment, failure),
    });
    this.#split = new FillSplit({
      clock: parts.clock,
      share: task.share,
      allowance: task.allowance,
      presentBytes: () => this.presentBytes,
      onChange: () => this.#notify(),
    });
    this.#size.promise.catch(() => undefined);
    this.#verified.promise.catch(() => undefined);
    if (this.#isPassing && task.expectedBytes !== undefined) this.#learnSize(task.expectedBytes);
    this.ended = this.#run();
  }

  get sizeBytes(): number | undefined {
    return this.#sizeBytes;
  }

  get #request(): string | undefined {
    return this.#task.source.cause?.id;
  }

  get readerCount(): number {
    return this.#readers.count;
  }

  get hasReaders(): boolean {
    return this.#readers.isAny;
  }

  /** That came in so far. */
  get presentBytes(): number {
    return this.#bytes.available.total;
  }

  /** Why this fill cannot be cached, when that is so. May become so while it runs. */
  get bypassReason(): FillBytes['unstoredReason'] {
    return this.#bytes.unstoredReason;
  }

  /** False when a new reader could no longer be given all of it. */
  get isJoinable(): boolean {
    const isEnding = this.#isOver || this.#controller.signal.aborted;
    return !isEnding && !this.#bytes.hasDropped && !this.#isPassing;
  }

  /**
   * A reader, as soon as the size is known. It counts from now on, so the fill goes on for it. One that wants all of a
   * blob without bytes is given only when that is verified: there is no last byte to hold back.
   * @param sizeBytes where the caller knows it for sure (it counted positions by it)
   * @throws what ended the fill; the signal's reason
   */
  async open(wanted: Wanted, sizeBytes: number | undefined, signal: AbortSignal): Promise<FetchReader> {
    const arrived = this.#readers.expect();
    this.#linger.end();
    if (sizeBytes !== undefined) this.#learnSize(sizeBytes);
    this.#notify();
    try {
      const size = await abortable(this.#size.promise, signal);
      if (wanted === 'whole' && size === 0) await abortable(this.#verified.promise, signal);
      const reader = new FetchReader(this, size, wanted);
      this.#readers.add(reader);
      return reader;
    } finally {
      arrived();
      this.#notify();
      this.#lingerIfUnread();
    }
  }

  /** Waits, as a reader but reading nothing, until it is stored or cannot be. @throws what ended the fill; the signal's reason */
  async stored(signal: AbortSignal): Promise<void> {
    this.#waiterCount += 1;
    this.#linger.end();
    try {
      if (this.#bytes.isStoring) await abortable(Promise.race([this.ended, this.#unstored.promise]), signal);
      if (this.#state === 'failed' && this.#bytes.isStoring) throw this.#failure;
    } finally {
      this.#waiterCount -= 1;
      this.#lingerIfUnread();
    }
  }

  /** Ends the fill now; its readers fail. */
  abort(reason: Error): void {
    this.#controller.abort(reason);
  }

  // --- readers -----------------------------------------------------------------------------------------------------

  tryRead(reader: FetchReader, position: number, limitBytes: number): Promise<Chunk> | Chunk | undefined {
    if (this.#state === 'failed') throw this.#failure;
    const isHeld = reader.wanted === 'whole' && this.#state !== 'verified';
    const readable = isHeld ? Math.max(0, reader.sizeBytes - HOLD_BACK_BYTES) : reader.sizeBytes;
    const limit = Math.min(readable - position, limitBytes);
    return limit <= 0 ? undefined : this.#bytes.read(position, limit);
  }

  onWaiting(reader: FetchReader): void {
    if (!isCovered(this.#segments.running, reader.position)) this.#notify();
  }

  onMoved(): void {
    this.#bytes.dropConsumed();
  }

  onClosed(reader: FetchReader): void {
    this.#readers.delete(reader);
    this.onMoved();
    this.#notify();
    this.#lingerIfUnread();
  }

  // --- segments ----------------------------------------------------------------------------------------------------

  async onTransfer(transfer: BlobTransfer, segment: Segment): Promise<void> {
    const sizeBytes = transfer.sizeBytes ?? this.#sizeBytes ?? this.#task.expectedBytes;
    if (this.#sizeBytes !== undefined && sizeBytes !== this.#sizeBytes) {
      const what = `the upstream says ${sizeBytes} bytes where ${this.#sizeBytes} are due`;
      throw new PullThroughError('corrupt', what);
    }
    await this.#bytes.open(sizeBytes);
    if (sizeBytes !== undefined) this.#learnSize(sizeBytes);
    segment.end = Math.min(segment.end, this.#sizeBytes ?? Infinity);
    if (transfer.start < segment.position) this.#onRangeIgnored(segment);
    else this.#segments.answered(segment);
  }

  async onBytes(
    slab: Slab,
    length: number,
    start: number,
    segment: Segment,
    before: Promise<void>,
  ): Promise<void> {
    const range = { start, end: start + length };
    if (this.#sizeBytes === undefined) await this.#bytes.growTo(range.end);
    // At the front readers have them at once: whatever the disk does, these bytes are kept. Ahead of it only the disk can.
    const isAtFront = start === segment.position && start === this.#bytes.front;
    if (isAtFront) this.#announce(slab, range, segment);
    const storing = this.#bytes.store(slab, length, start);
    await Promise.all([before, storing]);
    const isStored = await storing;
    if (isStored === undefined) segment.end = segment.position;
    if (!isAtFront && (isStored === undefined || start !== segment.position)) return;
    if (!isAtFront) this.#announce(slab, range, segment);
    this.#bytes.settled(slab, range, isStored === true);
    this.#readers.wake();
  }

  async room(): Promise<void> {
    await this.#bytes.room(this.#sizeBytes !== undefined, this.#controller.signal);
  }

  #announce(slab: Slab, range: Interval, segment: Segment): void {
    this.#bytes.arrived(slab, range);
    segment.position = range.end;
    this.#readers.wake();
  }

  onBreak(cause: unknown): void {
    this.#parts.observer.fillResumed(this.digest, cause, this.#request);
  }

  /** A resumed segment throws away what it gets twice. A jump gives way to the front: it would get all before it, too. */
  #onRangeIgnored(segment: Segment): void {
    this.#canJump = false;
    if (!this.#isPassing && segment.position !== this.#bytes.front) segment.end = segment.position;
  }

  // --- the fill ----------------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    try {
      // Whoever made this fill opens its first reader in the same turn.
      await Promise.resolve();
      await this.#bytes.admit(this.#controller.signal);
      await this.#bringIn();
      if (this.#isPassing) return;
      await this.#verify();
    } catch (error) {
      this.#fail(error);
    } finally {
      await this.#settle();
    }
  }

  /** Runs segments until all of the blob is here. @throws what ended a segment. */
  async #bringIn(): Promise<void> {
    const { signal } = this.#controller;
    for (;;) {
      signal.throwIfAborted();
      if (this.#sizeBytes !== undefined && this.#bytes.available.endAt(0) >= this.#sizeBytes) return;
      if (this.#segmentFailure !== undefined) throw this.#segmentFailure.error;
      this.#plan();
      await this.#changed.wait(signal);
    }
  }

  #plan(): void {
    const running = [...this.#segments.running];
    const { available } = this.#bytes;
    const plan = planSegments({
      sizeBytes: this.#sizeBytes ?? Infinity,
      present: available.list,
      running,
      demands: this.#readers.demands(available),
      isWholeWanted: !this.#isPassing,
      canJump: this.#isPassing || (this.#canJump && this.#sizeBytes !== undefined),
      split: this.#split.plan(running.length),
    });
    this.#segments.carryOut(plan, running, this.#sizeBytes ?? this.#task.expectedBytes);
  }

  #onSegmentOver(segment: Segment, failure: { readonly error: unknown } | undefined): void {
    if (failure === undefined) {
      if (segment.end === Infinity) this.#learnSize(segment.position);
    } else {
      // A jump is dispensable: the front reaches its bytes in time.
      const isJump = segment.isOptional || (segment.position !== this.#bytes.front && !this.#isPassing);
      if (segment.isOptional) this.#split.giveUp();
      if (isJump && failure.error instanceof UpstreamError) this.#canJump = false;
      else this.#segmentFailure ??= failure;
    }
    this.#notify();
  }

  async #verify(): Promise<void> {
    const sizeBytes = this.#sizeBytes ?? 0;
    const actual = await this.#bytes.verify(sizeBytes);
    if (actual !== this.digest) {
      throw new PullThroughError('corrupt', `the upstream sent bytes with another digest, ${String(actual)}`);
    }
    this.#state = 'verified';
    this.#verified.resolve();
    this.#readers.wake();
    // The hash may be done before the last bytes are in the file.
    await this.#segments.over();
    if (await this.#bytes.commit(sizeBytes)) this.#outcome = 'stored';
  }

  #fail(error: unknown): void {
    const { observer } = this.#parts;
    if (error instanceof PullThroughError && error.reason === 'corrupt') {
      observer.integrityFailure('fill', this.digest, error);
      for (const { upstream } of this.sources) upstream.blobWasWrong(this.digest);
    }
    if (this.#state !== 'verified') {
      this.#state = 'failed';
      this.#failure = error;
      this.#outcome = this.#controller.signal.aborted ? 'given-up' : 'failed';
      if (this.#outcome === 'failed') observer.fillFailed(this.digest, error, this.#request);
    }
    this.#size.reject(error);
    this.#verified.reject(error);
    this.#controller.abort(error);
  }

  /** The one place where a fill ends. Its file stays open while readers follow it. */
  async #settle(): Promise<void> {
    this.#isOver = true;
    this.#split.end();
    await this.#segments.over();
    this.#linger.end();
    this.#bytes.end();
    this.#readers.wake();
    this.#parts.observer.fillEnded({ outcome: this.#outcome, readers: this.#readers.addedCount });
    void this.#closeWhenUnread();
  }

  async #closeWhenUnread(): Promise<void> {
    while (this.hasReaders) await this.#changed.wait();
    await this.#bytes.close();
  }

  #learnSize(sizeBytes: number): void {
    if (this.#sizeBytes !== undefined) return;
    this.#sizeBytes = sizeBytes;
    this.#size.resolve(sizeBytes);
    if (!this.#isPassing) this.#split.begin(sizeBytes);
  }

  /** Makes the fill look again at what should run. */
  #notify(): void {
    this.#changed.notify();
  }

  #lingerIfUnread(): void {
    if (this.hasReaders || this.#state !== 'pending') return;
    if (!this.#bytes.isStoring) {
      this.abort(new PullThroughError('closing', 'nobody reads the blob, and it cannot be cached'));
      return;
    }
    if (this.#waiterCount === 0) this.#linger.begin();
  }

  #onLingered(): void {
    const { finishFillBytes } = this.#parts.settings;
    const facts = { sizeBytes: this.#sizeBytes, presentBytes: this.presentBytes, finishFillBytes };
    if (!shouldFinish(facts)) this.abort(new PullThroughError('closing', 'nobody reads the blob any more'));
  }
}
