import type { Clock } from '../clock.ts';
import type { Slab, SlabPool } from '../content/slabs.ts';
import type { RequestCause } from '../request-cause.ts';
import { SLAB_BYTES } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/reference.ts';
import type { BlobTransfer, Upstream } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { Allowance } from './bandwidth.ts';
import { BodyQueue } from './body-queue.ts';
import { Condition } from './condition.ts';
import type { SegmentStart } from './segment-plan.ts';
import { BREAK_LIMIT, PROGRESS_BYTES, RESUME_LIMIT, STALL_LIMIT_MS, waitAfterBreak } from './fill-policy.ts';

/** More would only hold more memory: this keeps the disk busy while the next slab fills. */
const HANDING_OVER_SLABS = 3;

/** What arrives within this time after a hand-over is handed over together, unless it fills a slab. */
const REST_MS = 2;

/** A place that a blob can be had from. */
export interface BlobSource {
  readonly upstream: Upstream;
  readonly repository: RepositoryName;
  /** The client's request that asked for it here. */
  readonly cause?: RequestCause | undefined;
}

/** The fill that a segment works for. */
export interface SegmentHost {
  readonly digest: Digest;
  readonly clock: Clock;
  readonly slabs: SlabPool;
  /** What may be taken of what arrives. */
  readonly allowance: Allowance;
  /** Does anybody wait for it? Then it goes before what nobody waits for. */
  readonly hasReaders: boolean;
  /** In the order to be tried. May grow. */
  readonly sources: readonly BlobSource[];
  /** Called with each answer before its first byte is taken. Throws when it does not fit what is known of the blob. */
  onTransfer(transfer: BlobTransfer, segment: Segment): Promise<void>;
  /**
   * Takes the slab's first `length` bytes to `start`. Awaits `before` (the bytes before them are known), then makes them
   * known and moves the segment's position on in the same step.
   */
  onBytes(slab: Slab, length: number, start: number, segment: Segment, before: Promise<void>): Promise<void>;
  /** Resolves when more may be handed over: what cannot be stored has to wait for who reads it. */
  room(): Promise<void>;
  onBreak(cause: unknown): void;
}

/**
 * One stretch of a blob, brought in by one transfer at a time. A transfer that breaks is replaced by one that begins
 * where it broke, at the same or the next source.
 */
export class Segment {
  readonly #host: SegmentHost;
  readonly #signal: AbortSignal;
  /** Of the whole blob, as far as its size was known to begin with. */
  readonly #expectedBytes: number | undefined;
  /** All bytes before it, from the segment's start on, are known to the host. */
  position: number;
  /** First byte that is not this segment's; Infinity while the size is unknown. May be lowered while it runs. */
  end: number;
  /** Until it is answered another one brings its bytes as well (segment-plan). */
  isTentative: boolean;
  /** Only there to be faster: whoever needs its bytes has them brought another way, should it fail. */
  readonly isOptional: boolean;
  /** True once an upstream has begun to send: from then on a break is resumed. */
  #hasAnswered: boolean;
  /** The validator that the last answer came with, and who gave it. */
  #etag: { readonly value: string | undefined; readonly source: BlobSource } | undefined;

  constructor(
    host: SegmentHost,
    range: SegmentStart & {
      readonly expectedBytes: number | undefined;
      /** An upstream has sent bytes of this blob to another segment. */
      readonly hasAnswered: boolean;
    },
    signal: AbortSignal,
  ) {
    this.#host = host;
    this.#signal = signal;
    this.position = range.start;
    this.end = range.end;
    this.isTentative = range.isTentative ?? false;
    this.isOptional = range.isOptional ?? false;
    this.#hasAnswered = range.hasAnswered;
    this.#expectedBytes = range.expectedBytes;
  }

  /** Resolves when all bytes before `end` have been handed over. @throws what no further try could mend. */
  async run(): Promise<void> {
    const { clock, sources } = this.#host;
    let breaks = 0;
    let resumes = 0;
    let progressAt = clock.monotonic();
    const refusals = new Set<BlobSource>();
    for (let turn = 0; this.position < this.end; turn += 1) {
      const before = this.position;
      // Another one after each break: what stalls here may flow there.
      const willing = sources.filter((each) => !refusals.has(each));
      const source = willing[turn % willing.length];
      if (source === undefined) throw new UpstreamError('unavailable', 'there is no source for the blob');
      try {
        if (await this.#transfer(source)) return;
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!(error instanceof UpstreamError)) throw error;
        if (this.position - before >= PROGRESS_BYTES) {
          breaks = 0;
          progressAt = clock.monotonic();
        }
        breaks += 1;
        resumes += 1;
        // An upstream that has not answered yet was given all its patience already.
        if (!this.#hasAnswered || !isWorthAnotherTry(error)) refusals.add(source);
        const isHopeless = breaks >= BREAK_LIMIT || resumes >= RESUME_LIMIT;
        const isStalled = clock.monotonic() - progressAt > STALL_LIMIT_MS;
        if (isHopeless || isStalled || sources.every((each) => refusals.has(each))) throw error;
        this.#host.onBreak(error);
        await clock.sleep(this.#waitMs(error, breaks), this.#signal);
      }
    }
  }

  /** An upstream that says when it may be asked again is not asked before, within what a stall may take. */
  #waitMs({ retryAfterMs = 0 }: UpstreamError, breaks: number): number {
    return Math.max(waitAfterBreak(breaks), Math.min(retryAfterMs, STALL_LIMIT_MS));
  }

  /** @returns true when the body ended where a blob of unknown size ends. */
  async #transfer(source: BlobSource): Promise<boolean> {
    const { upstream, repository } = source;
    const range = {
      start: this.position,
      end: Number.isFinite(this.end) ? this.end : undefined,
      expectedBytes: this.#expectedBytes,
      etag: this.#etag?.source === source ? this.#etag.value : undefined,
      isOptional: this.isOptional,
    };
    const transfer = await upstream.getBlob(repository, this.#host.digest, range, this.#signal);
    this.#hasAnswered = true;
    const changed = new Condition();
    const body = new BodyQueue(transfer, () => changed.notify());
    try {
      await this.#host.onTransfer(transfer, this);
      this.#etag = { value: transfer.etag, source };
      if (this.position >= this.end) return false;
      await this.#skipTo(body, transfer.start, changed);
      return await this.#pump(body, changed);
    } finally {
      body.destroy();
    }
  }

  /** An upstream that ignored the range sends what is here already once more. */
  async #skipTo(body: BodyQueue, start: number, changed: Condition): Promise<void> {
    for (let at = start; at < this.position;) {
      if (body.bytes === 0 && body.isOver) throw brokenOff(body);
      if (body.bytes === 0) await changed.wait();
      at += body.skip(this.position - at);
    }
  }

