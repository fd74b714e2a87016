import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore, StoredFile, StoredSlice } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { BlobRow } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { Adoption } from './adoption.ts';
import { ByteRate } from './byte-rate.ts';
import type { CacheObserver } from './cache-observer.ts';
import type { ReconcileProgress } from './reconcile-progress.ts';
import type { UpkeepObserver } from './upkeep-observer.ts';
import type { EvictionHold } from './evictor.ts';

/** Rows looked up in one turn of the event loop: less than 5 ms of it. */
const ROWS_PER_TURN = 64;
/** What adopting reads a second: so much is left to those who are served. */
const ADOPTED_BYTES_PER_SECOND = 100 * 1024 * 1024;
/** A request waits for a file to be read that is no larger, rather than for its download. */
const ON_DEMAND_LIMIT_BYTES = 1024 * 1024 * 1024;
/** After the index or the disk could not be asked. */
const RETRY_MS = 30_000;

export interface ReconcileParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly observer: CacheObserver;
  readonly reports: UpkeepObserver;
  readonly adoption: Adoption;
  /** Drops a row whose file is gone or has another size. The file stays. @returns whether it did */
  readonly dropUnfit: (digest: Digest) => Promise<boolean>;
  readonly holdEvictions: () => EvictionHold;
}

const NOTHING: ReconcileProgress = {
  phase: 'done',
  files: 0,
  adopted: 0,
  adoptedBytes: 0,
  quarantined: 0,
  unreadable: 0,
  strays: 0,
  dropped: 0,
  unindexedBytes: 0,
};

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] };

/**
 * Brings files and rows together again, in the background, after an end that was no close, or when the index was lost:
 * files without a row are adopted once all of them was read, rows without their file are dropped, what is no content is
 * set aside. Nothing is ever deleted for being unknown to the index.
 */
export class Reconcile {
  readonly #parts: ReconcileParts;
  readonly #ending = new AbortController();
  readonly #onDemand = new Map<Digest, Promise<boolean>>();
  readonly #rate: ByteRate;
  #progress: Mutable<ReconcileProgress> = { ...NOTHING };
  #running: Promise<void> | undefined;
  #hold: EvictionHold | undefined;
  #isAgain = false;
  /** A file without a row was seen in this run. */
  #hasUnindexed = false;

  constructor(parts: ReconcileParts) {
    this.#parts = parts;
    this.#rate = new ByteRate(parts.clock, ADOPTED_BYTES_PER_SECOND);
  }

