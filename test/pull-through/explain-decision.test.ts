import { describe, expect, it } from 'vitest';
import type { ImageParts, PartState } from '../../src/cache/image-parts.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { decideExplanation, type ExplainFacts } from '../../src/pull-through/explain-decision.ts';

const part = (name: string, state: Partial<PartState> = {}): PartState => ({
  digest: digestOf(Buffer.from(name)),
  sizeBytes: 100,
  isStored: true,
  isServed: true,
  ...state,
});
const ABSENT = { isStored: false, isServed: false };
const ELSEWHERE = { isServed: false };
const ROOT = part('root');
const DIGEST = ROOT.digest;

function partsOf(root: PartState, platforms: ImageParts['platforms'] = []): ImageParts {
  return { root: { ...root, mediaType: 'application/vnd.oci.image.index.v1+json' }, platforms };
}

const WHOLE = partsOf(ROOT, [
  { platform: 'linux/amd64', manifest: part('amd'), blobs: [part('layer')] },
  { platform: 'linux/arm64', manifest: part('arm'), blobs: [part('layer'), part('other')] },
]);
const FRESH = { digest: DIGEST, checkedAt: 0, ageMs: 10_000, isFresh: true };
const EXPIRED = { ...FRESH, ageMs: 3_600_000, isFresh: false };

function facts(
  given: Partial<Omit<ExplainFacts, 'rule'>> & { rule?: Partial<ExplainFacts['rule']> },
): ExplainFacts {
  return {
    image: 'docker.io/library/app:v1',
    upstream: 'docker.io',
    repository: 'library/app',
    reference: 'v1',
    isDigest: false,
    tag: FRESH,
    parts: WHOLE,
    isDown: false,
    ...given,
    rule: {
      isAllowed: true,
      patterns: [],
      tagTtlMs: 60_000,
      maxStaleMs: 86_400_000,
      isImmutable: false,
      isOffline: false,
      ...given.rule,
    },
  };
}

const isKnown = (given: Parameters<typeof facts>[0]) => decideExplanation(facts(given)).isFetchComplete;

describe('an explanation', () => {
  it.each([
    ['a fresh tag that is here', {}, 'hit', [], 0, 0],
    ['a tag that is to be asked again', { tag: EXPIRED }, 'revalidated', ['HEAD'], 0, 3],
    ['a tag that is not known', { tag: undefined, parts: undefined }, 'miss', ['HEAD', 'GET'], 1, 2],
    ['a fresh tag without its manifest', { parts: partsOf(part('root', ABSENT)) }, 'miss', ['GET'], 1, 1],
    [
      'a fresh tag whose manifest is here of another repository',
      { parts: partsOf(part('root', ELSEWHERE)) },
      'revalidated',
      ['HEAD'],
      0,
      0,
    ],
    ['an old tag of an upstream that is down', { tag: EXPIRED, isDown: true }, 'stale', [], 0, 0],
    [
      'a tag older than maxStale of an upstream that is down',
      { tag: EXPIRED, isDown: true, rule: { maxStaleMs: 1000 } },
      'refused',
      [],
      0,
      0,
    ],
    [
      'nothing, of an upstream that is down',
      { tag: undefined, parts: undefined, isDown: true },
      'refused',
      [],
      0,
      0,
    ],
    ['a fresh tag of an upstream that is down', { isDown: true }, 'hit', [], 0, 0],
    ['any tag while offline', { tag: EXPIRED, rule: { isOffline: true } }, 'stale', [], 0, 0],
    [
      'what is not here while offline',
      { tag: undefined, parts: undefined, rule: { isOffline: true } },
      'refused',
      [],
      0,
      0,
    ],
    ['what is not allowed', { rule: { isAllowed: false, decidedBy: 'library/*' } }, 'refused', [], 0, 0],
    ['a digest that is here', { isDigest: true, tag: undefined }, 'hit', [], 0, 0],
    [
      'a digest that is not',
      { isDigest: true, tag: undefined, parts: partsOf(part('root', ABSENT)) },
      'miss',
      ['GET'],
      1,
      1,
    ],
  ] as const)('of %s', (_, given, outcome, methods, least, most) => {
    const found = decideExplanation(facts(given));
    expect(found.answer.outcome).toBe(outcome);
    expect(found.asks.map(({ method }) => method)).toEqual(methods);
    expect(found.quotaCost).toEqual({ least, most });
    expect(found.answer.text).toMatch(/^(?:[A-Z0-9]|docker\.io).*\.$/);
  });

  it('counts each missing blob once, what is here of other repositories not at all, and says what is asked', () => {
    const parts = partsOf(ROOT, [
      {
        platform: 'linux/amd64',
        manifest: part('amd'),
        blobs: [part('layer', ABSENT), part('shared', ELSEWHERE)],
      },
      { platform: 'linux/arm64', manifest: part('arm', ABSENT), blobs: undefined },
      { platform: 'linux/386', manifest: part('386'), blobs: [part('layer', ABSENT)] },
    ]);
    const found = decideExplanation(facts({ parts }));
    expect(found.answer.outcome).toBe('hit');
    expect(found.fetchBytes).toBe(200);
    expect(found.asks).toEqual([
      { method: 'GET', what: `blob ${part('layer').digest}`, countsAsPull: false },
      { method: 'HEAD', what: `blob ${part('shared').digest}`, countsAsPull: false },
      { method: 'GET', what: `manifest ${part('arm').digest}`, countsAsPull: true },
    ]);
    expect(found.quotaCost).toEqual({ least: 1, most: 1 });
  });

  it('says whether what would be fetched is all known', () => {
    const amd = { platform: 'linux/amd64', manifest: part('amd'), blobs: [part('layer', ABSENT)] };
    const arm = { platform: 'linux/arm64', manifest: part('arm', ABSENT), blobs: undefined };
    expect(isKnown({})).toBe(true);
    expect(isKnown({ parts: partsOf(ROOT, [amd]) })).toBe(true);
    expect(isKnown({ parts: partsOf(ROOT, [amd, arm]) })).toBe(false);
    expect(isKnown({ parts: partsOf(part('root', ABSENT)) })).toBe(false);
    expect(isKnown({ tag: undefined, parts: undefined })).toBe(false);
    // Nothing is fetched then, and that is known.
    expect(isKnown({ parts: partsOf(ROOT, [amd, arm]), rule: { isOffline: true } })).toBe(true);
  });

  it('lists a thousand of what would be asked, and counts all', () => {
    const blobs = Array.from({ length: 5000 }, (_, at) => part(`layer ${at}`, ABSENT));
    const found = decideExplanation(facts({ parts: partsOf(ROOT, [{ manifest: part('amd'), blobs }]) }));
    expect(found.asks).toHaveLength(1000);
    expect(found.fetchBytes).toBe(500_000);
  });
});