  /**
   * Hands over what arrives: in whole slabs while much arrives, since every hand-over wakes two threads; what there is
   * when a little time has passed, so that readers do not wait for more.
   * @returns true when the body ended where a blob of unknown size ends
   */
  async #pump(body: BodyQueue, changed: Condition): Promise<boolean> {
    const handing = new HandingOver(this.#host, this, changed);
    try {
      while (handing.next < this.end) {
        handing.throwIfFailed();
        const due = Math.min(SLAB_BYTES, this.end - handing.next);
        const isDue = body.bytes >= due || (body.bytes > 0 && (handing.isIdle || body.isOver));
        if (isDue && handing.hasRoom) {
          await this.#host.room();
          const granted = await this.#granted(Math.min(due, body.bytes));
          // Only now: nobody holds a slab while waiting for an upstream, or for a client.
          const slab = await this.#host.slabs.acquire(this.#signal);
          if (handing.next >= this.end) {
            slab.release();
            break;
          }
          handing.give(slab, body.take(slab.bytes, Math.min(granted, this.end - handing.next)));
        } else if (body.isOver && body.bytes === 0) {
          if (body.error === undefined && this.end === Infinity) return true;
          throw brokenOff(body);
        } else {
          body.wakeAtBytes = handing.isIdle ? 1 : due;
          await changed.wait();
        }
      }
      return false;
    } finally {
      await handing.done();
    }
  }

  /** How much may be taken; a slab where nothing is limited. */
  async #granted(bytes: number): Promise<number> {
    const { allowance } = this.#host;
    if (!allowance.isLimited) return SLAB_BYTES;
    return allowance.grant(bytes, () => this.#host.hasReaders, this.#signal);
  }
}

function brokenOff(body: BodyQueue): UpstreamError {
  return body.error instanceof UpstreamError
    ? body.error
    : new UpstreamError('unavailable', 'the upstream ended the blob early', { cause: body.error });
}

/** Slabs of one segment that are on their way to the disk at the same time; they become known in order. */
class HandingOver {
  readonly #host: SegmentHost;
  readonly #segment: Segment;
  readonly #changed: Condition;
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  #count = 0;
  #isResting = false;
  /** Where the next byte from the upstream goes. */
  next: number;

  constructor(host: SegmentHost, segment: Segment, changed: Condition) {
    this.#host = host;
    this.#segment = segment;
    this.#changed = changed;
    this.next = segment.position;
  }

  /** True when even a little is worth handing over: nothing is on its way, and the last time is a while ago. */
  get isIdle(): boolean {
    return this.#count === 0 && !this.#isResting;
  }

  get hasRoom(): boolean {
    return this.#count < HANDING_OVER_SLABS;
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Takes the slab over. */
  give(slab: Slab, length: number): void {
    const start = this.next;
    this.next += length;
    this.#count += 1;
    this.#last = this.#hand(slab, length, start, this.#last);
    this.#rest();
  }

  /** For a moment only whole slabs are handed over. Not the injected clock: nothing is decided by it but the size of writes. */
  #rest(): void {
    if (this.#isResting) return;
    this.#isResting = true;
    setTimeout(() => {
      this.#isResting = false;
      this.#changed.notify();
    }, REST_MS);
  }

  /** When all that was given is known. @throws what became of one of them. */
  async done(): Promise<void> {
    await this.#last;
    this.throwIfFailed();
  }

  async #hand(slab: Slab, length: number, start: number, before: Promise<void>): Promise<void> {
    try {
      await this.#host.onBytes(slab, length, start, this.#segment, before);
    } catch (error) {
      this.#failure ??= { error };
      await before;
    } finally {
      slab.release();
      this.#count -= 1;
      this.#changed.notify();
    }
  }
}

/** Another try at the same source can mend what broke on the way; what the source said on purpose it cannot. */
function isWorthAnotherTry(error: UpstreamError): boolean {
  return error.reason === 'unavailable' || error.reason === 'timeout' || error.reason === 'rate-limited';
}
