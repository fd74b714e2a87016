import type { Clock } from '../clock.ts';
import type { StoreTotals } from '../metadata/stored-blobs.ts';
export type { StoreUsage, UpstreamUsage } from './store-accounts.ts';
import type { StoreAccount } from './store-account.ts';
import { StoreAccounts, type StoreUsage, type UpstreamUsage } from './store-accounts.ts';
import { StoreSpace } from './store-space.ts';

/** Room that a fill has been promised, in bytes on the disk. */
export interface Reservation {
  readonly bytes: number;
  /** @returns false when there is no room for so much; what was promised before stays promised. */
  growTo(sizeBytes: number): Promise<boolean>;
  /** So many bytes of it were written: they are no longer free on the disk. */
  wrote(bytes: number): void;
  /** What was promised is stored now; `owner` is who is charged from here on. Nothing is reserved any more. */
  becomeStored(sizeBytes: number, owner: string | undefined): void;
  /** Gives back what is left of it. Harmless when repeated. */
  release(): void;
}

export interface StoreLimits {
  readonly maxBytes: number;
  /** What is to stay free on the disk. */
  readonly minFreeBytes: number;
  /** Larger blobs are not stored. Absent: any. */
  readonly maxBlobBytes?: number | undefined;
  /** What the blobs that each of these brought may come to. */
  readonly upstreamBytes: ReadonlyMap<string, number>;
  /** What nobody used for so long is given up, whether there is room or not. Absent: kept. */
  readonly maxAgeMs?: number | undefined;
}

export interface StoreBudgetParts {
  readonly limits: StoreLimits;
  readonly clock: Clock;
  /** What is stored, in bytes on the disk. */
  readonly stored: StoreTotals;
  readonly allocatedBytes: (sizeBytes: number) => number;
  readonly quarantinedBytes: () => number;
  /** @throws when it cannot be told */
  readonly freeBytes: () => Promise<number>;
  /** There may be something to evict: `shortage` tells. */
  readonly onShort: () => void;
}

/** What is to be given up now. */
export interface Shortage {
  /** Whose blobs; absent: whatever is stored. */
  readonly upstream: string | undefined;
  readonly bytes: number;
  /** True when a fill waits for it; otherwise it is done in the background, so that none has to. */
  readonly isUrgent: boolean;
}

interface Waiter {
  readonly bytes: number;
  readonly upstream: string | undefined;
  /** Takes it out of the line. */
  end(isGranted: boolean): void;
}

/** A fill waits for evictions no longer than this; then its bytes pass by. */
const WAIT_MS = 5000;
/** Where nothing could be given up in the background, it is not tried again for so long. */
const REST_MS = 10_000;
const GROWTH_STEP_BYTES = 16 * 1024 * 1024;

/**
 * Counts what the store holds and what is promised to fills, so that all together stay within the limit, and within
 * each upstream's share. Says what is to be evicted; never evicts itself, and no promise is ever the victim.
 */
export class StoreBudget {
  readonly #parts: StoreBudgetParts;
  readonly #space: StoreSpace;
  readonly #accounts: StoreAccounts;
  /** In the order they came: who waits is first to what is freed, later claims queue behind, however small. */
  readonly #waiters = new Set<Waiter>();
  #limits: StoreLimits;

