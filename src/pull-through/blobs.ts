import type { Content } from '../content/content.ts';
import { ContentError } from '../content/content-error.ts';
import type { Interval } from '../content/intervals.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { causeOf } from '../request-cause.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { BlobCache } from '../cache/blob-cache.ts';
import { RepairedContent } from '../cache/repaired-content.ts';
import type { BlobFetch } from './blob-fetch.ts';
import type { BlobFetches } from './blob-fetches.ts';
import type { ContentMemory } from './content-memory.ts';
import type { Wanted } from './fetch-reader.ts';
import { wantsWhole } from './fill-policy.ts';
import type { OutcomeReason } from './outcome-reason.ts';
import type { RepositoryContents } from './repository-contents.ts';
import type { BlobSource } from './segment.ts';
import type { Outcome, Served } from './served.ts';
import type { SingleFlight } from './single-flight.ts';

/** A blob that is about to be read. `content` must be closed; it is absent when the selection wanted nothing. */
export interface Blob {
  readonly sizeBytes: number;
  readonly content: Content | undefined;
  /** Asked when all was read: why could it not be cached after all, if so? Absent on what is stored. */
  readonly bypassReason?: () => OutcomeReason | undefined;
}

/**
 * Decides, once the size is known, what of a blob will be read: everything, some stretches (apart, in order), or
 * nothing (the request is answered without a body). `isStored` tells whether any number of stretches costs the same.
 */
export type Selection = (sizeBytes: number, isStored: boolean) => 'whole' | readonly Interval[] | undefined;

/** Configs, and layers of next to nothing: read whole, verified, and kept in memory while they are asked for. */
const SMALL_BYTES = 64 * 1024;

export type FillOutcome = Extract<Outcome, 'hit' | 'joined' | 'miss' | 'bypass'>;

export interface BlobsParts {
  readonly cache: BlobCache;
  readonly memory: ContentMemory;
  readonly fetches: BlobFetches;
  readonly contents: RepositoryContents;
  readonly flights: SingleFlight;
  readonly upstream: (name: string) => Upstream;
}

/** A blob that a repository holds, and where it is fetched from. */
interface WantedBlob {
  readonly key: RepositoryKey;
  readonly digest: Digest;
  readonly source: BlobSource;
  readonly expectedBytes: number | undefined;
}

/** Blobs by digest, from the cache, from a transfer in flight, or from the upstream. */
export class Blobs {
  readonly #parts: BlobsParts;

  constructor(parts: BlobsParts) {
    this.#parts = parts;
  }

