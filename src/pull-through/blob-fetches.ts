import type { Digest } from '../oci/digest.ts';
import type { Bandwidths } from './bandwidth.ts';
import { BlobFetch } from './blob-fetch.ts';
import type { BlobFetchParts, FillSettings } from './blob-fetch-task.ts';
import { PullThroughError } from './pull-through-error.ts';
import type { BlobSource } from './segment.ts';
import { SplitShare } from './split-shares.ts';
import { UnstoredBudget } from './unstored-budget.ts';

export interface JoinedFetch {
  readonly fetch: BlobFetch;
  /** False when this call began it. */
  readonly isJoined: boolean;
}

/** A blob that is being fetched, for people to look at. */
export interface RunningFetch {
  readonly upstream: string;
  readonly digest: Digest;
  readonly presentBytes: number;
  /** Absent: not known yet. */
  readonly totalBytes: number | undefined;
  readonly readers: number;
  /** Milliseconds since 1970. */
  readonly begunAt: number;
}

/** Memory that bytes which cannot be stored may take, of all fills together. */
const UNSTORED_LIMIT_BYTES = 64 * 1024 * 1024;

/** What the lines to upstreams may be used for. */
export interface Lines {
  /** How many transfers of an upstream's blobs there may be for the sake of speed; 1: nothing is split. */
  readonly segmentLimit: (upstream: string) => number;
  readonly bandwidths: Bandwidths;
}

/**
 * All blobs in flight. A fill is here from the moment it is decided until its row is written or it has failed. Shared by
 * all repositories of an upstream, and not beyond: what one upstream sends, how slowly, and whether it is right, must
 * not matter to who trusts another.
 */
export class BlobFetches {
  readonly #parts: BlobFetchParts & { settings: FillSettings };
  readonly #byKey = new Map<string, BlobFetch>();
  /** Those too that nobody can join any more, in the order in which they began: when, in milliseconds since 1970. */
  readonly #all = new Map<BlobFetch, number>();
  /** By upstream: there are as many as are configured. */
  readonly #shares = new Map<string, SplitShare>();
  readonly #lines: Lines;
  #isClosed = false;
  #endedCount = 0;

  constructor(parts: Omit<BlobFetchParts, 'unstoredBudget'>, lines: Lines) {
    this.#lines = lines;
    this.#parts = { ...parts, unstoredBudget: new UnstoredBudget(parts.clock, UNSTORED_LIMIT_BYTES) };
  }

  /** For fills from now on; what is judged later of those that run is judged by it, too. */
  configure(settings: FillSettings): void {
    this.#parts.settings = settings;
  }

  get count(): number {
    return this.#all.size;
  }

  /** May any fill ask this upstream yet? */
  isUsing(upstream: string): boolean {
    for (const { sources } of this.#all.keys())
      if (sources.some((source) => source.upstream.name === upstream)) return true;
    return false;
  }

  /** Goes up with each fill that ends: tells whether something may have been committed since. */
  get endedCount(): number {
    return this.#endedCount;
  }

  get readerCount(): number {
    let readers = 0;
    for (const fetch of this.#all.keys()) readers += fetch.readerCount;
    return readers;
  }

  /** Transfers from an upstream that a client waits for. */
  clientCount(upstream: string): number {
    let count = 0;
    for (const fetch of this.#all.keys())
      if (fetch.hasReaders && fetch.sources.some((source) => source.upstream.name === upstream)) count += 1;
    return count;
  }

  /** What is on its way, the oldest first. */
  list(limit: number): readonly RunningFetch[] {
    return [...this.#all].slice(0, limit).map(([fetch, begunAt]) => ({
      upstream: fetch.sources[0]?.upstream.name ?? '',
      digest: fetch.digest,
      presentBytes: fetch.presentBytes,
      totalBytes: fetch.sizeBytes,
      readers: fetch.readerCount,
      begunAt,
    }));
  }

  /** The fill of this blob from this upstream that can be joined, if one is running. */
  running(upstream: string, digest: Digest): BlobFetch | undefined {
    const fetch = this.#byKey.get(keyOf(upstream, digest));
    return fetch?.isJoinable === true ? fetch : undefined;
  }

  /**
   * The fill of this blob; begun now when none is running. The caller must open a reader (or wait for it) in the same turn, and must
   * have made sure that the repository holds the blob: joining proves nothing. A fill that is begun while the cache is
   * being closed fails at once.
   * @param expectedBytes the size, as far as it is known
   */
  join(digest: Digest, expectedBytes: number | undefined, source: BlobSource): JoinedFetch {
    const running = this.running(source.upstream.name, digest);
    if (running !== undefined) {
      if (!running.sources.some(({ repository }) => repository === source.repository))
        running.sources.push(source);
      return { fetch: running, isJoined: true };
    }
    const fetch = this.#begin(
      new BlobFetch(this.#parts, {
        digest,
        expectedBytes,
        source,
        passingBytes: undefined,
        share: this.#shareOf(source),
        allowance: this.#lines.bandwidths.of(source.upstream.name),
      }),
    );
    this.#byKey.set(keyOf(source.upstream.name, digest), fetch);
    return { fetch, isJoined: false };
  }

  /**
   * A fetch of some ranges for one reader: of a blob that there is no room for, or that is only probed. It waits its turn
   * while too many of them are under way.
   * @param passingBytes what the ranges come to
   */
  passBy(digest: Digest, sizeBytes: number, passingBytes: number, source: BlobSource): BlobFetch {
    return this.#begin(
      new BlobFetch(this.#parts, {
        digest,
        expectedBytes: sizeBytes,
        source,
        passingBytes,
        share: this.#shareOf(source),
        allowance: this.#lines.bandwidths.of(source.upstream.name),
      }),
    );
  }

  #shareOf({ upstream: { name } }: BlobSource): SplitShare {
    const share =
      this.#shares.get(name) ?? new SplitShare(this.#parts.clock, () => this.#lines.segmentLimit(name));
    this.#shares.set(name, share);
    return share;
  }

  #begin(fetch: BlobFetch): BlobFetch {
    if (this.#isClosed) fetch.abort(new PullThroughError('closing', 'entrepot is shutting down'));
    this.#all.set(fetch, this.#parts.clock.now());
    void this.#forgetWhenEnded(fetch);
    return fetch;
  }

  async #forgetWhenEnded(fetch: BlobFetch): Promise<void> {
    await fetch.ended;
    this.#endedCount += 1;
    this.#all.delete(fetch);
    for (const { upstream } of fetch.sources) {
      const key = keyOf(upstream.name, fetch.digest);
      if (this.#byKey.get(key) === fetch) this.#byKey.delete(key);
    }
  }

  /** Ends every fill and waits until all have. New ones fail at once. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#all.keys()];
    for (const fetch of all) fetch.abort(new PullThroughError('closing', 'entrepot is shutting down'));
    await Promise.all(all.map((fetch) => fetch.ended));
  }
}

function keyOf(upstream: string, digest: Digest): string {
  return `${upstream} ${digest}`;
}
