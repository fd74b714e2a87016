import type { Clock } from '../clock.ts';
import type { SlabPool } from '../content/slabs.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { Upstream } from '../upstream/upstream.ts';
import type { BlobCache } from '../cache/blob-cache.ts';
import type { Bandwidths } from './bandwidth.ts';
import type { FillSettings } from './blob-fetch-task.ts';
import { BlobFetches, type RunningFetch } from './blob-fetches.ts';
import { type Blob, Blobs, type FillOutcome, type Selection } from './blobs.ts';
import { ContentMemory } from './content-memory.ts';
import { Lists } from './lists.ts';
import { type Manifest, type ManifestDescription, Manifests } from './manifests.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';
import { PullThroughError } from './pull-through-error.ts';
import type { RepositoryPolicies } from './repository-policies.ts';
import { RepositoryContents } from './repository-contents.ts';
import type { Served } from './served.ts';
import { SingleFlight } from './single-flight.ts';

/** Memory that manifests and small blobs may take. */
const CONTENT_MEMORY_BYTES = 64 * 1024 * 1024;

export interface PullThroughParts {
  /** By name; asked at each request, since they may change. */
  readonly upstreams: Pick<ReadonlyMap<string, Upstream>, 'get'>;
  readonly policies: Pick<RepositoryPolicies, 'of' | 'segmentLimit'>;
  readonly cache: BlobCache;
  readonly metadata: MetadataStore;
  readonly slabs: SlabPool;
  readonly clock: Clock;
  readonly observer: PullThroughObserver;
  readonly filling: FillSettings;
  readonly bandwidths: Bandwidths;
}

/** Who gives answers again that were decided upon here. Neither throws. */
export interface AnswerRepeaters {
  /** `generation` is another one now. */
  changed(): void;
  /** Resolves, within seconds, when all of them know. */
  forgotten(): Promise<void>;
}

/**
 * The decision: from the cache, from a transfer in flight, or from the upstream; nothing at all for repositories that
 * the configuration does not allow. Every call fails with what the layer that could not do its part threw
 * (UpstreamError, PullThroughError), or with the signal's reason.
 */
export class PullThrough {
  readonly #fetches: BlobFetches;
  readonly #blobs: Blobs;
  readonly #manifests: Manifests;
  readonly #memory = new ContentMemory(CONTENT_MEMORY_BYTES);
  readonly #lists: Lists;
  readonly #policies: Pick<RepositoryPolicies, 'of' | 'segmentLimit'>;
  readonly #flights = new SingleFlight();
  readonly #cache: BlobCache;
  #generation = 0;
  /** Whoever else gives answers of ours again. */
  repeaters: AnswerRepeaters | undefined;

