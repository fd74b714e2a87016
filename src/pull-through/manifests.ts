import type { Clock } from '../clock.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import { MANIFEST_MEDIA_TYPES } from '../oci/media-type.ts';
import type { Reference, Tag } from '../oci/reference.ts';
import type { ManifestHead, ManifestOptions, Patience } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import {
  ageOf,
  type FreshnessPolicy,
  freshnessOf,
  mayServeStale,
  needsNoPatience,
  staleReason,
} from './freshness.ts';
import { type Manifest, ManifestDocuments, type ManifestDocumentsParts } from './manifest-documents.ts';
import type { OutcomeReason } from './outcome-reason.ts';
import type { RepositoryPolicies } from './repository-policies.ts';
import { asShared, type Served } from './served.ts';
import { acceptKey, EVERY_KIND, TagCopies, type TagCopy } from './tag-copies.ts';

export type { Manifest } from './manifest-documents.ts';

/** What HEAD tells. */
export interface ManifestDescription {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly sizeBytes: number;
}

export interface ManifestsParts extends ManifestDocumentsParts {
  readonly metadata: MetadataStore;
  readonly clock: Clock;
  readonly policies: Pick<RepositoryPolicies, 'of'>;
}

/** While a copy is held, trouble upstream is not waited out for long: the copy is the better answer. */
export const PATIENCE_WITH_COPY_MS = 500;

/**
 * Manifests by tag: revalidated by HEAD, which Docker Hub does not count, then fetched by the digest that HEAD gave.
 * Those by digest are ManifestDocuments' business.
 */
export class Manifests {
  readonly #parts: ManifestsParts;
  readonly #documents: ManifestDocuments;
  readonly #copies: TagCopies;

  constructor(parts: ManifestsParts) {
    this.#parts = parts;
    this.#documents = new ManifestDocuments(parts);
    this.#copies = new TagCopies({ ...parts, documents: this.#documents });
  }

