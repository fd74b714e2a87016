import type { Clock } from '../clock.ts';
import type { Listing, MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import { type Descriptor, descriptorFrom } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Upstream } from '../upstream/upstream.ts';
import { ageOf, freshnessOf, mayServeStale, needsNoPatience } from './freshness.ts';
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
  readonly policies: RepositoryPolicies;
}

interface HeldList<T> extends Listing<T> {
  /** Put together from what is known here: the upstream never said it, so it has no age. */
  readonly isPieced?: boolean;
}

interface ListSource<T> {
  /** Names the list among all others. */
  readonly name: string;
  held(): Promise<HeldList<T> | undefined>;
  ask(options: { readonly patienceMs?: number }, signal: AbortSignal): Promise<readonly T[]>;
  keep(listing: Listing<T>): Promise<void>;
  forget(): Promise<void>;
}

/** The mutable lists of a repository: asked whole, answered again within the tag's time, stale when need be. */
export class Lists {
  readonly #parts: ListsParts;

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

  /** Descriptors of what refers to `subject`. @throws UpstreamError `not-found` when the upstream has no such API. */
  async referrers(
    key: RepositoryKey,
    subject: Digest,
    signal: AbortSignal,
  ): Promise<Served<readonly Record<string, unknown>[]>> {
    const { metadata, upstream, contents } = this.#parts;
    const source: ListSource<Record<string, unknown>> = {
      name: `referrers ${key.upstream} ${key.repository} ${subject}`,
      held: () => metadata.referrers(key, subject),
      ask: async (options, shared) => {
        const items = await upstream(key.upstream).listReferrers(key.repository, subject, options, shared);
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
      return fromHere(held, outcome, clock.now());
    }
    return flights.run(
      source.name,
      async (shared): Promise<Served<readonly T[]>> => {
        const checkedAt = clock.now();
        try {
          const items = await source.ask(
            held === undefined || !needsNoPatience(policy) ? {} : { patienceMs: PATIENCE_WITH_COPY_MS },
            shared,
          );
          await contents.guard(() => source.keep({ items, checkedAt }));
          return { value: items, outcome: 'miss', ageMs: 0 };
        } catch (error) {
          if (held !== undefined && mayServeStale(held, error, policy, clock.now())) {
            return fromHere(held, 'stale', clock.now());
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
