import type { Clock } from '../clock.ts';
import type { Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { SlabPool } from '../content/slabs.ts';
import type { Ingest } from '../content/ingest.ts';
import type { BlobRow, NewBlob, StoredBlob, StoreTotals } from '../metadata/stored-blobs.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Evicted } from '../metrics-store.ts';
import { type CacheObserver, readingObserver } from './cache-observer.ts';
import { Evictor } from './evictor.ts';
import { Expiry } from './expiry.ts';
import { Generations } from './generations.ts';
import { KeyedLock } from './keyed-lock.ts';
import { LastUses } from './last-uses.ts';
import { StrandedFiles } from './stranded-files.ts';
import { StoreCondition } from './store-condition.ts';
import { takeRow } from './row-removal.ts';
import { StoredContent } from './stored-content.ts';
import type { SparedContents } from './spared-contents.ts';
import { useClock } from './use-clock.ts';
import type { Pins } from './pins.ts';
import { type Reservation, StoreBudget, type StoreUsage, type UpstreamUsage } from './store-budget.ts';
import type { CacheSettings } from './cache-settings.ts';
import { StoreUpkeep } from './store-upkeep.ts';
import { silentUpkeep, type UpkeepObserver } from './upkeep-observer.ts';

export interface BlobCacheParts extends CacheSettings {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly observer: CacheObserver;
  /** Absent: nobody is told of upkeep. */
  readonly reports?: UpkeepObserver | undefined;
  /** What is never evicted. Absent: what the index says. */
  readonly pins?: Pins | undefined;
  /** What is passed over when room is made. Absent: nothing. */
  readonly spared?: SparedContents | undefined;
}

/**
 * Files and rows as one: the only place that commits or removes a blob, always in the order that invariant 2 asks for
 * (file, then row; row, then file), one at a time for each digest. The row is a hint and the file is the truth.
 */
export class BlobCache {
  readonly upkeep: StoreUpkeep;
  readonly #parts: BlobCacheParts;
  readonly #budget: StoreBudget;
  readonly #evictor: Evictor;
  readonly #stored: StoredContent;
  readonly #generations = new Generations();
  readonly #locks = new KeyedLock<Digest>();
  readonly #uses: LastUses;
  readonly #stranded: StrandedFiles;
  readonly #expiry: Expiry;
  #verifyOnRead: SlabPool | undefined;
  /** How often the index was lost: what was counted before counts no more. */
  #lossCount = 0;
  #condemnedCount = 0;
  /** Whether anything can be stored; nothing is tried while it cannot. */
  readonly condition: StoreCondition;

  static async open(parts: BlobCacheParts): Promise<BlobCache> {
    const { metadata, content, clock } = parts;
    const stored = await metadata.blobs.totals(content.allocatedBytes(1));
    const cache = new BlobCache(parts, stored, useClock(clock, await metadata.blobs.latestUse()));
    await cache.#budget.look();
    return cache;
  }

  private constructor(parts: BlobCacheParts, stored: StoreTotals, clock: Clock) {
    this.#parts = { ...parts, clock };
    const { metadata, observer, content, limits } = parts;
    const onFailure = (cause: unknown) => this.#fail(cause);
    this.#uses = new LastUses({ blobs: metadata.blobs, clock, onFailure });
    this.condition = this.#openCondition(parts.clock);
    this.#budget = new StoreBudget({
      limits,
      clock,
      stored,
      allocatedBytes: (sizeBytes) => content.allocatedBytes(sizeBytes),
      quarantinedBytes: () => content.quarantinedBytes,
      freeBytes: async () => (await content.space()).freeBytes,
      onShort: () => this.#evictor.wake(),
    });
    this.#stranded = new StrandedFiles({
      content,
      clock,
      blobs: metadata.blobs,
      locks: this.#locks,
      onStranded: (sizeBytes) => this.#budget.stranded(sizeBytes),
      onSettled: (sizeBytes) => this.#budget.noLongerStranded(sizeBytes),
    });
    const evicting = {
      clock,
      evict: (digest: Digest) => this.evict(digest),
      writeUses: () => this.#uses.write(),
      pins: parts.pins,
      spared: parts.spared,
      onEvicted: (evicted: Evicted) => observer.evicted(evicted),
      onFailure,
    };
    const canEvict = () => this.condition.isSound || this.condition.isFull;
    this.#evictor = new Evictor({ ...evicting, budget: this.#budget, metadata, content, canEvict });
    const { maxAgeMs } = limits;
    const canExpire = () => canEvict() && !this.#evictor.isHeld;
    this.#expiry = new Expiry({ ...evicting, blobs: metadata.blobs, maxAgeMs, canEvict: canExpire });
    this.#verifyOnRead = parts.verifyOnRead;
    const upkeepParts = {
      ...parts,
      observer: readingObserver(observer, (cause) => this.condition.failed(cause)),
      locks: this.#locks,
      generations: this.#generations,
      condemn: (digest: Digest) => this.#condemnLocked(digest),
    };
    this.upkeep = new StoreUpkeep({
      ...upkeepParts,
      reports: parts.reports ?? silentUpkeep,
      scrub: parts.scrub ?? { everyMs: undefined, bytesPerSecond: Infinity },
      dropRow: (digest) => this.#dropRowLocked(digest),
      onAdopted: (sizeBytes) => this.#budget.added(sizeBytes, undefined),
      useNow: () => clock.now(),
      holdEvictions: () => this.#evictor.hold(),
      storedBlobs: () => this.#budget.usage.storedBlobs,
      canWrite: () => this.condition.isSound,
    });
    this.#stored = new StoredContent({
      ...upkeepParts,
      adopt: (digest) => this.upkeep.adoptOnDemand(digest),
      verifyOnRead: () => this.#verifyOnRead,
      onUse: (digest) => this.touch(digest),
    });
    metadata.onLost = (setAside) => this.#onIndexLost(setAside);
  }

  /** From now on limits are kept in the background, too: by a server. Commands on a directory change only what they say. */
  async begin(): Promise<void> {
    await this.upkeep.begin();
    this.#evictor.begin();
    this.#expiry.begin();
  }

  /** Other limits and settings, from now on; what is too much is given up in the background. */
  async configure({ limits, scrub, verifyOnRead }: CacheSettings): Promise<void> {
    this.#verifyOnRead = verifyOnRead;
    this.#expiry.configure(limits.maxAgeMs);
    if (scrub !== undefined) this.upkeep.configureScrub(scrub);
    await this.#budget.configure(limits);
  }

  /** How often stored content turned out bad, since the start. */
  get condemnedCount(): number {
    return this.#condemnedCount;
  }

  get usage(): StoreUsage {
    return this.#budget.usage;
  }

  /** By name, of all upstreams that have brought something or have a share of their own. */
  get upstreams(): ReadonlyMap<string, UpstreamUsage> {
    return this.#budget.upstreams;
  }

  /** The row only: says that a file was committed, not that it is still there. `undefined` also when the index fails. */
  row(digest: Digest): Promise<BlobRow | undefined> {
    return this.#stored.row(digest);
  }

  /**
   * Stored content, counted as used. Its first bytes are read before it counts as open: what is damaged is set aside,
   * what cannot be read just now is left alone, and `undefined` is the answer to both: a miss.
   * @param firstPosition where the reader will begin
   * @param firstLimitBytes what it will take there at most; absent = as much as an answer takes at a time
   */
  open(digest: Digest, firstPosition = 0, firstLimitBytes?: number): Promise<Content | undefined> {
    return this.#stored.open(digest, firstPosition, firstLimitBytes);
  }

  /** As `open`, and hashed as it is read in order: what is wrong fails in place of its last bytes. Without `isUse` it is only looked at. */
  openVerified(digest: Digest, slabs: SlabPool, isUse = true): Promise<Content | undefined> {
    return this.#stored.open(digest, 0, undefined, slabs, isUse);
  }

  /** All of stored content that is no larger than `limitBytes`, its digest checked; otherwise like `open`. */
  readWhole(digest: Digest, limitBytes = Infinity): Promise<Buffer | undefined> {
    return this.#stored.readWhole(digest, limitBytes);
  }

  /** Counts a use of stored content that was served from memory. */
  touch(digest: Digest): void {
    this.#uses.add(digest);
  }

  /** Could a blob of this size be stored? */
  canHold(sizeBytes: number, upstream: string): boolean {
    return this.condition.isSound && this.#budget.canHold(sizeBytes, upstream);
  }

  /**
   * Room for a fill; `undefined` when there is none, and none can be made.
   * @param upstream who brings it, whose share it comes out of
   */
  async reserve(
    sizeBytes: number,
    upstream: string | undefined,
    signal?: AbortSignal,
  ): Promise<Reservation | undefined> {
    if (!this.condition.isSound) return undefined;
    await this.#stranded.retry();
    return this.#budget.reserve(sizeBytes, upstream, signal);
  }

  /** The disk could not take what there was room for. */
  storeFailed(cause: unknown): void {
    this.condition.failed(cause);
  }

  /** Begins to take a blob in; one that only hashes when nothing can be stored. Never fails. */
  async ingest(digest: Digest, sizeBytes: number | undefined, hasRoom: boolean): Promise<Ingest> {
    const { content, observer } = this.#parts;
    if (hasRoom) {
      try {
        return await content.ingest(digest, sizeBytes);
      } catch (cause) {
        observer.cacheFailure('content', cause);
        this.condition.failed(cause);
      }
    }
    return content.ingestNowhere(digest, sizeBytes);
  }

  /** Publishes a verified ingest. What fails is reported, and leaves the blob uncached. @returns false then */
  commit(ingest: Ingest, blob: NewBlob, reservation: Reservation): Promise<boolean> {
    return this.#publish(blob, () => ingest.commit(), reservation);
  }

  /** Stores small content that is verified and at hand. @returns false when it could not be stored. */
  async put(digest: Digest, bytes: Uint8Array, upstream?: string): Promise<boolean> {
    const reservation = await this.reserve(bytes.length, upstream);
    if (reservation === undefined) return false;
    const blob = { digest, sizeBytes: bytes.length, upstream };
    return this.#publish(blob, () => this.#parts.content.put(digest, bytes), reservation);
  }

  async #publish(blob: NewBlob, store: () => Promise<void>, reservation: Reservation): Promise<boolean> {
    const { metadata, clock, observer } = this.#parts;
    let where: 'content' | 'metadata' = 'metadata';
    try {
      await this.#locks.run(blob.digest, async () => {
        const known = await metadata.blobs.describe(blob.digest);
        const losses = this.#lossCount;
        // Who brought it first is charged, as long as it is here.
        const upstream = known?.upstream ?? blob.upstream;
        try {
          where = 'content';
          await store();
          this.#stranded.settled(blob.digest);
          this.#generations.end(blob.digest);
          where = 'metadata';
          await metadata.blobs.put({ ...blob, upstream }, clock.now());
        } catch (cause) {
          // A file without a row would be counted by nobody, and evicted never. A commit that failed may have left one.
          if (known === undefined) await this.#discard(blob);
          throw cause;
        }
        if (known !== undefined && losses === this.#lossCount)
          this.#budget.removed(known.sizeBytes, known.upstream);
        reservation.becomeStored(blob.sizeBytes, upstream);
      });
      return true;
    } catch (cause) {
      observer.cacheFailure(where, cause);
      this.condition.failed(cause);
      return false;
    } finally {
      reservation.release();
    }
  }

  async #discard({ digest, sizeBytes }: BlobRow): Promise<void> {
    try {
      await this.#parts.content.delete(digest);
    } catch (cause) {
      this.#stranded.add(digest, sizeBytes);
      this.#parts.observer.cacheFailure('content', cause);
    }
  }

  /** Row first, then file. @returns the bytes that went; 0 when there was no such blob. */
  async remove(digest: Digest): Promise<number> {
    return this.#locks.run(digest, () => this.#removeLocked(digest));
  }

  async #removeLocked(digest: Digest): Promise<number> {
    const { metadata, content } = this.#parts;
    const takeFile = () => content.delete(digest);
    const row = await takeRow(() => metadata.blobs.delete(digest), takeFile);
    await this.#forget(digest, row, takeFile);
    return row?.sizeBytes ?? 0;
  }

  /** What is given up for room: what only a manifest listed that goes comes next. @returns what went */
  evict(digest: Digest): Promise<StoredBlob | undefined> {
    return this.#locks.run(digest, async () => {
      const { metadata, content } = this.#parts;
      const takeFile = () => content.delete(digest);
      const row = await takeRow(() => metadata.blobs.evict(digest), takeFile);
      await this.#forget(digest, row, takeFile);
      return row;
    });
  }

  /** As `#removeLocked`, of what is bad: its file is kept aside. One that cannot be moved is in nobody's way. */
  async #condemnLocked(digest: Digest): Promise<void> {
    const { metadata, content, observer } = this.#parts;
    this.#condemnedCount += 1;
    const row = await metadata.blobs.delete(digest);
    try {
      await this.#forget(digest, row, () => content.quarantine(digest), true);
    } catch (cause) {
      observer.cacheFailure('content', cause);
    }
  }

  /** The row is gone: the file follows. What cannot be removed goes on to count. */
  async #forget(
    digest: Digest,
    row: StoredBlob | undefined,
    takeFile: () => Promise<unknown>,
    isAlways = row !== undefined,
  ): Promise<void> {
    const losses = this.#lossCount;
    this.#generations.end(digest);
    if (row !== undefined) this.#uses.forget(digest);
    try {
      if (isAlways) await takeFile();
    } catch (cause) {
      if (row !== undefined) this.#stranded.add(digest, row.sizeBytes);
      throw cause;
    } finally {
      if (row !== undefined && losses === this.#lossCount) this.#budget.removed(row.sizeBytes, row.upstream);
    }
  }

  /** The file stays, to be adopted or set aside once it was read. */
  async #dropRowLocked(digest: Digest): Promise<void> {
    await this.#forget(digest, await this.#parts.metadata.blobs.delete(digest), async () => undefined);
  }

  #onIndexLost(setAside: string): void {
    this.#lossCount += 1;
    this.#budget.lost();
    this.upkeep.onIndexLost(setAside);
  }

  /** Uses so far count in the order of victims. Never fails. */
  writeUses(): Promise<void> {
    return this.#uses.write();
  }

  /** Writes down what was gathered. Fills must have ended. */
  async close(): Promise<void> {
    await this.condition.close();
    await this.upkeep.close();
    this.#budget.close();
    await this.#expiry.close();
    await this.#evictor.close();
    await this.#uses.close();
  }

  #fail(cause: unknown): void {
    this.#parts.observer.cacheFailure(cause instanceof ContentError ? 'content' : 'metadata', cause);
    this.condition.failed(cause);
  }

  #openCondition(clock: Clock): StoreCondition {
    const { content, metadata, observer } = this.#parts;
    return new StoreCondition({
      clock,
      probe: async () => {
        await content.probe();
        await metadata.probe();
      },
      onChange: (change) => {
        observer.conditionChanged(change);
        // Others may have filled the disk: what is stored here makes way.
        if (this.condition.isFull) void this.#budget.look();
      },
    });
  }
}
