import { newManifest } from '../cache/new-manifest.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { MANIFEST_SIZE_LIMIT, ManifestError, type ManifestFacts, readManifest } from '../oci/manifest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { Tag } from '../oci/reference.ts';
import type {
  ManifestDocument,
  ManifestHead,
  ManifestOptions,
  Patience,
  Upstream,
} from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { BlobCache } from '../cache/blob-cache.ts';
import type { ContentMemory } from './content-memory.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';
import type { RepositoryContents } from './repository-contents.ts';
import { asShared, type Served } from './served.ts';
import type { SingleFlight } from './single-flight.ts';

export interface Manifest {
  readonly digest: Digest;
  /** That of the document: it was read under this type. */
  readonly mediaType: string;
  readonly bytes: Buffer;
}

export interface ManifestDocumentsParts {
  readonly cache: BlobCache;
  readonly memory: ContentMemory;
  readonly contents: RepositoryContents;
  readonly flights: SingleFlight;
  readonly observer: PullThroughObserver;
  readonly upstream: (name: string) => Upstream;
}

/** Documents on their way to the disk together; what comes beyond that stays in memory only. */
const STORING_LIMIT_BYTES = 32 * 1024 * 1024;

/** Manifests by digest: immutable, so never asked for twice, and never by two requests at once. */
export class ManifestDocuments {
  readonly #parts: ManifestDocumentsParts;
  readonly #storing = new Map<Digest, Promise<void>>();
  #storingBytes = 0;

  constructor(parts: ManifestDocumentsParts) {
    this.#parts = parts;
  }

  /** What is here, if this repository was seen to hold it as a manifest. */
  async held(key: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    const { contents } = this.#parts;
    const mediaType = (await contents.holding(key, digest))?.manifestType;
    if (mediaType === undefined) return undefined;
    const isHot = this.#parts.memory.has(digest);
    const bytes = await this.#stored(digest);
    if (bytes === undefined) return undefined;
    const manifest = { digest, mediaType, bytes };
    if (isHot) await this.#storeAgain(key, manifest);
    return manifest;
  }

  /**
   * From here (`hit`), from here after the upstream confirmed that the repository holds it (`revalidated`), or fetched.
   * @param options.head what the upstream just said of this digest in this repository: spares asking again
   */
  async get(
    key: RepositoryKey,
    digest: Digest,
    options: Patience & { readonly head?: ManifestHead },
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const { flights } = this.#parts;
    const held = await this.held(key, digest);
    if (held !== undefined) return { value: held, outcome: 'hit' };
    const { head, ...patience } = options;
    const name = `manifest ${key.upstream} ${key.repository} ${digest}`;
    const work = async (shared: AbortSignal) =>
      (await this.#confirmStored(key, digest, head, patience, shared)) ??
      this.#fetch(key, { digest }, { accept: MANIFEST_MEDIA_TYPES, ...patience }, shared);
    const isShared = flights.isRunning(name);
    try {
      return asShared(await flights.run(name, work, signal), isShared);
    } catch (error) {
      // It may have been begun by one who has a copy to fall back on, and waited for nothing.
      const isImpatience =
        error instanceof UpstreamError && ['unavailable', 'timeout', 'rate-limited'].includes(error.reason);
      if (!isShared || !isImpatience || options.patienceMs !== undefined) throw error;
      return flights.run(name, work, signal);
    }
  }

  /** Fetched by tag: for registries whose HEAD tells nothing, or that do not serve by digest what they name. */
  async fetchTag(
    key: RepositoryKey,
    tag: Tag,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const { flights } = this.#parts;
    const name = `manifest-by-tag ${key.upstream} ${key.repository} ${tag} ${options.accept.join()}`;
    const isShared = flights.isRunning(name);
    const work = (shared: AbortSignal) => this.#fetch(key, { tag }, options, shared);
    return asShared(await flights.run(name, work, signal), isShared);
  }

  /**
   * Takes the upstream's HEAD on trust for what is not here; for what is, only after its bytes were read under the type
   * that HEAD gives: what is served later must not contradict itself.
   */
  async recordHead(key: RepositoryKey, digest: Digest, mediaType: string, sizeBytes: number): Promise<void> {
    const bytes = await this.#stored(digest);
    const facts = bytes && factsOf(bytes, mediaType);
    if (bytes !== undefined && facts !== undefined) await this.#record(key, { digest, bytes, facts });
    else await this.#parts.contents.record(key, [{ digest, sizeBytes }]);
  }

  /** Waits until it is stored, or could not be; at once when nobody stores it. */
  async settled(digest: Digest): Promise<void> {
    await this.#storing.get(digest);
  }

  /** Waits until all that was fetched is stored. */
  async close(): Promise<void> {
    while (this.#storing.size > 0) await Promise.all(this.#storing.values());
  }

  async #stored(digest: Digest): Promise<Buffer | undefined> {
    const { cache, memory } = this.#parts;
    const hot = memory.get(digest);
    if (hot !== undefined) {
      cache.touch(digest);
      return hot;
    }
    // Any stored blob may be asked for as if it were a manifest: a large one cannot be, and is not read to find out.
    const bytes = await cache.readWhole(digest, MANIFEST_SIZE_LIMIT);
    if (bytes !== undefined) memory.put(digest, bytes);
    return bytes;
  }

  /** Bytes that another repository brought here are this one's too if its upstream says so: a HEAD instead of a GET. */
  async #confirmStored(
    key: RepositoryKey,
    digest: Digest,
    known: ManifestHead | undefined,
    patience: Patience,
    signal: AbortSignal,
  ): Promise<Served<Manifest> | undefined> {
    const { upstream } = this.#parts;
    const bytes = await this.#stored(digest);
    if (bytes === undefined) return undefined;
    const options = { accept: MANIFEST_MEDIA_TYPES, ...patience };
    const head =
      known ?? (await upstream(key.upstream).headManifest(key.repository, { digest }, options, signal));
    if (head.digest !== digest) return undefined;
    const facts = factsOf(bytes, head.mediaType);
    if (facts === undefined) return undefined;
    await this.#record(key, { digest, bytes, facts });
    const value = { digest, mediaType: facts.mediaType, bytes };
    return { value, outcome: 'revalidated', reason: 'not-seen-here' };
  }

