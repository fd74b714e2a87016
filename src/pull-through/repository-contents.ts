import type {
  Holding,
  MetadataStore,
  NewHolding,
  NewManifest,
  RepositoryKey,
} from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';

/**
 * What repositories were seen to hold: the only ground on which cached content is served (invariant 5). An index that
 * fails is reported, and answers as if it knew nothing: then the upstream is asked.
 */
export class RepositoryContents {
  readonly #metadata: MetadataStore;
  readonly #observer: PullThroughObserver;

  constructor(metadata: MetadataStore, observer: PullThroughObserver) {
    this.#metadata = metadata;
    this.#observer = observer;
  }

  async holding(key: RepositoryKey, digest: Digest): Promise<Holding | undefined> {
    return this.guard(() => this.#metadata.holding(key, digest));
  }

  async record(key: RepositoryKey, holdings: readonly NewHolding[]): Promise<void> {
    if (holdings.length > 0) await this.guard(() => this.#metadata.recordHoldings(key, holdings));
  }

  async recordManifest(key: RepositoryKey, manifest: NewManifest): Promise<void> {
    await this.guard(() => this.#metadata.recordManifest(key, manifest));
  }

  /** Runs any work on the index; `undefined` when it failed. */
  async guard<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (cause) {
      this.#observer.cacheFailure('metadata', cause);
      return undefined;
    }
  }
}
