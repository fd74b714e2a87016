import type { Clock } from '../clock.ts';
import { ContentError } from '../content/content-error.ts';
import type { ContentStore } from '../content/content-store.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { Adoption } from './adoption.ts';
import type { CacheObserver } from './cache-observer.ts';
import { isDamage } from './damage.ts';
import type { EvictionHold } from './evictor.ts';
import { Forgetting } from './forgetting.ts';
import type { Generations } from './generations.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { Reconcile } from './reconcile.ts';
import type { ReconcileProgress } from './reconcile-progress.ts';
import { Scrub, type ScrubProgress, type ScrubSettings } from './scrub.ts';
import {
  type VerifyEvent,
  type VerifyOptions,
  type VerifySelection,
  verifyStore,
} from './store-verification.ts';
import { Upkeep } from './upkeep.ts';
import type { UpkeepObserver } from './upkeep-observer.ts';

export interface StoreUpkeepParts {
  readonly content: ContentStore;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly observer: CacheObserver;
  readonly reports: UpkeepObserver;
  readonly scrub: ScrubSettings;
  readonly locks: KeyedLock<Digest>;
  readonly generations: Generations;
  /** Takes a blob out whose file turned out bad. Called under the digest's lock. */
  readonly condemn: (digest: Digest) => Promise<void>;
  /** Takes a row out whose file is gone, or is another than it says. Called under the digest's lock. */
  readonly dropRow: (digest: Digest) => Promise<unknown>;
  /** A file has its row again. Called under the digest's lock. */
  readonly onAdopted: (sizeBytes: number) => void;
  /** Use time: see useClock. */
  readonly useNow: () => number;
  readonly holdEvictions: () => EvictionHold;
  /** How many rows there are. */
  readonly storedBlobs: () => number;
  /** False while nothing may be written. */
  readonly canWrite: () => boolean;
}

export interface UpkeepProgress {
  readonly reconcile: ReconcileProgress;
  readonly scrub: ScrubProgress;
}

/** All that looks after blobs at rest: reconciling, scrubbing, verifying, forgetting what is gone. */
export class StoreUpkeep {
  readonly #parts: StoreUpkeepParts;
  readonly #upkeep: Upkeep;
  readonly #reconcile: Reconcile;
  readonly #scrub: Scrub;
  readonly #forgetting: Forgetting;

  constructor(parts: StoreUpkeepParts) {
    this.#parts = parts;
    const { metadata, scrub: settings } = parts;
    this.#upkeep = new Upkeep(parts);
    this.#reconcile = new Reconcile({
      ...parts,
      adoption: new Adoption({
        ...parts,
        onAdopted: (sizeBytes) => {
          this.#reconcile.indexed(sizeBytes);
          parts.onAdopted(sizeBytes);
        },
      }),
      dropUnfit: (digest) => this.#dropUnfit(digest),
    });
    this.#scrub = new Scrub({
      ...parts,
      blobs: metadata.blobs,
      marks: metadata,
      upkeep: this.#upkeep,
      settings,
    });
    this.#forgetting = new Forgetting({
      ...parts,
      // Before files have their rows back, much that is here counts as not stored.
      canWrite: () => parts.canWrite() && !metadata.needsReconcile,
      onFailure: (cause) => parts.observer.cacheFailure('metadata', cause),
    });
  }

  get progress(): UpkeepProgress {
    return { reconcile: this.#reconcile.progress, scrub: this.#scrub.progress };
  }

  /** Reconciles if that is needed, scrubs by its schedule and forgets, in the background. For a server. */
  async begin(): Promise<void> {
    const found = await this.#look();
    const { metadata, observer } = this.#parts;
    if (found === 'nothing')
      await metadata.reconciled().catch((cause: unknown) => observer.cacheFailure('metadata', cause));
    this.#reconcile.begin(found === 'files alone');
    this.#scrub.begin();
    await this.#forgetting.begin();
  }

  /** How files are verified from now on. */
  configureScrub(settings: ScrubSettings): void {
    this.#scrub.configure(settings);
  }

  /** The index began anew while it was used. */
  onIndexLost(setAside: string): void {
    this.#parts.reports.indexLost(setAside);
    this.#reconcile.begin(true);
  }

  /** See Reconcile. */
  adoptOnDemand(digest: Digest): Promise<boolean> {
    return this.#reconcile.adoptOnDemand(digest);
  }

  /** See `verifyStore`. */
  verify(selection: VerifySelection, options: VerifyOptions): AsyncIterable<VerifyEvent> {
    return verifyStore({ ...this.#parts, upkeep: this.#upkeep }, selection, options);
  }

  /** Waits until nothing runs any more. */
  async close(): Promise<void> {
    await Promise.all([this.#reconcile.close(), this.#scrub.close(), this.#forgetting.close()]);
  }

  /**
   * What lies here. An empty index beside files was lost, by whomever; and so was one that has not got all of them back
   * since.
   */
  async #look(): Promise<'nothing' | 'files alone' | 'rows'> {
    const { metadata, content, observer } = this.#parts;
    try {
      if ((await metadata.mark('index-lost')) === 1) return 'files alone';
      if (this.#parts.storedBlobs() > 0) return 'rows';
      let hasStrays = false;
      for await (const { files, strays } of content.list(new AbortController().signal)) {
        if (files.length > 0) return 'files alone';
        hasStrays ||= strays.length > 0;
      }
      return hasStrays ? 'rows' : 'nothing';
    } catch (cause) {
      observer.cacheFailure(cause instanceof ContentError ? 'content' : 'metadata', cause);
    }
    return 'rows';
  }

  #dropUnfit(digest: Digest): Promise<boolean> {
    const { content, metadata, locks, observer } = this.#parts;
    return locks.run(digest, async () => {
      const row = await metadata.blobs.get(digest);
      if (row === undefined) return false;
      const problem = await unfitness(content, digest, row.sizeBytes);
      if (problem === undefined) return false;
      observer.integrityFailure('reconcile', digest, problem);
      await this.#parts.dropRow(digest);
      return true;
    });
  }
}

/** Why the file is not what its row says; `undefined` when it may be. @throws ContentError when that cannot be told */
async function unfitness(
  content: ContentStore,
  digest: Digest,
  sizeBytes: number,
): Promise<Error | undefined> {
  try {
    const file = await content.find(digest);
    if (file === undefined) return new Error('the file is gone');
    return file.sizeBytes === sizeBytes
      ? undefined
      : new Error('the file has another size than the index says');
  } catch (cause) {
    if (isDamage(cause)) return cause;
    throw cause;
  }
}
