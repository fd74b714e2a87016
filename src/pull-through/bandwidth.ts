import type { Clock } from '../clock.ts';
import { type Bandwidth, BandwidthTimes } from '../config-bandwidth.ts';
import { type Deferred, deferred } from '../deferred.ts';

/** What may come at once after a pause, as time. */
const BURST_MS = 100;
/** The least that is given at a time: less would only be more system calls. */
const LEAST_GRANT_BYTES = 16 * 1024;
/** How often those who wait are looked at again, at most. */
const LOOK_MS = 20;

interface Waiting {
  readonly wantedBytes: number;
  readonly isUrgent: () => boolean;
  readonly granted: Deferred<number>;
}

/**
 * What may come from upstreams in a second, in the order of coming, but transfers that clients wait for before all
 * others. A token bucket. It holds back what is taken out of a body: what the kernel and the body keep meanwhile (a
 * megabyte or a few) comes on top, once for each transfer.
 */
export class BandwidthLimit {
  readonly #clock: Clock;
  #times: BandwidthTimes;
  #waiting: Waiting[] = [];
  #isServing = false;
  /** What may be taken, were it not for the burst's bound. */
  #tokens = Infinity;
  #countedAtMs: number;

  constructor(clock: Clock, bandwidth: Bandwidth) {
    this.#clock = clock;
    this.#times = new BandwidthTimes(bandwidth);
    this.#countedAtMs = clock.monotonic();
  }

  /** Another limit from now on. */
  change(bandwidth: Bandwidth): void {
    this.#times = new BandwidthTimes(bandwidth);
  }

  /** Bytes a second at this moment; Infinity: no limit. */
  get bytesPerSecond(): number {
    return this.#times.limitAt(this.#clock.now());
  }

  /**
   * How much of `wantedBytes` may be taken, once it may. At least one byte.
   * @param isUrgent asked when it is looked at: does a client wait for it? @throws the signal's reason
   */
  async grant(wantedBytes: number, isUrgent: () => boolean, signal: AbortSignal): Promise<number> {
    if (this.#waiting.length === 0) {
      const bytes = this.#take(wantedBytes);
      if (bytes !== undefined) return bytes;
    }
    signal.throwIfAborted();
    const waiting: Waiting = { wantedBytes, isUrgent, granted: deferred<number>() };
    const leave = (): void => {
      this.#waiting = this.#waiting.filter((each) => each !== waiting);
      waiting.granted.reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#waiting.push(waiting);
    if (!this.#isServing) void this.#serve();
    try {
      return await waiting.granted.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Of what was granted, so much was not taken. */
  giveBack(bytes: number): void {
    this.#tokens += bytes;
  }

  async #serve(): Promise<void> {
    this.#isServing = true;
    while (this.#waiting.length > 0) {
      const next = this.#waiting.find(({ isUrgent }) => isUrgent()) ?? this.#waiting[0];
      const bytes = next === undefined ? undefined : this.#take(next.wantedBytes);
      if (next !== undefined && bytes !== undefined) {
        this.#waiting = this.#waiting.filter((each) => each !== next);
        next.granted.resolve(bytes);
      } else {
        await this.#clock.sleep(LOOK_MS);
      }
    }
    this.#isServing = false;
  }

  /** `undefined`: nothing at this moment. */
  #take(wantedBytes: number): number | undefined {
    const limit = this.bytesPerSecond;
    if (limit === Infinity) return wantedBytes;
    const now = this.#clock.monotonic();
    const burst = Math.max(LEAST_GRANT_BYTES, (limit * BURST_MS) / 1000);
    this.#tokens = Math.min(burst, this.#tokens + (limit * (now - this.#countedAtMs)) / 1000);
    this.#countedAtMs = now;
    if (this.#tokens < Math.min(wantedBytes, LEAST_GRANT_BYTES)) return undefined;
    const bytes = Math.min(wantedBytes, Math.floor(this.#tokens));
    this.#tokens -= bytes;
    return bytes;
  }
}

/** What one transfer may take, of its upstream's share and of all upstreams together. */
export interface Allowance {
  /** How much of `wantedBytes` may be taken now; waits until it is something. @throws the signal's reason */
  grant(wantedBytes: number, isUrgent: () => boolean, signal: AbortSignal): Promise<number>;
  /** False: whoever asks is always given all. */
  readonly isLimited: boolean;
  /** How long this transfer has waited for it so far; of requests at the same time, together. */
  readonly heldBackMs: number;
}

/** The limits of all upstreams, and the one for all of them together. */
export class Bandwidths {
  readonly #clock: Clock;
  readonly #total: BandwidthLimit;
  readonly #byUpstream = new Map<string, BandwidthLimit>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#total = new BandwidthLimit(clock, { hours: [] });
  }

  /** From now on, also for what is under way. Upstreams that are not named have no limit of their own. */
  change(total: Bandwidth | undefined, upstreams: ReadonlyMap<string, Bandwidth>): void {
    this.#total.change(total ?? { hours: [] });
    for (const [name, limit] of this.#byUpstream) limit.change(upstreams.get(name) ?? { hours: [] });
    for (const [name, bandwidth] of upstreams)
      if (!this.#byUpstream.has(name)) this.#byUpstream.set(name, new BandwidthLimit(this.#clock, bandwidth));
  }

  of(upstream: string): Allowance {
    const total = this.#total;
    const clock = this.#clock;
    let heldBackMs = 0;
    const own = (): BandwidthLimit | undefined => this.#byUpstream.get(upstream);
    return {
      get isLimited() {
        return total.bytesPerSecond < Infinity || (own()?.bytesPerSecond ?? Infinity) < Infinity;
      },
      get heldBackMs() {
        return heldBackMs;
      },
      async grant(wantedBytes, isUrgent, signal) {
        const begunMs = clock.monotonic();
        const limit = own();
        const ownBytes = (await limit?.grant(wantedBytes, isUrgent, signal)) ?? wantedBytes;
        let bytes = 0;
        try {
          bytes = await total.grant(ownBytes, isUrgent, signal);
        } finally {
          heldBackMs += clock.monotonic() - begunMs;
          limit?.giveBack(ownBytes - bytes);
        }
        return bytes;
      },
    };
  }
}