  constructor(parts: PullThroughParts) {
    const { upstreams, policies, cache, metadata, clock, observer, slabs } = parts;
    const upstream = (name: string) => {
      const found = upstreams.get(name);
      if (found === undefined)
        throw new PullThroughError('unknown-upstream', `no upstream is configured as ${name}`);
      return found;
    };
    this.#policies = policies;
    this.#cache = cache;
    const tagMoved: PullThroughObserver['tagMoved'] = (...move) => {
      this.#changed();
      observer.tagMoved(...move);
    };
    const contents = new RepositoryContents(metadata, observer);
    const flights = this.#flights;
    const lines = {
      segmentLimit: (name: string) => this.#policies.segmentLimit(name),
      bandwidths: parts.bandwidths,
    };
    this.#fetches = new BlobFetches({ clock, cache, slabs, observer, settings: parts.filling }, lines);
    this.#blobs = new Blobs({
      cache,
      memory: this.#memory,
      fetches: this.#fetches,
      contents,
      flights,
      upstream,
    });
    this.#manifests = new Manifests({
      cache,
      memory: this.#memory,
      metadata,
      contents,
      flights,
      clock,
      observer: { ...observer, tagMoved },
      upstream,
      policies,
    });
    this.#lists = new Lists({ metadata, contents, flights, clock, upstream, policies });
  }

  /**
   * Another number whenever a hit of before may not be one any more: a purge, content that turned out bad, another
   * configuration, a tag that moved. Never a smaller one.
   */
  get generation(): number {
    return this.#generation + this.#cache.condemnedCount;
  }

  /** Upstreams are others now: no request that begins shares what was asked of those before. */
  upstreamsChanged(): void {
    this.#changed();
    this.#flights.detach();
  }

  configureFills(settings: FillSettings): void {
    this.#fetches.configure(settings);
  }

  /** May anything that is under way ask this upstream yet? */
  isUsing(upstream: string): boolean {
    return this.#fetches.isUsing(upstream);
  }

  /** For gauges. */
  get fillsInFlight(): number {
    return this.#fetches.count;
  }

  /** When the oldest of them began, milliseconds since 1970; `undefined`: there is none. */
  get oldestFillBegunAt(): number | undefined {
    return this.#fetches.list(1)[0]?.begunAt;
  }

  get fillReaders(): number {
    return this.#fetches.readerCount;
  }

  /** @param accepted manifest types that the client takes */
  async manifest(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    this.#policies.of(key);
    return this.#manifests.get(key, reference, accepted, signal);
  }

  /** As `manifest`, without the document: what is not cached is asked upstream by HEAD. */
  async manifestDescription(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    this.#policies.of(key);
    return this.#manifests.describe(key, reference, accepted, signal);
  }

  /** @param select what of the blob to read, once its size is known; absent = all of it */
  async blob(
    key: RepositoryKey,
    digest: Digest,
    select: Selection | undefined,
    signal: AbortSignal,
  ): Promise<Served<Blob>> {
    this.#policies.of(key);
    return this.#blobs.open(key, digest, select, signal);
  }

  /** The blob's size. Opens nothing and downloads nothing. */
  async blobSize(key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<Served<number>> {
    this.#policies.of(key);
    return this.#blobs.describe(key, digest, signal);
  }

  /** The manifest that would be served without asking the upstream. */
  async heldManifest(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
  ): Promise<Served<Manifest> | undefined> {
    this.#policies.of(key);
    return this.#manifests.held(key, reference, accepted);
  }

  /** The size of a blob that is stored, and was seen to be held by the repository. Asks nobody. */
  async heldBlob(key: RepositoryKey, digest: Digest): Promise<number | undefined> {
    this.#policies.of(key);
    return this.#blobs.held(key, digest);
  }

  /**
   * Makes sure that a blob is stored: finds it here, joins its fill or begins it, and waits without reading a byte.
   * `bypass`: it cannot be stored.
   * @param expectedBytes its size as a manifest says it, if known
   */
  async fillBlob(
    key: RepositoryKey,
    digest: Digest,
    expectedBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<FillOutcome> {
    this.#policies.of(key);
    return this.#blobs.store(key, digest, expectedBytes, signal);
  }

  /** Is a manifest that was fetched stored now? Waits while it is on its way to the disk. */
  async storedManifest(key: RepositoryKey, digest: Digest): Promise<boolean> {
    await this.#manifests.settled(digest);
    return (await this.heldBlob(key, digest)) !== undefined;
  }

  /** What came in so far of a blob in flight; `undefined` when none is. */
  fillProgress(upstream: string, digest: Digest): number | undefined {
    return this.#fetches.running(upstream, digest)?.presentBytes;
  }

  /** Blobs that are being fetched, the oldest first. */
  fills(limit: number): readonly RunningFetch[] {
    return this.#fetches.list(limit);
  }

  /** Transfers of blobs from an upstream that clients wait for right now. */
  clientFills(upstream: string): number {
    return this.#fetches.clientCount(upstream);
  }

  /** All tags, in lexical order. */
  async tags(key: RepositoryKey, signal: AbortSignal): Promise<Served<readonly string[]>> {
    this.#policies.of(key);
    return this.#lists.tags(key, signal);
  }

  /** Descriptors of what refers to `subject`, unfiltered, as the upstream sent them. */
  async referrers(
    key: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<Served<readonly Record<string, unknown>[]>> {
    this.#policies.of(key);
    return this.#lists.referrers(key, subject, signal);
  }

  /** Of what was purged: what still asks for it is not served from memory. */
  forget(digest: Digest): void {
    this.#changed();
    this.#memory.forget(digest);
  }

  /** A repository holds something no more that others may hold. */
  holdingsForgotten(): void {
    this.#changed();
  }

  /** Resolves when nobody gives an answer again that was decided upon before this call and may not hold any more. */
  async forgottenEverywhere(): Promise<void> {
    await this.repeaters?.forgotten();
  }

  #changed(): void {
    this.#generation += 1;
    this.repeaters?.changed();
  }

  /** Ends all fills, and waits until what was fetched is stored. What is being read from the cache goes on. */
  async close(): Promise<void> {
    await this.#fetches.close();
    await this.#manifests.close();
  }
}