  get progress(): ReconcileProgress {
    return { ...this.#progress };
  }

  /**
   * Begins in the background, if files and rows may differ. One that runs begins again.
   * @param isIndexLost nothing is evicted, and what no row tells of counts as held, until the files are known
   */
  begin(isIndexLost: boolean): void {
    if (this.#ending.signal.aborted || !this.#parts.metadata.needsReconcile) return;
    if (isIndexLost) this.#hold ??= this.#parts.holdEvictions();
    this.#isAgain = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /**
   * Adopts what is asked for, if it lies here without a row, and is not too large to be waited for. Never fails.
   * @returns whether it has a row now
   */
  async adoptOnDemand(digest: Digest): Promise<boolean> {
    if (this.#running === undefined) return false;
    let adopting = this.#onDemand.get(digest);
    if (adopting === undefined) {
      adopting = this.#adoptNow(digest).finally(() => this.#onDemand.delete(digest));
      this.#onDemand.set(digest, adopting);
    }
    return adopting;
  }

  /** A file without a row is none any more. To be called in the same turn in which it counts as stored. */
  indexed(sizeBytes: number): void {
    const progress = this.#progress;
    // While they are listed it is not known whether this one was counted: rather one too many.
    if (progress.phase !== 'rows' && progress.phase !== 'adopting') return;
    const bytes = this.#parts.content.allocatedBytes(sizeBytes);
    progress.unindexedBytes = Math.max(0, progress.unindexedBytes - bytes);
    if (this.#hold !== undefined) this.#hold.unindexedBytes = progress.unindexedBytes;
  }

  /** Waits until nothing runs any more. What was not brought together is, by the next process. */
  async close(): Promise<void> {
    this.#ending.abort(new Error('the store is being closed'));
    await Promise.all(this.#onDemand.values());
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, reports, metadata } = this.#parts;
    const { signal } = this.#ending;
    while (this.#isAgain && !signal.aborted) {
      this.#isAgain = false;
      this.#progress = { ...NOTHING, phase: 'listing' };
      reports.reconcileBegan();
      try {
        // Also for the next process, should this one end before it is done.
        if (this.#hold !== undefined) await metadata.setMark('index-lost', 1);
        await this.#reconcile();
        if (!this.#isAgain) await this.#end();
      } catch (cause) {
        if (signal.aborted) break;
        reports.reconcileFailed(cause);
        this.#progress.phase = 'waiting';
        this.#isAgain = true;
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
    this.#hold?.release();
    this.#hold = undefined;
    if (signal.aborted) return;
    this.#progress.phase = 'done';
    reports.reconcileEnded(this.progress);
  }

  async #end(): Promise<void> {
    const { metadata } = this.#parts;
    if (this.#progress.unreadable > 0) return;
    await metadata.setMark('index-lost', 0);
    await metadata.reconciled();
  }

  async #reconcile(): Promise<void> {
    this.#hasUnindexed = false;
    await this.#each(async (slice) => this.#look(slice));
    if (this.#hold !== undefined && !this.#isAgain) {
      this.#hold.mayEvict = true;
      this.#hold.unindexedBytes = this.#progress.unindexedBytes;
    }
    this.#progress.phase = 'rows';
    await this.#lookAtRows();
    this.#progress.phase = 'adopting';
    if (this.#hasUnindexed) await this.#each((slice) => this.#adoptAll(slice));
    this.#progress.unindexedBytes = 0;
  }

  async #each(work: (slice: StoredSlice) => Promise<void>): Promise<void> {
    for await (const slice of this.#parts.content.list(this.#ending.signal)) {
      if (this.#isAgain) return;
      await work(slice);
      await nextTurn();
    }
  }

  async #look({ files, strays }: StoredSlice): Promise<void> {
    this.#progress.files += files.length;
    for await (const { file, row } of this.#withRows(files)) {
      const isFit = row?.sizeBytes === file.sizeBytes;
      if (row !== undefined && !isFit) await this.#drop(file.digest);
      if (isFit) continue;
      this.#hasUnindexed = true;
      this.#progress.unindexedBytes += this.#parts.content.allocatedBytes(file.sizeBytes);
    }
    for (const stray of strays)
      await this.#orUnreadable(async () => {
        if (await this.#parts.content.quarantineStray(stray)) this.#progress.strays += 1;
      });
  }

  /** One file that the disk does not let us have (whose ever it is) keeps nobody from looking at the rest. */
  async #orUnreadable(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (!(cause instanceof ContentError)) throw cause;
      this.#parts.observer.cacheFailure('content', cause);
      this.#progress.unreadable += 1;
    }
  }

  async #adoptAll({ files }: StoredSlice): Promise<void> {
    const { signal } = this.#ending;
    for await (const { file, row } of this.#withRows(files)) {
      if (row !== undefined) continue;
      const onBytes = (bytes: number) => this.#rate.take(bytes, signal);
      const outcome = await this.#parts.adoption.adopt(file, signal, onBytes);
      this.#adopted(file, outcome);
    }
  }

  #adopted(file: StoredFile, outcome: Awaited<ReturnType<Adoption['adopt']>>): void {
    const progress = this.#progress;
    if (outcome === 'adopted') {
      progress.adopted += 1;
      progress.adoptedBytes += file.sizeBytes;
    }
    if (outcome === 'quarantined') progress.quarantined += 1;
    if (outcome === 'unreadable') progress.unreadable += 1;
    if (outcome === 'quarantined' || outcome === 'gone') this.indexed(file.sizeBytes);
  }

  async *#withRows(
    files: readonly StoredFile[],
  ): AsyncGenerator<{ readonly file: StoredFile; readonly row: BlobRow | undefined }> {
    for (const [at, file] of files.entries()) {
      if (at % ROWS_PER_TURN === ROWS_PER_TURN - 1) await nextTurn();
      yield { file, row: await this.#parts.metadata.blobs.get(file.digest) };
    }
  }

  async #lookAtRows(): Promise<void> {
    const { metadata, content } = this.#parts;
    for (let after: number | undefined = 0; after !== undefined && !this.#isAgain;) {
      const page = await metadata.blobs.page(after, ROWS_PER_TURN);
      for (const { digest } of page.blobs) {
        this.#ending.signal.throwIfAborted();
        if ((await content.find(digest).catch(() => undefined)) === undefined) await this.#drop(digest);
      }
      after = page.next;
      await nextTurn();
    }
  }

  async #drop(digest: Digest): Promise<void> {
    await this.#orUnreadable(async () => {
      if (await this.#parts.dropUnfit(digest)) this.#progress.dropped += 1;
    });
  }

  async #adoptNow(digest: Digest): Promise<boolean> {
    const { content, adoption, observer } = this.#parts;
    try {
      const file = await content.find(digest);
      if (file === undefined || file.sizeBytes > ON_DEMAND_LIMIT_BYTES) return false;
      const outcome = await adoption.adopt(file, this.#ending.signal);
      this.#adopted(file, outcome);
      return outcome === 'adopted' || outcome === 'known';
    } catch (cause) {
      if (!this.#ending.signal.aborted) observer.cacheFailure('content', cause);
      return false;
    }
  }
}