  /** The size, without any byte: from the index, a fill, or the upstream's HEAD. Opens and fetches nothing. */
  async describe(key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<Served<number>> {
    const { cache, contents, fetches } = this.#parts;
    const holding = await contents.holding(key, digest);
    if (holding !== undefined) {
      const row = await cache.row(digest);
      if (row !== undefined) {
        cache.touch(digest);
        return { value: row.sizeBytes, outcome: 'hit' };
      }
      const inFlight = fetches.running(key.upstream, digest)?.sizeBytes;
      if (inFlight !== undefined) return { value: inFlight, outcome: 'joined', reason: 'in-flight' };
    }
    const isHere = holding === undefined && (await cache.row(digest)) !== undefined;
    const value = await this.#askKnownSize(key, digest, signal);
    return { value, outcome: 'miss', reason: isHere ? 'not-seen-here' : 'not-stored' };
  }

  /**
   * The blob, to be read as `select` says (absent: whole).
   * @throws UpstreamError, PullThroughError; what `select` throws
   */
  async open(
    key: RepositoryKey,
    digest: Digest,
    select: Selection | undefined,
    signal: AbortSignal,
  ): Promise<Served<Blob>> {
    const source = this.#source(key, signal);
    const holding = await this.#parts.contents.holding(key, digest);
    // Whatever is here or on its way is somebody else's until this repository's upstream says that it holds it too.
    const expectedBytes = holding?.sizeBytes ?? (await this.#askSize(key, digest, signal));
    const wanted: WantedBlob = { key, digest, source, expectedBytes };
    const served = await this.#openHeld(wanted, select, signal);
    if (served.outcome !== 'hit') return served;
    const content = served.value.content && this.#repaired(wanted, served.value.content, select);
    const value = { ...served.value, content };
    if (holding !== undefined) return { value, outcome: 'hit' };
    return { value, outcome: 'revalidated', reason: 'not-seen-here' };
  }

  /** Of what is stored, and was seen to be held by the repository: its size. Asks nobody. */
  async held(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    const { cache, contents } = this.#parts;
    const holding = await contents.holding(key, digest);
    return holding === undefined ? undefined : (await cache.row(digest))?.sizeBytes;
  }

  /**
   * Makes sure that the blob is stored, without reading it: finds it here (`hit`, counted as used), or waits for its fill,
   * which goes on as for a reader. `bypass`: it cannot be stored, and was not fetched for this.
   * @param expectedBytes as a manifest says it
   * @throws UpstreamError, PullThroughError
   */
  async store(
    key: RepositoryKey,
    digest: Digest,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<FillOutcome> {
    const { cache, contents, fetches } = this.#parts;
    const source = this.#source(key, signal);
    const holding = await contents.holding(key, digest);
    const knownBytes = holding?.sizeBytes ?? (await this.#askSize(key, digest, signal));
    const sizeBytes = knownBytes ?? expectedBytes;
    for (;;) {
      const endedBefore = fetches.endedCount;
      if (fetches.running(key.upstream, digest) === undefined) {
        const stored = await cache.open(digest, 0, 1);
        if (stored !== undefined) {
          stored.close();
          return 'hit';
        }
        if (fetches.endedCount !== endedBefore) continue;
        if (sizeBytes !== undefined && !cache.canHold(sizeBytes, key.upstream)) return 'bypass';
      }
      const { fetch, isJoined } = fetches.join(digest, sizeBytes, source);
      await fetch.stored(signal);
      const row = await cache.row(digest);
      if (row === undefined) return 'bypass';
      if (knownBytes === undefined) await contents.record(key, [{ digest, sizeBytes: row.sizeBytes }]);
      return isJoined ? 'joined' : 'miss';
    }
  }

  #source({ upstream, repository }: RepositoryKey, signal: AbortSignal): BlobSource {
    return { upstream: this.#parts.upstream(upstream), repository, cause: causeOf(signal) };
  }

  /** What was made sure that the repository holds it: from the cache (`hit`), or fetched. */
  async #openHeld(
    { key, digest, source, expectedBytes }: WantedBlob,
    select: Selection | undefined,
    signal: AbortSignal,
  ): Promise<Served<Blob>> {
    const { cache, fetches, contents } = this.#parts;
    for (;;) {
      const endedBefore = fetches.endedCount;
      const isRunning = fetches.running(key.upstream, digest) !== undefined;
      const row = isRunning ? undefined : await cache.row(digest);
      if (row !== undefined) {
        const stored = await this.#openStored(digest, row.sizeBytes, select);
        if (stored !== undefined) return { value: stored, outcome: 'hit' };
      }
      // What was in flight a moment ago may have been committed since the row was looked for.
      if (fetches.endedCount !== endedBefore) continue;
      const fetched =
        select === undefined
          ? await this.#fetchWhole(digest, expectedBytes, source, signal)
          : await this.#fetchRanges(key, digest, source, select, signal);
      // The upstream confirmed that the repository holds it, but told no size: now it is known.
      if (expectedBytes === undefined)
        await contents.record(key, [{ digest, sizeBytes: fetched.value.sizeBytes }]);
      return fetched;
    }
  }

  /** Stored content that goes on from a fetch when its file turns out bad while it is read. */
  #repaired(blob: WantedBlob, content: Content, select: Selection | undefined): Content {
    const stretches = select?.(content.sizeBytes, true) ?? 'whole';
    return new RepairedContent(content, stretches, async (wanted, signal) => {
      const again = await this.#openHeld(blob, wanted === 'whole' ? undefined : () => wanted, signal);
      if (again.value.content === undefined) throw new ContentError('missing', 'nothing was fetched');
      return again.value.content;
    });
  }

  async #openStored(
    digest: Digest,
    sizeBytes: number,
    select: Selection | undefined,
  ): Promise<Blob | undefined> {
    const wanted = select === undefined ? 'whole' : select(sizeBytes, true);
    if (wanted === undefined) return { sizeBytes, content: undefined };
    if (wanted === 'whole' && sizeBytes <= SMALL_BYTES) {
      const bytes = await this.#small(digest);
      return bytes && { sizeBytes, content: contentOf(bytes) };
    }
    const [first] = wanted === 'whole' ? [] : wanted;
    const content =
      first === undefined
        ? await this.#parts.cache.open(digest)
        : await this.#parts.cache.open(digest, first.start, first.end - first.start);
    return content && { sizeBytes, content };
  }

  /** What is stored: its row is here. */
  async #small(digest: Digest): Promise<Buffer | undefined> {
    const { cache, memory } = this.#parts;
    const known = memory.get(digest);
    if (known !== undefined) {
      cache.touch(digest);
      return known;
    }
    const bytes = await cache.readWhole(digest, SMALL_BYTES);
    if (bytes !== undefined) memory.put(digest, bytes);
    return bytes;
  }

