import type { Clock } from '../clock.ts';
import type { MetadataStore, NewHolding, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { ManifestError, readManifest } from '../oci/manifest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { ManifestDocument, Upstream } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { BlobCache } from './blob-cache.ts';
import { ageOf, type FreshnessPolicy, freshnessOf, mayServeStale } from './freshness.ts';
import type { ManifestMemory } from './manifest-memory.ts';
import type { PullThroughObserver } from './pull-through-observer.ts';
import type { RepositoryContents } from './repository-contents.ts';
import { asShared, type Outcome, type Served } from './served.ts';
import type { SingleFlight } from './single-flight.ts';

export interface Manifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** What HEAD tells. */
export interface ManifestDescription {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

export interface ManifestsParts {
  readonly cache: BlobCache;
  readonly memory: ManifestMemory;
  readonly metadata: MetadataStore;
  readonly contents: RepositoryContents;
  readonly flights: SingleFlight;
  readonly clock: Clock;
  readonly observer: PullThroughObserver;
  readonly upstream: (name: string) => Upstream;
  readonly policy: (upstream: string) => FreshnessPolicy;
}

/** While a copy is held, trouble upstream is not waited out for long: the copy is the better answer. */
export const PATIENCE_WITH_COPY_MS = 500;

/**
 * Manifests by digest (immutable: never asked for twice) and by tag (revalidated by HEAD, which Docker Hub does not
 * count; then fetched by the digest that HEAD gave).
 */
export class Manifests {
  readonly #parts: ManifestsParts;

  constructor(parts: ManifestsParts) {
    this.#parts = parts;
  }

  /** @param accepted the manifest types that the client takes; matters for tags only: a digest names its bytes. */
  async get(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    if ('digest' in reference) return this.#byDigest(key, reference.digest, signal);
    return this.#byTag(key, reference.tag, accepted, signal);
  }

  /** As `get`, but downloads nothing that is not here: asks upstream by HEAD. */
  async describe(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    const local = await this.#local(key, reference, accepted);
    if (local !== undefined) return { ...local, value: describe(local.value) };
    const name = 'tag' in reference ? reference.tag : reference.digest;
    return this.#share(
      `manifest-head ${key.upstream} ${key.repository} ${name} ${accepted.join()}`,
      async (shared) => {
        if ('digest' in reference) return this.#ask(key, reference, MANIFEST_MEDIA_TYPES, undefined, shared);
        const copy = await this.#copyOf(key, reference.tag, accepted);
        try {
          return await this.#ask(key, reference, accepted, copy, shared);
        } catch (error) {
          const served = await this.#afterFailure(key, reference.tag, copy, error);
          return { ...served, value: describe(served.value) };
        }
      },
      signal,
    );
  }

  async #share<T>(
    key: string,
    work: (signal: AbortSignal) => Promise<Served<T>>,
    signal: AbortSignal,
  ): Promise<Served<T>> {
    const { flights } = this.#parts;
    const isShared = flights.isRunning(key);
    return asShared(await flights.run(key, work, signal), isShared);
  }

  // --- by digest ---------------------------------------------------------------------------------------------------

  async #byDigest(key: RepositoryKey, digest: Digest, signal: AbortSignal): Promise<Served<Manifest>> {
    const held = await this.#held(key, digest);
    if (held !== undefined) return { value: held, outcome: 'hit' };
    return this.#share(
      `manifest ${key.upstream} ${key.repository} ${digest}`,
      async (shared) =>
        (await this.#confirmStored(key, digest, shared)) ?? this.#fetch(key, { digest }, shared),
      signal,
    );
  }

  /** The stored manifest, if this repository was seen to hold it as one. */
  async #held(key: RepositoryKey, digest: Digest): Promise<Manifest | undefined> {
    const { contents } = this.#parts;
    const mediaType = (await contents.holding(key, digest))?.manifestType;
    if (mediaType === undefined) return undefined;
    const bytes = await this.#stored(digest);
    return bytes && { digest, mediaType, bytes };
  }

  async #stored(digest: Digest): Promise<Buffer | undefined> {
    const { cache, memory } = this.#parts;
    const hot = memory.get(digest);
    if (hot !== undefined) {
      cache.touch(digest);
      return hot;
    }
    const bytes = await cache.readWhole(digest);
    if (bytes !== undefined) memory.put(digest, bytes);
    return bytes;
  }

  /** Bytes that another repository brought here are this one's too if its upstream says so: a HEAD instead of a GET. */
  async #confirmStored(
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Served<Manifest> | undefined> {
    const { upstream } = this.#parts;
    const bytes = await this.#stored(digest);
    if (bytes === undefined) return undefined;
    const options = { accept: MANIFEST_MEDIA_TYPES };
    const head = await upstream(key.upstream).headManifest(key.repository, { digest }, options, signal);
    if (head.digest !== digest || head.mediaType === undefined) return undefined;
    try {
      const facts = readManifest(bytes, head.mediaType);
      await this.#record(key, { digest, bytes, facts });
      return { value: { digest, mediaType: facts.mediaType, bytes }, outcome: 'revalidated' };
    } catch (error) {
      if (error instanceof ManifestError) return undefined;
      throw error;
    }
  }

  async #fetch(
    key: RepositoryKey,
    reference: Reference,
    signal: AbortSignal,
    options: { readonly accept?: readonly string[]; readonly patienceMs?: number } = {},
  ): Promise<Served<Manifest>> {
    const { upstream, cache, memory } = this.#parts;
    const asked = { accept: MANIFEST_MEDIA_TYPES, ...options };
    const document = await upstream(key.upstream).getManifest(key.repository, reference, asked, signal);
    const { digest, bytes, facts } = document;
    const isStored = await cache.put(digest, bytes);
    await this.#record(key, document);
    if (isStored) memory.put(digest, bytes);
    const value = { digest, mediaType: facts.mediaType, bytes };
    return { value, outcome: isStored ? 'miss' : 'bypass' };
  }

  /** That the repository holds the manifest, and all that it lists (but for what a registry need not hold). */
  async #record(key: RepositoryKey, { digest, bytes, facts }: ManifestDocument): Promise<void> {
    const own: NewHolding = { digest, sizeBytes: bytes.length, manifestType: facts.mediaType };
    const listed = facts.descriptors
      .filter(({ held, digest: child }) => held && child !== digest)
      .map(({ digest: child, size }): NewHolding => ({ digest: child, sizeBytes: size }));
    await this.#parts.contents.record(key, [own, ...listed]);
  }

  // --- by tag ------------------------------------------------------------------------------------------------------

  async #byTag(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const local = await this.#local(key, { tag }, accepted);
    if (local !== undefined) return local;
    const full = await this.#revalidateShared(key, tag, MANIFEST_MEDIA_TYPES, signal);
    if (accepted.includes(full.value.mediaType)) return full;
    // The tag means something this client cannot take: the upstream may have another form of it.
    return this.#revalidateShared(key, tag, accepted, signal);
  }

  /** What can be answered without asking. */
  async #local(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
  ): Promise<Served<Manifest> | undefined> {
    if ('digest' in reference) {
      const held = await this.#held(key, reference.digest);
      return held && { value: held, outcome: 'hit' };
    }
    const { clock, policy } = this.#parts;
    const copy = await this.#copyOf(key, reference.tag, accepted);
    const freshness = freshnessOf(copy, policy(key.upstream), clock.now());
    if (copy === undefined || freshness === 'ask') return undefined;
    const outcome: Outcome = freshness === 'fresh' ? 'hit' : 'stale';
    return { value: copy.manifest, outcome, ageMs: ageOf(copy, clock.now()) };
  }

  /** The manifest that the tag last meant, in a form that the client takes. */
  async #copyOf(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
  ): Promise<{ readonly manifest: Manifest; readonly checkedAt: number } | undefined> {
    for (const accept of new Set([
      '',
      accepted.length === MANIFEST_MEDIA_TYPES.length ? '' : accepted.join(),
    ])) {
      const row = await this.#parts.contents.guard(() => this.#parts.metadata.tag({ ...key, tag, accept }));
      const manifest = row && (await this.#held(key, row.digest));
      if (row !== undefined && manifest !== undefined && accepted.includes(manifest.mediaType)) {
        return { manifest, checkedAt: row.checkedAt };
      }
    }
    return undefined;
  }

  async #revalidateShared(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    return this.#share(
      `tag ${key.upstream} ${key.repository} ${tag} ${accepted.join()}`,
      async (shared) => {
        const copy = await this.#copyOf(key, tag, accepted);
        try {
          return await this.#revalidate(key, tag, accepted, copy, shared);
        } catch (error) {
          return await this.#afterFailure(key, tag, copy, error);
        }
      },
      signal,
    );
  }

  async #revalidate(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    copy: { readonly manifest: Manifest } | undefined,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const { upstream, clock, observer } = this.#parts;
    const options = { accept: accepted, ...(copy !== undefined && { patienceMs: PATIENCE_WITH_COPY_MS }) };
    const checkedAt = clock.now();
    const head = await upstream(key.upstream).headManifest(key.repository, { tag }, options, signal);
    const served = await this.#byHead(key, tag, head.digest, options, signal);
    const { digest } = served.value;
    const previous = copy?.manifest.digest;
    if (previous !== undefined && previous !== digest) {
      observer.tagMoved(key.upstream, key.repository, tag, previous, digest);
    }
    await this.#putTag(key, tag, accepted, { digest, checkedAt });
    return { ...served, ageMs: 0 };
  }

  async #byHead(
    key: RepositoryKey,
    tag: Tag,
    digest: Digest | undefined,
    options: { readonly accept: readonly string[]; readonly patienceMs?: number },
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    if (digest === undefined) return this.#fetch(key, { tag }, signal, options);
    const held = await this.#held(key, digest);
    if (held !== undefined) return { value: held, outcome: 'revalidated' };
    const confirmed = await this.#confirmStored(key, digest, signal);
    if (confirmed !== undefined) return confirmed;
    try {
      return await this.#fetch(key, { digest }, signal, options);
    } catch (error) {
      // Moved between the two requests, or a registry that serves by tag what it will not by digest.
      if (!(error instanceof UpstreamError) || error.reason !== 'not-found') throw error;
      return this.#fetch(key, { tag }, signal, options);
    }
  }

  async #afterFailure(
    key: RepositoryKey,
    tag: Tag,
    copy: { readonly manifest: Manifest; readonly checkedAt: number } | undefined,
    error: unknown,
  ): Promise<Served<Manifest>> {
    const { clock, policy, contents, metadata } = this.#parts;
    if (copy !== undefined && mayServeStale(copy, error, policy(key.upstream), clock.now())) {
      return { value: copy.manifest, outcome: 'stale', ageMs: ageOf(copy, clock.now()) };
    }
    if (error instanceof UpstreamError && error.status === 404) {
      await contents.guard(() => metadata.deleteTag(key, tag));
    }
    throw error;
  }

  async #putTag(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    row: { readonly digest: Digest; readonly checkedAt: number },
  ): Promise<void> {
    const accept = accepted.length === MANIFEST_MEDIA_TYPES.length ? '' : accepted.join();
    await this.#parts.contents.guard(() => this.#parts.metadata.putTag({ ...key, tag, accept }, row));
  }

  // --- HEAD --------------------------------------------------------------------------------------------------------

  async #ask(
    key: RepositoryKey,
    reference: Reference,
    accept: readonly string[],
    copy: { readonly manifest: Manifest } | undefined,
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    const { upstream, clock, contents } = this.#parts;
    const checkedAt = clock.now();
    const options = { accept, ...(copy !== undefined && { patienceMs: PATIENCE_WITH_COPY_MS }) };
    const age = 'tag' in reference ? { ageMs: 0 } : {};
    const head = await upstream(key.upstream).headManifest(key.repository, reference, options, signal);
    const { digest, mediaType, sizeBytes } = head;
    const isKnown = mediaType !== undefined && MANIFEST_MEDIA_TYPES.includes(mediaType);
    if (digest === undefined || !isKnown || sizeBytes === undefined) {
      // A registry that refuses HEAD, or leaves out what clients need of it: only the document can tell.
      const fetched = await this.#fetch(key, reference, signal, options);
      if ('tag' in reference)
        await this.#putTag(key, reference.tag, accept, { digest: fetched.value.digest, checkedAt });
      return { ...fetched, value: describe(fetched.value), ...age };
    }
    await contents.record(key, [{ digest, sizeBytes, manifestType: mediaType }]);
    const isSame = copy?.manifest.digest === digest;
    // A copy that the tag no longer means stays what it means here until the new one is: it may yet have to do.
    if ('tag' in reference && (isSame || copy === undefined)) {
      await this.#putTag(key, reference.tag, accept, { digest, checkedAt });
    }
    return { value: { digest, mediaType, sizeBytes }, outcome: isSame ? 'revalidated' : 'miss', ...age };
  }
}

function describe({ digest, mediaType, bytes }: Manifest): ManifestDescription {
  return { digest, mediaType, sizeBytes: bytes.length };
}