  /** @param accepted the manifest types that the client takes; matters for tags only: a digest names its bytes. */
  async get(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    if ('digest' in reference) return this.#documents.get(key, reference.digest, {}, signal);
    const { tag } = reference;
    const local = await this.#localTag(key, tag, accepted);
    if (local !== undefined) return local;
    return this.#share(
      `tag ${key.upstream} ${key.repository} ${tag} ${accepted.join()}`,
      async (shared) => {
        const copy = await this.#copies.find(key, tag, accepted);
        const before = copy?.manifest ?? (await this.#copies.whyNone(key, tag, accepted));
        try {
          const known = copy === undefined ? await this.#freshlyNamed(key, tag, accepted, shared) : undefined;
          return known ?? explained(await this.#revalidate(key, tag, accepted, copy, shared), before);
        } catch (error) {
          return this.#stale(copy, error, this.#policy(key, tag));
        }
      },
      signal,
    );
  }

  /** As `get`, but downloads nothing that is not here: asks upstream by HEAD. */
  async describe(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    const local = await this.#local(key, reference, accepted);
    if (local !== undefined) return described(local);
    const name = 'tag' in reference ? reference.tag : reference.digest;
    return this.#share(
      `manifest-head ${key.upstream} ${key.repository} ${name} ${accepted.join()}`,
      async (shared) => {
        if ('digest' in reference) return this.#describeDigest(key, reference.digest, shared);
        const copy = await this.#copies.find(key, reference.tag, accepted);
        const before = copy?.manifest ?? (await this.#copies.whyNone(key, reference.tag, accepted));
        try {
          return explained(await this.#describeTag(key, reference.tag, accepted, copy, shared), before);
        } catch (error) {
          return described(this.#stale(copy, error, this.#policy(key, reference.tag)));
        }
      },
      signal,
    );
  }

  /** What would be served without asking: nobody is asked now. */
  async held(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
  ): Promise<Served<Manifest> | undefined> {
    return this.#local(key, reference, accepted);
  }

  /** Waits until a document that was fetched is stored, or could not be. */
  settled(digest: Digest): Promise<void> {
    return this.#documents.settled(digest);
  }

  /** Waits until all that was fetched is stored. */
  close(): Promise<void> {
    return this.#documents.close();
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

  // --- without asking ----------------------------------------------------------------------------------------------

  async #local(
    key: RepositoryKey,
    reference: Reference,
    accepted: readonly string[],
  ): Promise<Served<Manifest> | undefined> {
    if ('tag' in reference) return this.#localTag(key, reference.tag, accepted);
    const held = await this.#documents.held(key, reference.digest);
    return held && { value: held, outcome: 'hit' };
  }

  async #localTag(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
  ): Promise<Served<Manifest> | undefined> {
    const { clock } = this.#parts;
    const copy = await this.#copies.find(key, tag, accepted);
    const policy = this.#policy(key, tag);
    const freshness = freshnessOf(copy, policy, clock.now());
    if (copy === undefined || freshness === 'ask') return undefined;
    const isFresh = freshness === 'fresh';
    const ageMs = ageOf(copy, clock.now());
    const freshForMs = policy.ttlMs - ageMs;
    if (isFresh) return { value: copy.manifest, outcome: 'hit', ageMs, freshForMs };
    return { value: copy.manifest, outcome: 'stale', reason: 'offline', ageMs };
  }

  #stale(copy: TagCopy | undefined, error: unknown, policy: FreshnessPolicy): Served<Manifest> {
    const { clock } = this.#parts;
    if (copy === undefined || !mayServeStale(copy, error, policy, clock.now())) throw error;
    const ageMs = ageOf(copy, clock.now());
    return { value: copy.manifest, outcome: 'stale', reason: staleReason(error), ageMs };
  }

  // --- GET by tag --------------------------------------------------------------------------------------------------

  /** A HEAD of a moment ago has already told which manifest it is: only the document is missing. */
  async #freshlyNamed(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    signal: AbortSignal,
  ): Promise<Served<Manifest> | undefined> {
    const { clock } = this.#parts;
    const row = await this.#copies.row(key, tag, acceptKey(accepted));
    const policy = this.#policy(key, tag);
    if (row === undefined || freshnessOf(row, policy, clock.now()) !== 'fresh') return undefined;
    try {
      const served = await this.#documents.get(key, row.digest, {}, signal);
      const ageMs = ageOf(row, clock.now());
      // A hit, where somebody brought the document meanwhile, may be given again.
      return { ...served, ageMs, freshForMs: policy.ttlMs - ageMs };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /**
   * Asks for every kind first, whatever the client takes: that is what the tag means to all. What the client cannot
   * take is not fetched; the upstream may have another form of it.
   */
  async #revalidate(
    key: RepositoryKey,
    tag: Tag,
    accepted: readonly string[],
    copy: TagCopy | undefined,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    const { clock, observer } = this.#parts;
    const patience = patienceWith(copy, this.#policy(key, tag));
    const checkedAt = clock.now();
    const askAs = async (accept: readonly string[], head: ManifestHead): Promise<Served<Manifest>> => {
      const served = await this.#byHead(key, tag, head, { accept, ...patience }, signal);
      await this.#copies.put(key, tag, accept, { digest: served.value.digest, checkedAt });
      return served;
    };
    const askNarrowly = async () =>
      askAs(accepted, await this.#head(key, tag, { accept: accepted, ...patience }, signal));
    const isTaken = (mediaType: string | undefined) =>
      mediaType === undefined || acceptKey(accepted) === EVERY_KIND || accepted.includes(mediaType);

    const head = await this.#head(key, tag, { accept: MANIFEST_MEDIA_TYPES, ...patience }, signal);
    let served = isTaken(head.mediaType) ? await askAs(MANIFEST_MEDIA_TYPES, head) : await askNarrowly();
    // Where HEAD tells no type, only the document does.
    if (head.mediaType === undefined && !isTaken(served.value.mediaType)) served = await askNarrowly();
    const previous = copy?.manifest.digest;
    const { digest } = served.value;
    if (previous !== undefined && previous !== digest) {
      observer.tagMoved(key.upstream, key.repository, tag, previous, digest);
    }
    return { ...served, ageMs: 0 };
  }

  async #byHead(
    key: RepositoryKey,
    tag: Tag,
    head: ManifestHead,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    if (head.digest === undefined) return this.#fetchTag(key, tag, options, signal);
    const { accept: _, ...patience } = options;
    try {
      const served = await this.#documents.get(key, head.digest, { head, ...patience }, signal);
      return served.outcome === 'hit' ? { ...served, outcome: 'revalidated' } : served;
    } catch (error) {
      // Moved between the two requests, or a registry that serves by tag what it will not by digest.
      if (!isNotFound(error)) throw error;
      return this.#fetchTag(key, tag, options, signal);
    }
  }

  // --- HEAD --------------------------------------------------------------------------------------------------------

  async #describeDigest(
    key: RepositoryKey,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    const options = { accept: MANIFEST_MEDIA_TYPES };
    const upstream = this.#parts.upstream(key.upstream);
    const head = await upstream.headManifest(key.repository, { digest }, options, signal);
    const told = await this.#told(key, head);
    if (told !== undefined) return { value: told, outcome: 'miss', reason: 'not-stored' };
    return described(await this.#documents.get(key, digest, {}, signal));
  }

  async #describeTag(
    key: RepositoryKey,
    tag: Tag,
    accept: readonly string[],
    copy: TagCopy | undefined,
    signal: AbortSignal,
  ): Promise<Served<ManifestDescription>> {
    const checkedAt = this.#parts.clock.now();
    const options = { accept, ...patienceWith(copy, this.#policy(key, tag)) };
    const told = await this.#told(key, await this.#head(key, tag, options, signal));
    if (told === undefined) {
      const fetched = await this.#fetchTag(key, tag, options, signal);
      await this.#copies.put(key, tag, accept, { digest: fetched.value.digest, checkedAt });
      return { ...described(fetched), ageMs: 0 };
    }
    const isSame = copy?.manifest.digest === told.digest;
    // A copy that the tag no longer means stays what it means here until the new one is: it may yet have to do.
    if (isSame || copy === undefined) {
      await this.#copies.put(key, tag, accept, { digest: told.digest, checkedAt });
    }
    return { value: told, outcome: isSame ? 'revalidated' : 'miss', ageMs: 0 };
  }

  /** `undefined` when a registry refuses HEAD, or leaves out what clients need of it: only the document can tell. */
  async #told(key: RepositoryKey, head: ManifestHead): Promise<ManifestDescription | undefined> {
    const { digest, mediaType, sizeBytes } = head;
    const isKnown = mediaType !== undefined && MANIFEST_MEDIA_TYPES.includes(mediaType);
    if (digest === undefined || !isKnown || sizeBytes === undefined) return undefined;
    await this.#documents.recordHead(key, digest, mediaType, sizeBytes);
    return { digest, mediaType, sizeBytes };
  }

  // --- asking by tag, and what is known of tags --------------------------------------------------------------------

  /** Asked for at the same time by clients of any kind, and by GET and HEAD alike, it is one request. */
  async #head(
    key: RepositoryKey,
    tag: Tag,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<ManifestHead> {
    const { flights, upstream } = this.#parts;
    const { accept, patienceMs } = options;
    const ask = (shared: AbortSignal) =>
      upstream(key.upstream).headManifest(key.repository, { tag }, options, shared);
    const name = `tag-head ${key.upstream} ${key.repository} ${tag} ${accept.join()} ${patienceMs ?? ''}`;
    return this.#orForget(key, tag, accept, () => flights.run(name, ask, signal));
  }

  async #fetchTag(
    key: RepositoryKey,
    tag: Tag,
    options: ManifestOptions,
    signal: AbortSignal,
  ): Promise<Served<Manifest>> {
    return this.#orForget(key, tag, options.accept, () =>
      this.#documents.fetchTag(key, tag, options, signal),
    );
  }