  async #fetchWhole(
    digest: Digest,
    expectedBytes: number | undefined,
    source: BlobSource,
    signal: AbortSignal,
  ): Promise<Served<Blob>> {
    const { fetch, isJoined } = this.#parts.fetches.join(digest, expectedBytes, source);
    const content = await fetch.open('whole', undefined, signal);
    const value = { sizeBytes: content.sizeBytes, content, bypassReason: () => fetch.bypassReason };
    return { value, ...outcomeOf(fetch, isJoined) };
  }

  async #fetchRanges(
    key: RepositoryKey,
    digest: Digest,
    source: BlobSource,
    select: Selection,
    signal: AbortSignal,
  ): Promise<Served<Blob>> {
    const { cache, fetches } = this.#parts;
    // The index's word on the size may come from a manifest alone; positions must be counted from the upstream's.
    const inFlight = fetches.running(key.upstream, digest)?.sizeBytes;
    const sizeBytes = inFlight ?? (await this.#askKnownSize(key, digest, signal));
    const wanted = select(sizeBytes, false);
    if (wanted === undefined)
      return { value: { sizeBytes, content: undefined }, outcome: 'miss', reason: 'not-stored' };
    if (wanted === 'whole') return this.#fetchWhole(digest, sizeBytes, source, signal);
    const running = fetches.running(key.upstream, digest);
    const wantedBytes = lengthOf(wanted);
    const isProbe = running === undefined && !wantsWhole(wantedBytes, sizeBytes);
    const hasNoRoom =
      running === undefined ? !cache.canHold(sizeBytes, key.upstream) : running.bypassReason !== undefined;
    if (isProbe || hasNoRoom) {
      const passing = fetches.passBy(digest, sizeBytes, wantedBytes, source);
      const content = await passing.open(wanted, sizeBytes, signal);
      const value = { sizeBytes, content };
      if (!hasNoRoom) return { value, outcome: 'miss', reason: 'probe' };
      return { value, outcome: 'bypass', reason: cache.condition.isSound ? 'no-room' : 'store-trouble' };
    }
    const { fetch, isJoined } = fetches.join(digest, sizeBytes, source);
    const content = await fetch.open(wanted, sizeBytes, signal);
    const value = { sizeBytes, content, bypassReason: () => fetch.bypassReason };
    return { value, ...outcomeOf(fetch, isJoined) };
  }

  /**
   * Asks the upstream whether this repository holds the blob, and remembers that it does.
   * @returns the size; `undefined` when the upstream does not tell
   */
  async #askSize(key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const { flights, contents, upstream } = this.#parts;
    return flights.run(
      `blob-head ${key.upstream} ${key.repository} ${digest}`,
      async (shared) => {
        const sizeBytes = await upstream(key.upstream).headBlob(key.repository, digest, shared);
        if (sizeBytes !== undefined) await contents.record(key, [{ digest, sizeBytes }]);
        return sizeBytes;
      },
      signal,
    );
  }

  async #askKnownSize(key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<number> {
    const sizeBytes = await this.#askSize(key, digest, signal);
    if (sizeBytes !== undefined) return sizeBytes;
    throw new UpstreamError('protocol', `${key.upstream} does not tell the blob's size`);
  }
}

function contentOf(bytes: Buffer): Content {
  return {
    sizeBytes: bytes.length,
    read: async (position, limitBytes) => ({
      bytes: bytes.subarray(position, position + limitBytes),
      release: () => undefined,
    }),
    close: () => undefined,
  };
}

function outcomeOf(fetch: BlobFetch, isJoined: boolean): Pick<Served<Blob>, 'outcome' | 'reason'> {
  if (fetch.bypassReason !== undefined) return { outcome: 'bypass', reason: fetch.bypassReason };
  return isJoined ? { outcome: 'joined', reason: 'in-flight' } : { outcome: 'miss', reason: 'not-stored' };
}

function lengthOf(wanted: Exclude<Wanted, 'whole'>): number {
  return wanted.reduce((sum, { start, end }) => sum + end - start, 0);
}