  async #fetch(
    key: RepositoryKey,
    reference: { readonly digest: Digest } | { readonly tag: Tag },
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const { upstream, memory } = this.#parts;
    const document = await upstream(key.upstream).getManifest(key.repository, reference, options, signal);
    const { digest, bytes, facts } = document;
    memory.put(digest, bytes);
    await this.#record(key, document);
    const isKept = this.#store(digest, bytes, key.upstream);
    const value = { digest, mediaType: facts.mediaType, bytes };
    if (isKept) return { value, outcome: 'miss', reason: 'not-stored' };
    const { isSound } = this.#parts.cache.condition;
    return { value, outcome: 'bypass', reason: isSound ? 'no-room' : 'store-trouble' };
  }

  /** Stores without being waited for: no reader pays for durability. @returns false when it is known that it will fail. */
  #store(digest: Digest, bytes: Buffer, from: string): boolean {
    if (!this.#parts.cache.canHold(bytes.length, from)) return false;
    if (!this.#storing.has(digest)) {
      if (this.#storingBytes + bytes.length > STORING_LIMIT_BYTES) return false;
      this.#storing.set(digest, this.#storeNow(digest, bytes, from));
    }
    return true;
  }

  /**
   * Memory outlives the file: a hot manifest that was evicted would be gone with the process, and is listed and pinned
   * only when it is stored. Not waited for.
   */
  async #storeAgain(key: RepositoryKey, { digest, mediaType, bytes }: Manifest): Promise<void> {
    const { cache } = this.#parts;
    if (this.#storing.has(digest) || (await cache.row(digest)) !== undefined) return;
    if (this.#storing.has(digest) || !this.#store(digest, bytes, key.upstream)) return;
    const facts = factsOf(bytes, mediaType);
    if (facts !== undefined) void this.#recordAgain(key, { digest, bytes, facts });
  }

  /** What it lists was forgotten with it. A purge meanwhile stands. */
  async #recordAgain(key: RepositoryKey, document: ManifestDocument): Promise<void> {
    const { digest } = document;
    await this.#storing.get(digest);
    if ((await this.#parts.contents.holding(key, digest)) !== undefined) await this.#record(key, document);
  }

  async #storeNow(digest: Digest, bytes: Buffer, from: string): Promise<void> {
    const { cache, observer } = this.#parts;
    this.#storingBytes += bytes.length;
    try {
      await cache.put(digest, bytes, from);
    } catch (cause) {
      observer.cacheFailure('content', cause);
    } finally {
      this.#storingBytes -= bytes.length;
      this.#storing.delete(digest);
    }
  }

  /**
   * That the repository holds the manifest, and the blobs that it lists (but for those that a registry need not hold).
   * Registries check the blobs of a manifest when it is pushed; an index may list what its repository has not, so its
   * children are asked for.
   */
  async #record(key: RepositoryKey, { digest, bytes, facts }: ManifestDocument): Promise<void> {
    const manifest = newManifest(digest, bytes.length, facts);
    await this.#parts.contents.recordManifest(key, manifest);
  }
}

/** `undefined` when the bytes are no manifest of that type. */
function factsOf(bytes: Buffer, mediaType: string | undefined): ManifestFacts | undefined {
  try {
    return readManifest(bytes, mediaType);
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}
