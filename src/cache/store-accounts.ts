import type { StoreTotals, Totals } from '../metadata/stored-blobs.ts';
import { StoreAccount } from './store-account.ts';

/** All in bytes that files take of the disk. */
export interface StoreUsage {
  /** Of committed blobs. */
  readonly storedBytes: number;
  readonly storedBlobs: number;
  /** Promised to fills. */
  readonly reservedBytes: number;
  /** Set aside as damaged, or without a row: counted, and not to be evicted. */
  readonly otherBytes: number;
  /** What all of these may come to now: less than is configured while the disk has less to give. */
  readonly limitBytes: number;
  /** As configured. */
  readonly maxBytes: number;
}

/** What one upstream brought. */
export interface UpstreamUsage {
  readonly storedBytes: number;
  readonly storedBlobs: number;
  readonly reservedBytes: number;
  /** Absent: it has no share of its own. */
  readonly limitBytes: number | undefined;
}

export interface StoreAccountsParts {
  /** What is stored, in bytes on the disk. */
  readonly stored: StoreTotals;
  readonly limitBytes: () => number;
  /** By upstream; asked each time. */
  readonly upstreamLimits: () => ReadonlyMap<string, number>;
  readonly quarantinedBytes: () => number;
}

const NOTHING: Totals = { bytes: 0, blobs: 0 };

/** The books: what the whole store holds, and what each upstream brought of it. */
export class StoreAccounts {
  readonly all: StoreAccount;
  readonly #parts: StoreAccountsParts;
  readonly #upstreams = new Map<string, StoreAccount>();
  #writtenBytes = 0;
  #strandedBytes = 0;
  #unindexedBytes = 0;

  constructor(parts: StoreAccountsParts) {
    this.#parts = parts;
    this.all = new StoreAccount(parts.stored, parts.limitBytes, () => this.#otherBytes);
    for (const [name, totals] of parts.stored.byUpstream) this.#open(name, totals);
    this.openLimited();
  }

  /** Those that have a share are there, though nothing of theirs is stored. */
  openLimited(): void {
    for (const name of this.#parts.upstreamLimits().keys()) this.of(name);
  }

  get usage(): Omit<StoreUsage, 'maxBytes'> {
    const { storedBytes, storedBlobs, reservedBytes, limitBytes } = this.all;
    return { storedBytes, storedBlobs, reservedBytes, limitBytes, otherBytes: this.#otherBytes };
  }

  get upstreams(): ReadonlyMap<string, UpstreamUsage> {
    return new Map(
      [...this.#upstreams].map(([name, { storedBytes, storedBlobs, reservedBytes }]) => [
        name,
        { storedBytes, storedBlobs, reservedBytes, limitBytes: this.#parts.upstreamLimits().get(name) },
      ]),
    );
  }

  /** Those that a blob of this upstream counts for. */
  of(upstream: string | undefined): readonly StoreAccount[] {
    if (upstream === undefined) return [this.all];
    return [this.all, this.#upstreams.get(upstream) ?? this.#open(upstream, NOTHING)];
  }

  /** Those with a limit, with the upstream's name. */
  get limited(): readonly (readonly [string | undefined, StoreAccount])[] {
    const shares = [...this.#upstreams].filter(([name]) => this.#parts.upstreamLimits().has(name));
    return [[undefined, this.all], ...shares];
  }

  /** Which of them has no room for so much more. An upstream's own share is what is lacking first. */
  lacking(bytes: number, upstream: string | undefined): StoreAccount | undefined {
    return this.of(upstream).findLast((account) => account.excess(bytes) > 0);
  }

  /** What files take now, whole or in part. */
  get bytesOnDisk(): number {
    return this.all.storedBytes + this.#writtenBytes + this.#otherBytes;
  }

  stored(bytes: number, blobs: 1 | -1, upstream: string | undefined): void {
    for (const account of this.of(upstream)) {
      account.storedBytes += bytes;
      account.storedBlobs += blobs;
    }
  }

  reserved(bytes: number, upstream: string | undefined): void {
    for (const account of this.of(upstream)) account.reservedBytes += bytes;
  }

  /** Of what is reserved. */
  written(bytes: number): void {
    this.#writtenBytes += bytes;
  }

  /** Of files whose rows are gone, and that could not be removed. */
  stranded(bytes: number): void {
    this.#strandedBytes += bytes;
  }

  /** Nothing counts as stored any more. */
  forget(): void {
    for (const account of [this.all, ...this.#upstreams.values()]) {
      account.storedBytes = 0;
      account.storedBlobs = 0;
      account.pinnedBytes = 0;
    }
  }

  /** Of files that no row tells of, as far as is known. Replaces what was said before. */
  unindexed(bytes: number): void {
    this.#unindexedBytes = bytes;
  }

  pinned(totals: StoreTotals): void {
    this.all.pinnedBytes = totals.bytes;
    for (const [name, account] of this.#upstreams)
      account.pinnedBytes = totals.byUpstream.get(name)?.bytes ?? 0;
  }

  get #otherBytes(): number {
    return this.#parts.quarantinedBytes() + this.#strandedBytes + this.#unindexedBytes;
  }

  #open(name: string, stored: Totals): StoreAccount {
    const limitBytes = () => this.#parts.upstreamLimits().get(name) ?? Infinity;
    const account = new StoreAccount(stored, limitBytes, () => 0);
    this.#upstreams.set(name, account);
    return account;
  }
}
