import { setImmediate as nextTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import type { Clock } from '../clock.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { StoredBlob } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { Evicted, EvictionReason } from '../metrics-store.ts';
import type { Pins } from './pins.ts';
import type { SparedContents } from './spared-contents.ts';
import type { Shortage, StoreBudget } from './store-budget.ts';

export interface EvictorParts {
  readonly budget: StoreBudget;
  readonly metadata: MetadataStore;
  readonly content: ContentStore;
  readonly clock: Clock;
  /** Takes one out, row first, then file. @returns what went */
  readonly evict: (digest: Digest) => Promise<StoredBlob | undefined>;
  /** Called before victims are chosen: what was used lately is to be known. */
  readonly writeUses: () => Promise<void>;
  /** Absent: what the index says is pinned is all there is. */
  readonly pins?: Pick<Pins, 'refresh' | 'isCurrent'> | undefined;
  /** What is passed over besides. Absent: nothing. */
  readonly spared?: Pick<SparedContents, 'has' | 'count'> | undefined;
  /** False while nothing can be removed. */
  readonly canEvict: () => boolean;
  readonly onEvicted: (evicted: Evicted) => void;
  readonly onFailure: (cause: unknown) => void;
}

/** While one is held nothing is evicted, unless it says otherwise: who needs room has what is left, or none. */
export interface EvictionHold {
  /** Set when it is known how much there is: what has a row by then may go. */
  mayEvict: boolean;
  /** Bytes of files that no row tells of yet: they take room all the same. Until it is set, all that may be held. */
  unindexedBytes: number;
  /** Once; harmless when repeated. Then no file is without a row. */
  release(): void;
}

/** Victims looked at in one turn of the event loop, and how many files are removed at a time. */
const SLICE = 128;
const CONCURRENT_REMOVALS = 4;
/** Where all of those are spared: some milliseconds. */
const SPARED_SLICE = 1000;
/** What was used so lately belongs to a pull that goes on: only who waits for room may have it. */
const FRESH_MS = 10_000;
/** Others fill the disk, too: it is looked at although nothing comes in. */
const LOOK_INTERVAL_MS = 30_000;
/** What is pinned is counted again after this long; sooner when something changed, but not with each pull. */
const PINNED_INTERVAL_MS = 30_000;
const PINNED_CHANGED_MS = 1000;
/** Damaged files are kept for who wants to see them, in so small a share of the store. */
const QUARANTINE_SHARE = 0.05;

/** Gives up blobs when the budget is short, in slices that leave the event loop free. */
export class Evictor {
  readonly #parts: EvictorParts;
  readonly #ending = new AbortController();
  readonly #removals = pLimit(CONCURRENT_REMOVALS);
  #watching: Promise<void> | undefined;
  readonly #holds = new Set<EvictionHold>();
  #running: Promise<void> | undefined;
  #hasFailed = false;
  #pinnedAt = -Infinity;
  #pinnedChanges = -1;

  constructor(parts: EvictorParts) {
    this.#parts = parts;
  }

  /** From now on it also works ahead of need, in the background. */
  begin(): void {
    this.#watching ??= this.#watch();
    this.wake();
  }

  /** There may be a shortage. */
  wake(): void {
    if (!this.#ending.signal.aborted) this.#running ??= this.#run();
  }

  get isHeld(): boolean {
    return [...this.#holds].some(({ mayEvict }) => !mayEvict);
  }

  hold(): EvictionHold {
    const { budget } = this.#parts;
    const holds = this.#holds;
    let unindexedBytes = budget.maxBytes;
    const hold: EvictionHold = {
      mayEvict: false,
      get unindexedBytes() {
        return unindexedBytes;
      },
      set unindexedBytes(bytes) {
        if (!holds.has(hold)) return;
        unindexedBytes = bytes;
        budget.unindexed(sum([...holds].map((each) => each.unindexedBytes)));
      },
      release: () => {
        if (!holds.delete(hold)) return;
        budget.unindexed(sum([...holds].map((each) => each.unindexedBytes)));
      },
    };
    holds.add(hold);
    hold.unindexedBytes = unindexedBytes;
    return hold;
  }

  /** Waits for what is being removed. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#watching;
    await this.#running;
  }

  async #watch(): Promise<void> {
    const { clock, budget } = this.#parts;
    const { signal } = this.#ending;
    while (!signal.aborted) {
      await clock.sleep(LOOK_INTERVAL_MS, signal).catch(() => undefined);
      if (!signal.aborted) await budget.look();
    }
  }

  async #run(): Promise<void> {
    const { budget, writeUses } = this.#parts;
    // What is claimed at the same moment is one round.
    await nextTurn();
    await writeUses();
    while (!this.#ending.signal.aborted) {
      const shortage = budget.shortage();
      if (shortage === undefined || (!shortage.isUrgent && this.#watching === undefined)) break;
      if (!(await this.#relieve(shortage))) budget.exhausted(shortage);
      await nextTurn();
    }
    this.#running = undefined;
  }

  /** One slice. @returns whether anything went. */
  async #relieve(shortage: Shortage): Promise<boolean> {
    const { canEvict, pins, onFailure } = this.#parts;
    if (this.isHeld || !canEvict()) return false;
    try {
      await pins?.refresh();
      await this.#countPinned();
      if (shortage.upstream === undefined && (await this.#trimQuarantine())) return true;
      const victims = await this.#choose(shortage);
      return await this.#remove(victims, this.#reasonOf(shortage));
    } catch (cause) {
      onFailure(cause);
      return false;
    }
  }

  async #choose({ upstream, bytes, isUrgent }: Shortage): Promise<readonly StoredBlob[]> {
    const { content, clock } = this.#parts;
    const found = await this.#candidates(upstream);
    const now = clock.now();
    const chosen: StoredBlob[] = [];
    let freed = 0;
    for (const blob of found) {
      const age = now - blob.usedAt;
      if (!isUrgent && age >= 0 && age < FRESH_MS) continue;
      chosen.push(blob);
      freed += content.allocatedBytes(blob.sizeBytes);
      // With a manifest what only it used comes next: the order has changed.
      const isParent = blob.kind === 'manifest' || blob.kind === 'index';
      // After a failure one is tried, so that a disk that takes nothing out costs no more rows than it must.
      if (freed >= bytes || isParent || this.#hasFailed) break;
    }
    return chosen;
  }

  /** Those that are spared may be first in the order, and very many: then it is looked past them. */
  async #candidates(upstream: string | undefined): Promise<readonly StoredBlob[]> {
    const { blobs } = this.#parts.metadata;
    const { spared } = this.#parts;
    const found = await blobs.victims({ limit: SLICE, upstream });
    if (spared === undefined || spared.count === 0) return found;
    const rest = found.filter(({ digest }) => !spared.has(digest));
    if (rest.length > 0 || found.length < SLICE) return rest;
    for (let after: string | undefined; !this.#ending.signal.aborted;) {
      const page = await blobs.victimPage(after, SPARED_SLICE);
      const others = page.blobs.filter((blob) => !spared.has(blob.digest) && isOf(blob, upstream));
      if (others.length > 0 || page.next === undefined) return others.slice(0, SLICE);
      after = page.next;
      await nextTurn();
    }
    return [];
  }

  #reasonOf({ upstream }: Shortage): EvictionReason {
    const { budget } = this.#parts;
    if (upstream !== undefined) return 'upstream-limit';
    return budget.usage.limitBytes < budget.maxBytes ? 'disk' : 'limit';
  }

  async #remove(victims: readonly StoredBlob[], reason: EvictionReason): Promise<boolean> {
    const { content, clock, evict, pins, onEvicted, onFailure } = this.#parts;
    const now = clock.now();
    const agesMs: number[] = [];
    let isStale = false;
    let bytes = 0;
    const failures: unknown[] = [];
    await this.#removals.map(victims, async ({ digest }) => {
      // A pull may have made it part of a pinned image since: then victims are chosen anew.
      isStale ||= pins?.isCurrent === false;
      if (failures.length > 0 || isStale) return;
      try {
        const row = await evict(digest);
        if (row === undefined) return;
        agesMs.push(now - row.usedAt);
        bytes += content.allocatedBytes(row.sizeBytes);
      } catch (cause) {
        failures.push(cause);
      }
    });
    const blobs = agesMs.length;
    if (blobs > 0) onEvicted({ blobs, bytes, reason, agesMs });
    const [failure] = failures;
    this.#hasFailed = failure !== undefined;
    if (failure !== undefined) onFailure(failure);
    return (blobs > 0 || isStale) && failure === undefined;
  }

  async #trimQuarantine(): Promise<boolean> {
    const { content, budget } = this.#parts;
    const before = content.quarantinedBytes;
    const limit = budget.usage.limitBytes * QUARANTINE_SHARE;
    if (before <= limit) return false;
    await content.trimQuarantine(limit);
    return content.quarantinedBytes < before;
  }

  async #countPinned(): Promise<void> {
    const { metadata, clock, budget, content } = this.#parts;
    const { changes } = metadata.images;
    const now = clock.monotonic();
    const isChanged = changes !== this.#pinnedChanges;
    if (now - this.#pinnedAt < (isChanged ? PINNED_CHANGED_MS : PINNED_INTERVAL_MS)) return;
    this.#pinnedAt = now;
    this.#pinnedChanges = changes;
    budget.pinned(await metadata.blobs.pinnedTotals(content.allocatedBytes(1)));
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

function isOf(blob: StoredBlob, upstream: string | undefined): boolean {
  return upstream === undefined || blob.upstream === upstream;
}
