import { type ImageParts, imageParts, type PlatformParts, platformSums } from '../cache/image-parts.ts';
import { parseImageText } from '../cache/image-text.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import { translated } from '../cache/translated.ts';
import type { Clock } from '../clock.ts';
import type { UpstreamConfig } from '../config.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { ImageReference } from '../oci/image-reference.ts';
import { splitUpstream } from '../oci/named-upstream.ts';
import { printReference } from '../oci/reference.ts';
import { bySpecificity, matchesPattern } from '../oci/repository-pattern.ts';
import { decideExplanation, type ExplainFacts } from './explain-decision.ts';
import type { ExplainOperations, Explanation } from './explain-operations.ts';
import { ageOf, freshnessOf, needsNoPatience } from './freshness.ts';
import { PullThroughError } from './pull-through-error.ts';
import { RepositoryPolicies, type RepositoryPolicy } from './repository-policies.ts';

export interface LocalExplainParts {
  readonly metadata: Pick<MetadataStore, 'holding' | 'tag'>;
  readonly contents: Pick<StoreContents, 'read' | 'lacking' | 'withheld'>;
  readonly clock: Pick<Clock, 'now'>;
  /** Those that are configured now. */
  readonly upstreams: () => readonly UpstreamConfig[];
  readonly isOffline: (upstream: string) => boolean;
  /** Whether nothing waits for it at present. Absent: not known, where no server runs. */
  readonly isDown?: ((upstream: string) => boolean) | undefined;
  /** Which of its requests wait until when, since it said 429. Absent: not known, where no server runs. */
  readonly pauses?: ((upstream: string) => readonly KindPause[]) | undefined;
}

interface KindPause {
  readonly kind: string;
  /** Milliseconds since 1970. */
  readonly until: number;
}

/** Blobs that are listed as missing, of one platform. */
const MISSING_LIMIT = 1000;

/** By what is stored and configured here. Reads manifests that are stored, and counts none of it as used. */
export class LocalExplain implements ExplainOperations {
  readonly #parts: LocalExplainParts;

  constructor(parts: LocalExplainParts) {
    this.#parts = parts;
  }

  async explain(text: string, signal: AbortSignal): Promise<Explanation> {
    const upstreams = this.#parts.upstreams();
    const image = parseImageText(text, upstreams);
    const { upstream, repository, reference } = image;
    const config = upstreams.find(({ name }) => name === upstream);
    if (config === undefined)
      throw new StoreOperationError('not-found', `no upstream is configured as ${upstream}`);
    const rule = this.#ruleOf(image, config);
    const key = { upstream, repository };
    const tag = 'tag' in reference ? await this.#tagOf(image, rule.policy) : undefined;
    const digest = 'digest' in reference ? reference.digest : tag?.digest;
    const parts = digest && (await this.#imageParts(key, digest, signal));
    const facts = {
      image: `${upstream}/${repository}${'tag' in reference ? ':' : '@'}${printReference(reference)}`,
      upstream,
      repository,
      reference: printReference(reference),
      isDigest: 'digest' in reference,
      rule: rule.facts,
      tag,
      parts,
      isDown: this.#parts.isDown?.(upstream) ?? false,
      pause: this.#pauseOf(config, rule.policy),
    };
    return {
      image: facts.image,
      upstream,
      repository,
      reference: facts.reference,
      namedBy: isNamed(text, upstreams) ? 'host' : 'default',
      rule: rule.facts,
      ...(tag !== undefined && { tag }),
      ...(parts !== undefined && { manifest: manifestOf(parts) }),
      platforms: (parts?.platforms ?? []).map(platformOf),
      ...decideExplanation(facts),
    };
  }

  #ruleOf(
    { upstream, repository, reference }: ImageReference,
    config: UpstreamConfig,
  ): { readonly facts: Explanation['rule']; readonly policy: RepositoryPolicy | undefined } {
    const matches = (pattern: Parameters<typeof matchesPattern>[0]) => matchesPattern(pattern, repository);
    const denied = config.deny?.find(matches);
    const allowed = config.allow?.find(matches);
    const policy = this.#policyOf({ upstream, repository }, config);
    const decidedBy = denied ?? allowed;
    const { ttlMs = config.tagTtlMs, staleMs = {} } = policy?.freshness ?? {};
    const ofTag = 'tag' in reference ? policy?.freshnessOfTag(reference.tag) : undefined;
    const facts = {
      isAllowed: policy !== undefined,
      ...(decidedBy && { decidedBy: decidedBy.text }),
      patterns: bySpecificity(config.repositories ?? [], repository).map(({ pattern }) => pattern.text),
      tagTtlMs: ttlMs,
      maxStaleMs: staleMs.timeout ?? 0,
      isImmutable: ofTag?.ttlMs === Infinity,
      isOffline: this.#parts.isOffline(upstream),
    };
    return { facts, policy };
  }

