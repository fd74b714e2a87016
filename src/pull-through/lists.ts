import { recentEntries } from '../recent-entries.ts';
import type { Clock } from '../clock.ts';
import type { Listing, MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import { type Descriptor, descriptorFrom } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import { ageOf, freshnessOf, mayServeStale, needsNoPatience, staleReason } from './freshness.ts';
import { staleReasonOf } from './stale-policy.ts';
import { PATIENCE_WITH_COPY_MS } from './manifests.ts';
import type { RepositoryPolicies } from './repository-policies.ts';
import type { RepositoryContents } from './repository-contents.ts';
import type { Served } from './served.ts';
import type { SingleFlight } from './single-flight.ts';

export interface ListsParts {
  readonly metadata: MetadataStore;
  readonly contents: RepositoryContents;
  readonly flights: SingleFlight;
  readonly clock: Clock;
  readonly upstream: (name: string) => Upstream;
  readonly policies: Pick<RepositoryPolicies, 'of'>;
}

/** Answers that are remembered in memory alone, since clients ask for subjects as they like; some 200 bytes each. */
const EMPTY_ANSWER_LIMIT = 10_000;

/** The upstream's word that there is nothing: an empty list, or `error` where it has no such API. */
interface EmptyAnswer {
  readonly checkedAt: number;
  readonly error?: UpstreamError;
}

interface HeldList<T> extends Listing<T> {
  /** Put together from what is known here: the upstream never said it, so it has no age. */
  readonly isPieced?: boolean;
}

interface ListSource<T> {
  /** Names the list among all others. */
  readonly name: string;
  /** What stands while the upstream cannot say and no list is held. It is always asked first. */
  readonly empty?: EmptyAnswer | undefined;
  held(): Promise<HeldList<T> | undefined>;
  ask(options: { readonly patienceMs?: number }, signal: AbortSignal): Promise<readonly T[]>;
  keep(listing: Listing<T>): Promise<void>;
  forget(): Promise<void>;
}

/** The mutable lists of a repository: asked whole, answered again within the tag's time, stale when need be. */
export class Lists {
  readonly #parts: ListsParts;
  /** By repository where it has no referrers API, else by the name of the list. */
  readonly #empty = recentEntries<string, EmptyAnswer>(EMPTY_ANSWER_LIMIT);

  constructor(parts: ListsParts) {
    this.#parts = parts;
  }

  /**
   * Every tag, in lexical order. While the upstream cannot say and its list was never asked for, the tags that are
   * known here, as `stale`.
   */
  async tags(key: RepositoryKey, signal: AbortSignal): Promise<Served<readonly string[]>> {
    const { metadata, upstream } = this.#parts;
    const source: ListSource<string> = {
      name: `tags ${key.upstream} ${key.repository}`,
      held: async () => (await metadata.tagList(key)) ?? (await this.#tagsSeen(key)),
      ask: async (options, shared) => {
        const tags = await upstream(key.upstream).listTags(key.repository, options, shared);
        return [...new Set(tags)].toSorted();
      },
      keep: (listing) => metadata.putTagList(key, listing),
      forget: () => metadata.deleteTagList(key),
    };
    return this.#serve(key, source, signal);
  }

  /**
   * Descriptors of what refers to `subject`.
   * @throws UpstreamError `not-found` when the upstream has no such API, also while it is away: then clients go on to
   * the fall-back tag, which may be held here
   */
  async referrers(
    key: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<Served<readonly Record<string, unknown>[]>> {
    const { metadata, upstream, contents } = this.#parts;
    const repository = `referrers ${key.upstream} ${key.repository}`;
    const name = `${repository} ${subject}`;
    const source: ListSource<Record<string, unknown>> = {
      name,
      empty: this.#empty.get(name) ?? this.#empty.get(repository),
      held: () => metadata.referrers(key, subject),
      ask: async (options, shared) => {
        const asking = upstream(key.upstream).listReferrers(key.repository, subject, options, shared);
        const items = await this.#remembering(asking, { name, repository });
        const listed = items.map(descriptorFrom).filter((item): item is Descriptor => item?.held === true);
        await contents.record(
          key,
          listed.map(({ digest, size }) => ({ digest, sizeBytes: size })),
        );
        return items;
      },
      keep: (listing) => metadata.putReferrers(key, subject, listing),
      forget: () => metadata.putReferrers(key, subject, { items: [], checkedAt: 0 }),
    };
    return this.#serve(key, source, signal);
  }

  /** Remembers, or forgets, that there is nothing. */
  async #remembering<T>(
    asking: Promise<readonly T[]>,
    { name, repository }: { readonly name: string; readonly repository: string },
  ): Promise<readonly T[]> {
    const { clock } = this.#parts;
    try {
      const items = await asking;
      this.#empty.delete(repository);
      if (items.length === 0) this.#empty.set(name, { checkedAt: clock.now() });
      else this.#empty.delete(name);
      return items;
    } catch (error) {
      if (error instanceof UpstreamError && error.reason === 'not-found') {
        this.#empty.set(repository, { checkedAt: clock.now(), error });
        this.#empty.delete(name);
      }
      throw error;
    }
  }

  /** A list of last resort: never fresh, so the upstream is always asked first. */
  async #tagsSeen(key: RepositoryKey): Promise<HeldList<string> | undefined> {
    const items = await this.#parts.metadata.knownTags(key);
    const { clock, policies } = this.#parts;
    if (items.length === 0) return undefined;
    return { items, checkedAt: clock.now() - policies.of(key).freshness.ttlMs, isPieced: true };
  }

  async #serve<T>(
    key: RepositoryKey,
    source: ListSource<T>,
    signal: AbortSignal,
  ): Promise<Served<readonly T[]>> {
    const { clock, contents, policies, flights } = this.#parts;
    const policy = policies.of(key).freshness;
    const held = await contents.guard(() => source.held());
    const freshness = freshnessOf(held, policy, clock.now());
    if (held !== undefined && freshness !== 'ask') {
      const outcome = freshness === 'fresh' ? 'hit' : 'stale';
      return { ...fromHere(held, outcome, clock.now()), ...(outcome === 'stale' && { reason: 'offline' }) };
    }
    return flights.run(
      source.name,
      async (shared): Promise<Served<readonly T[]>> => {
        const checkedAt = clock.now();
        const known = held ?? source.empty;
        try {
          const items = await source.ask(
            known === undefined || !needsNoPatience(policy) ? {} : { patienceMs: PATIENCE_WITH_COPY_MS },
            shared,
          );
          await contents.guard(() => source.keep({ items, checkedAt }));
          const reason = known === undefined ? 'list-unknown' : 'list-expired';
          return { value: items, outcome: 'miss', reason, ageMs: 0 };
        } catch (error) {
          if (known !== undefined && mayServeStale(known, error, policy, clock.now())) {
            const reason = staleReason(error);
            if (held !== undefined) return { ...fromHere(held, 'stale', clock.now()), reason };
            if (source.empty?.error !== undefined) throw source.empty.error;
            return { value: [], outcome: 'stale', reason, ageMs: ageOf(known, clock.now()) };
          }
          if (staleReasonOf(error) === '404') await contents.guard(() => source.forget());
          throw error;
        }
      },
      signal,
    );
  }
}

function fromHere<T>(held: HeldList<T>, outcome: 'hit' | 'stale', nowMs: number): Served<readonly T[]> {
  const ageMs = held.isPieced === true ? undefined : ageOf(held, nowMs);
  return { value: held.items, outcome, ageMs };
}
