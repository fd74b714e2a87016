import type { LRUCache } from 'lru-cache';
import { recentEntries } from '../recent-entries.ts';
import type { RepositoryConfig, RepositoryRules, UpstreamConfig } from '../config.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { bySpecificity, matchesPattern } from '../oci/repository-pattern.ts';
import type { Tag } from '../oci/reference.ts';
import type { FreshnessPolicy } from './freshness.ts';
import { PullThroughError } from './pull-through-error.ts';
import { staleLimitsOf } from './stale-policy.ts';

/** What the configuration says of one repository. */
export interface RepositoryPolicy {
  /** For lists, and for tags that may move. */
  readonly freshness: FreshnessPolicy;
  /** For one tag: one that never moves is always fresh. */
  readonly freshnessOfTag: (tag: Tag) => FreshnessPolicy;
}

type PolicyConfig = Pick<
  UpstreamConfig,
  | 'name'
  | 'allow'
  | 'deny'
  | 'limits'
  | 'repositories'
  | 'tagTtlMs'
  | 'maxStaleMs'
  | 'immutableTags'
  | 'stale'
>;

interface UpstreamPolicies {
  readonly config: PolicyConfig;
  readonly general: RepositoryPolicy;
  /** By the rules that match a repository, as their places in the configuration. */
  readonly special: LRUCache<string, RepositoryPolicy>;
}

/** More than any configuration has of rules that match together. */
const SPECIAL_COUNT_LIMIT = 1_000;
/** As many connections as a browser opens to one host. */
const DEFAULT_SEGMENTS = 6;

/** The rules of all upstreams, by repository. */
export class RepositoryPolicies {
  readonly #upstreams: ReadonlyMap<string, UpstreamPolicies>;
  readonly #isOffline: (upstream: string) => boolean;

  /** @param isOffline whether this upstream is not asked at present */
  constructor(upstreams: readonly PolicyConfig[], isOffline: (upstream: string) => boolean) {
    this.#upstreams = new Map(
      upstreams.map((config) => {
        const special = recentEntries<string, RepositoryPolicy>(SPECIAL_COUNT_LIMIT);
        return [config.name, { config, general: policyOf(config, isOffline), special }] as const;
      }),
    );
    this.#isOffline = isOffline;
  }

  /** @throws PullThroughError `not-allowed`, `unknown-upstream` */
  of({ upstream, repository }: RepositoryKey): RepositoryPolicy {
    const found = this.#upstreams.get(upstream);
    if (found === undefined) {
      throw new PullThroughError('unknown-upstream', `no upstream is configured as ${upstream}`);
    }
    const { config, general, special } = found;
    const matches = (pattern: Parameters<typeof matchesPattern>[0]) => matchesPattern(pattern, repository);
    if (config.deny?.some(matches) === true || config.allow?.some(matches) === false) {
      throw new PullThroughError(
        'not-allowed',
        `the configuration does not allow the repository ${repository} of ${upstream}`,
      );
    }
    return config.repositories === undefined
      ? general
      : this.#special(config, bySpecificity(config.repositories, repository), special);
  }

  /** How many transfers of blobs splitting large ones may lead to; 1: none is split. */
  segmentLimit(upstream: string): number {
    return this.#upstreams.get(upstream)?.config.limits?.segments ?? DEFAULT_SEGMENTS;
  }

  #special(
    config: PolicyConfig,
    rules: readonly RepositoryConfig[],
    known: UpstreamPolicies['special'],
  ): RepositoryPolicy {
    const key = rules.map((rule) => config.repositories?.indexOf(rule)).join();
    const policy =
      known.get(key) ?? policyOf(rules.toReversed().reduce(specialized, config), this.#isOffline);
    known.set(key, policy);
    return policy;
  }
}

/** What `rules` leave open, the upstream says; of the stale table each line counts for itself. */
function specialized(config: PolicyConfig, rules: RepositoryRules): PolicyConfig {
  return {
    ...config,
    tagTtlMs: rules.tagTtlMs ?? config.tagTtlMs,
    maxStaleMs: rules.maxStaleMs ?? config.maxStaleMs,
    immutableTags: rules.immutableTags ?? config.immutableTags,
    stale: { ...config.stale, ...rules.stale },
  };
}

function policyOf(
  { name, tagTtlMs, maxStaleMs, immutableTags, stale }: PolicyConfig,
  isOffline: (upstream: string) => boolean,
): RepositoryPolicy {
  const staleMs = staleLimitsOf(stale, maxStaleMs);
  const freshnessOf = (ttlMs: number): FreshnessPolicy => ({
    ttlMs,
    staleMs,
    get isOffline() {
      return isOffline(name);
    },
  });
  const freshness = freshnessOf(tagTtlMs);
  const forever = freshnessOf(Infinity);
  return {
    freshness,
    freshnessOfTag: (tag) =>
      immutableTags?.some(({ matches }) => matches(tag)) === true ? forever : freshness,
  };
}