  constructor(parts: StoreBudgetParts) {
    this.#parts = parts;
    this.#limits = parts.limits;
    const { stored, clock, freeBytes, quarantinedBytes } = parts;
    this.#space = new StoreSpace({ clock, freeBytes, minFreeBytes: () => this.#limits.minFreeBytes });
    this.#accounts = new StoreAccounts({
      stored,
      quarantinedBytes,
      limitBytes: () => Math.min(this.#limits.maxBytes, this.#space.limitBytes),
      upstreamLimits: () => this.#limits.upstreamBytes,
    });
  }

  /** As configured. */
  get maxBytes(): number {
    return this.#limits.maxBytes;
  }

  /** Holds when it resolves: what is too much goes in the background, what was promised stays promised. */
  async configure(limits: StoreLimits): Promise<void> {
    this.#limits = limits;
    this.#accounts.openLimited();
    await this.look();
  }

  get usage(): StoreUsage {
    return { ...this.#accounts.usage, maxBytes: this.maxBytes };
  }

  /** By name, of all upstreams that have brought something or have a share. */
  get upstreams(): ReadonlyMap<string, UpstreamUsage> {
    return this.#accounts.upstreams;
  }

  /** Could a blob of this size be stored, if all that can go went? */
  canHold(sizeBytes: number, upstream?: string): boolean {
    const { allocatedBytes } = this.#parts;
    const bytes = allocatedBytes(sizeBytes);
    const fits = this.#accounts.of(upstream).every((account) => account.canHold(bytes));
    return fits && sizeBytes <= (this.#limits.maxBlobBytes ?? Infinity);
  }

  /** `undefined` when there is no room, and none could be made in time. */
  async reserve(
    sizeBytes: number,
    upstream?: string,
    signal?: AbortSignal,
  ): Promise<Reservation | undefined> {
    if (this.#space.isStale) await this.look();
    const bytes = this.#parts.allocatedBytes(sizeBytes);
    if (!this.canHold(sizeBytes, upstream) || !(await this.#claim(bytes, upstream, signal))) return undefined;
    return this.#promise(bytes, upstream, signal);
  }

  /** A blob that came without a reservation. */
  added(sizeBytes: number, upstream: string | undefined): void {
    this.#accounts.stored(this.#parts.allocatedBytes(sizeBytes), 1, upstream);
    this.#changed();
  }

  removed(sizeBytes: number, upstream: string | undefined): void {
    this.#accounts.stored(-this.#parts.allocatedBytes(sizeBytes), -1, upstream);
    this.#changed();
  }

  /** A blob was removed whose file is still there: it goes on to count. */
  stranded(sizeBytes: number): void {
    this.#accounts.stranded(this.#parts.allocatedBytes(sizeBytes));
  }

  /** Now it is gone, or has a row again. */
  noLongerStranded(sizeBytes: number): void {
    this.#accounts.stranded(-this.#parts.allocatedBytes(sizeBytes));
    this.#changed();
  }

  /** The index is gone, and with it all that is known to be stored. */
  lost(): void {
    this.#accounts.forget();
  }

  /** Bytes of files that no row tells of, as far as is known. Replaces what was said before. */
  unindexed(bytes: number): void {
    this.#accounts.unindexed(bytes);
    this.#changed();
  }

  /** What is pinned, so that nothing is given up for what could not fit all the same. */
  pinned(totals: StoreTotals): void {
    this.#accounts.pinned(totals);
  }

  /** Looks at the disk, now. */
  async look(): Promise<void> {
    await this.#space.look(() => this.#accounts.bytesOnDisk);
    this.#changed();
  }

  /** What is to be evicted now: for who waits, or else in the background. */
  shortage(): Shortage | undefined {
    this.#serve();
    const waiting = this.#first();
    for (const [upstream, account] of this.#accounts.limited) {
      const waiter = waiting.get(account);
      if (waiter !== undefined) return { upstream, bytes: account.excess(waiter.bytes), isUrgent: true };
    }
    const now = this.#parts.clock.monotonic();
    for (const [upstream, account] of this.#accounts.limited) {
      const bytes = account.drain(now);
      if (bytes > 0) return { upstream, bytes, isUrgent: false };
    }
    return undefined;
  }

  /** Nothing more could be evicted there: who is first to wait for it waits in vain. */
  exhausted({ upstream }: Shortage): void {
    const account = this.#accounts.of(upstream).at(-1);
    if (account === undefined) return;
    account.restsUntil = this.#parts.clock.monotonic() + REST_MS;
    this.#first().get(account)?.end(false);
    this.#serve();
  }

  /** Nobody waits any longer. */
  close(): void {
    for (const waiter of this.#waiters) waiter.end(false);
  }

  // --- claims -------------------------------------------------------------------------------------------------------

  async #claim(
    bytes: number,
    upstream: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const accounts = this.#accounts.of(upstream);
    const isBehind = [...this.#first().keys()].some((account) => accounts.includes(account));
    if (!isBehind && this.#accounts.lacking(bytes, upstream) === undefined) {
      this.#grant(bytes, upstream);
      return true;
    }
    return this.#wait(bytes, upstream, signal);
  }

  #wait(bytes: number, upstream: string | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const ended = new AbortController();
      const waiter: Waiter = {
        bytes,
        upstream,
        end: (isGranted) => {
          if (!this.#waiters.delete(waiter)) return;
          ended.abort();
          resolve(isGranted);
        },
      };
      this.#waiters.add(waiter);
      void this.#endLater(waiter, ended.signal, signal);
      this.#changed();
    });
  }

  async #endLater(waiter: Waiter, ended: AbortSignal, signal: AbortSignal | undefined): Promise<void> {
    const waiting = signal === undefined ? ended : AbortSignal.any([ended, signal]);
    await this.#parts.clock.sleep(WAIT_MS, waiting).catch(() => undefined);
    if (ended.aborted) return;
    waiter.end(false);
    this.#changed();
  }

  #grant(bytes: number, upstream: string | undefined): void {
    this.#accounts.reserved(bytes, upstream);
    this.#space.granted(bytes);
  }

  /** Those who are first in line, by what they wait for. Who waits for an upstream's share holds up no other upstream. */
  #first(): Map<StoreAccount, Waiter> {
    const first = new Map<StoreAccount, Waiter>();
    for (const waiter of this.#waiters) {
      const lacking = this.#accounts.lacking(waiter.bytes, waiter.upstream);
      if (lacking !== undefined && !first.has(lacking)) first.set(lacking, waiter);
      if (lacking === this.#accounts.all) break;
    }
    return first;
  }

  /** Gives what there is to those who wait, and sends those away who would wait in vain. */
  #serve(): void {
    const heldUp = new Set<StoreAccount>();
    for (const waiter of this.#waiters) {
      const { bytes, upstream } = waiter;
      if (this.#accounts.of(upstream).some((account) => heldUp.has(account))) continue;
      const lacking = this.#accounts.lacking(bytes, upstream);
      if (lacking === undefined) {
        this.#grant(bytes, upstream);
        waiter.end(true);
      } else if (lacking.excess(bytes) > lacking.evictableBytes) {
        // What is promised or pinned does not go: then nothing need go in vain.
        waiter.end(false);
      } else {
        heldUp.add(lacking);
      }
    }
  }

  #changed(): void {
    this.#serve();
    const isOver = this.#accounts.limited.some(([, account]) => account.isOverMark);
    if (isOver || this.#waiters.size > 0) this.#parts.onShort();
  }

  // --- promises -----------------------------------------------------------------------------------------------------

  #promise(first: number, upstream: string | undefined, signal: AbortSignal | undefined): Reservation {
    let promised = first;
    let written = 0;
    let isOver = false;
    const giveBack = () => {
      this.#accounts.reserved(-promised, upstream);
      this.#accounts.written(-written);
      promised = 0;
      written = 0;
      isOver = true;
    };
    return {
      get bytes() {
        return promised;
      },
      growTo: async (sizeBytes) => {
        const wanted = this.#parts.allocatedBytes(sizeBytes);
        if (wanted <= promised) return true;
        if (!this.canHold(sizeBytes, upstream)) return false;
        // In steps, so that a blob of unknown size does not ask for each chunk; but nothing is evicted, or given up, for
        // bytes that it may never have.
        const needed = wanted - promised;
        const ample = Math.max(needed, GROWTH_STEP_BYTES);
        const step = this.#accounts.lacking(ample, upstream) === undefined ? ample : needed;
        if (!(await this.#claim(step, upstream, signal))) return false;
        promised += step;
        // The fill may have ended meanwhile.
        if (isOver) giveBack();
        return !isOver;
      },
      wrote: (bytes) => {
        const more = Math.min(bytes, promised - written);
        written += more;
        this.#accounts.written(more);
      },
      becomeStored: (sizeBytes, owner) => {
        giveBack();
        this.added(sizeBytes, owner);
      },
      release: () => {
        giveBack();
        this.#changed();
      },
    };
  }
}