  #pauseOf(config: UpstreamConfig, policy: RepositoryPolicy | undefined): ExplainFacts['pause'] {
    const now = this.#parts.clock.now();
    const pauses = this.#parts.pauses?.(config.name) ?? [];
    // A mirror may answer meanwhile, it may be another account's, and a token may be there still.
    const isElsewhere =
      (config.mirrors ?? []).length > 0 ||
      (config.repositories ?? []).some(({ auth }) => auth !== undefined) ||
      pauses.some(({ kind }) => kind === 'token');
    return {
      kinds: pauses.map(({ kind, until }) => ({ kind, until, restMs: until - now })),
      isCertain: !isElsewhere,
      staleMs: policy?.freshness.staleMs['429'],
      isCopyEnough: policy !== undefined && needsNoPatience(policy.freshness),
    };
  }

  #policyOf(key: Omit<ImageReference, 'reference'>, config: UpstreamConfig): RepositoryPolicy | undefined {
    try {
      return new RepositoryPolicies([config], this.#parts.isOffline).of(key);
    } catch (error) {
      if (error instanceof PullThroughError && error.reason === 'not-allowed') return undefined;
      throw error;
    }
  }

  async #tagOf(
    { upstream, repository, reference }: ImageReference,
    policy: RepositoryPolicy | undefined,
  ): Promise<(NonNullable<Explanation['tag']> & { readonly digest: Digest }) | undefined> {
    if (!('tag' in reference)) return undefined;
    const { metadata, clock } = this.#parts;
    const { tag } = reference;
    // For clients that take every kind of manifest, as nearly all do.
    const row = await translated(metadata.tag({ upstream, repository, tag, accept: '' }));
    if (row === undefined) return undefined;
    const now = clock.now();
    const isFresh = policy !== undefined && freshnessOf(row, policy.freshnessOfTag(tag), now) === 'fresh';
    return { digest: row.digest, checkedAt: row.checkedAt, ageMs: ageOf(row, now), isFresh };
  }

  #imageParts(
    key: Omit<ImageReference, 'reference'>,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<ImageParts> {
    return translated(imageParts(this.#parts, key, digest, signal));
  }
}

function isNamed(text: string, upstreams: readonly UpstreamConfig[]): boolean {
  const split = splitUpstream(text, upstreams);
  return !('problem' in split) && split.path !== text;
}

function manifestOf({ root }: ImageParts): NonNullable<Explanation['manifest']> {
  const { digest, mediaType, sizeBytes, isStored, isServed } = root;
  return {
    digest,
    ...(mediaType !== undefined && { mediaType }),
    ...(sizeBytes > 0 && { sizeBytes }),
    isStored,
    isHeld: isServed || !isStored,
  };
}

function platformOf(parts: PlatformParts): Explanation['platforms'][number] {
  const missing = (parts.blobs ?? []).filter(({ isStored }) => !isStored);
  return {
    ...platformSums(parts),
    missingBlobs: missing.slice(0, MISSING_LIMIT).map(({ digest, sizeBytes }) => ({ digest, sizeBytes })),
  };
}