  /** A tag that the upstream has not for some types it may yet have for others; what it has for none is gone. */
  async #orForget<T>(
    key: RepositoryKey,
    tag: Tag,
    accept: readonly string[],
    ask: () => Promise<T>,
  ): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      const isGone = error instanceof UpstreamError && error.status === 404;
      // Where a 404 is not the last word, what is held must outlive it.
      if (isGone && this.#policy(key, tag).staleMs['404'] === undefined) {
        const { contents, metadata } = this.#parts;
        const which = acceptKey(accept);
        await contents.guard(() => metadata.deleteTag(key, tag, which === EVERY_KIND ? undefined : which));
      }
      throw error;
    }
  }

  #policy(key: RepositoryKey, tag: Tag): FreshnessPolicy {
    return this.#parts.policies.of(key).freshnessOfTag(tag);
  }
}

/** With the reason why the upstream was asked. @param before what the tag meant here, or why nothing was known */
function explained<T extends { readonly digest: Digest }>(
  served: Served<T>,
  before: { readonly digest: Digest } | OutcomeReason,
): Served<T> {
  if (served.outcome === 'bypass') return served;
  if (typeof before === 'string') return { ...served, reason: before };
  return { ...served, reason: before.digest === served.value.digest ? 'tag-expired' : 'tag-moved' };
}

function patienceWith(copy: TagCopy | undefined, policy: FreshnessPolicy): Patience {
  return copy === undefined || !needsNoPatience(policy) ? {} : { patienceMs: PATIENCE_WITH_COPY_MS };
}

function isNotFound(error: unknown): boolean {
  return error instanceof UpstreamError && error.reason === 'not-found';
}

function described(served: Served<Manifest>): Served<ManifestDescription> {
  const { digest, mediaType, bytes } = served.value;
  return { ...served, value: { digest, mediaType, sizeBytes: bytes.length } };
}
