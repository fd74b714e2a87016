import type { Digest } from '../oci/digest.ts';
import { BlobFetch, type BlobFetchParts } from './blob-fetch.ts';
import { PullThroughError } from './pull-through-error.ts';
import type { BlobSource } from './segment.ts';

export interface JoinedFetch {
  readonly fetch: BlobFetch;
  /** False when this call began it. */
  readonly isJoined: boolean;
}

/** All blobs in flight. A fill is here from the moment it is decided until its row is written or it has failed. */
export class BlobFetches {
  readonly #parts: BlobFetchParts;
  readonly #byDigest = new Map<Digest, BlobFetch>();
  /** Those too that nobody can join any more. */
  readonly #all = new Set<BlobFetch>();
  #isClosed = false;
  #endedCount = 0;

  constructor(parts: BlobFetchParts) {
    this.#parts = parts;
  }

  get count(): number {
    return this.#all.size;
  }

  /** Goes up with each fill that ends: tells whether something may have been committed since. */
  get endedCount(): number {
    return this.#endedCount;
  }

  get readerCount(): number {
    let readers = 0;
    for (const fetch of this.#all) readers += fetch.readerCount;
    return readers;
  }

  /** The fill of this blob that can be joined, if one is running. */
  running(digest: Digest): BlobFetch | undefined {
    const fetch = this.#byDigest.get(digest);
    return fetch?.isJoinable === true ? fetch : undefined;
  }

  /**
   * The fill of this blob; begun now when none is running. The caller must open a reader in the same turn, and must
   * have made sure that the repository holds the blob: joining proves nothing.
   * @param sizeBytes when known for sure; else the upstream's answer tells
   * @throws PullThroughError `closing`
   */
  join(digest: Digest, sizeBytes: number | undefined, source: BlobSource): JoinedFetch {
    const running = this.running(digest);
    if (running !== undefined) {
      const isKnown = running.sources.some(
        ({ upstream, repository }) => upstream === source.upstream && repository === source.repository,
      );
      if (!isKnown) running.sources.push(source);
      return { fetch: running, isJoined: true };
    }
    const fetch = this.#begin(new BlobFetch(this.#parts, { digest, sizeBytes, source, isPassing: false }));
    this.#byDigest.set(digest, fetch);
    return { fetch, isJoined: false };
  }

  /** A fetch of some ranges for one reader, when there is no room for the blob. */
  passBy(digest: Digest, sizeBytes: number, source: BlobSource): BlobFetch {
    return this.#begin(new BlobFetch(this.#parts, { digest, sizeBytes, source, isPassing: true }));
  }

  #begin(fetch: BlobFetch): BlobFetch {
    if (this.#isClosed) {
      fetch.abort(new PullThroughError('closing', 'entrepot is shutting down'));
    }
    this.#all.add(fetch);
    void this.#forgetWhenEnded(fetch);
    return fetch;
  }

  async #forgetWhenEnded(fetch: BlobFetch): Promise<void> {
    await fetch.ended;
    this.#endedCount += 1;
    this.#all.delete(fetch);
    if (this.#byDigest.get(fetch.digest) === fetch) this.#byDigest.delete(fetch.digest);
  }

  /** Ends every fill and waits until all have. New ones fail at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#all];
    for (const fetch of all) fetch.abort(new PullThroughError('closing', 'entrepot is shutting down'));
    await Promise.all(all.map((fetch) => fetch.ended));
  }
}
