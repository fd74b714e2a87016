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
    pause: { kinds: [], isCertain: true, staleMs: 86_400_000, isCopyEnough: true },
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

type Given = Parameters<typeof facts>[0] & { readonly stale?: number | null };
const HALF = { platform: 'linux/amd64', manifest: part('amd'), blobs: [part('layer', ABSENT)] };

function pauseOf(
  kinds: readonly string[],
  { restMs = 60_000, ...given }: Partial<ExplainFacts['pause']> & { readonly restMs?: number } = {},
): ExplainFacts['pause'] {
  return {
    kinds: kinds.map((kind) => ({ kind, until: 60_000, restMs })),
    isCertain: true,
    staleMs: 86_400_000,
    isCopyEnough: true,
    ...given,
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

  it.each([
    ['an old tag', { tag: EXPIRED }, ['manifest-head'], 'stale', [], 0],
    [
      'an old tag that may be stale no more',
      { tag: EXPIRED, stale: 1000 },
      ['manifest-head'],
      'refused',
      [],
      0,
    ],
    [
      'an old tag that nothing is stale of',
      { tag: EXPIRED, stale: null },
      ['manifest-head'],
      'refused',
      [],
      0,
    ],
    ['an old tag while only GETs are', { tag: EXPIRED }, ['manifest-get'], 'revalidated', ['HEAD'], 0],
    ['a tag that is not known', { tag: undefined, parts: undefined }, ['manifest-head'], 'refused', [], 0],
    [
      'a tag that is not known while only GETs are',
      { tag: undefined, parts: undefined },
      ['manifest-get'],
      'refused',
      ['HEAD'],
      0,
    ],
    [
      'a platform that is missing',
      { parts: partsOf(ROOT, [HALF, { manifest: part('arm', ABSENT), blobs: undefined }]) },
      ['manifest-get'],
      'hit',
      ['GET'],
      100,
    ],
    ['blobs that are missing', { parts: partsOf(ROOT, [HALF]) }, ['blob'], 'hit', [], 0],
  ] as const)(
    'of %s, of an upstream that is paused, says so',
    (_, { stale = 86_400_000, ...given }: Given, kinds, outcome, methods, bytes) => {
      const pause = pauseOf(kinds, { staleMs: stale ?? undefined });
      const found = decideExplanation(facts({ ...given, pause }));
      expect(found.answer).toMatchObject({ outcome, pausedUntil: 60_000 });
      expect(found.answer.text).toContain('1970-01-01T00:01:00.000Z');
      expect(found.asks.map(({ method }) => method)).toEqual(methods);
      expect([found.fetchBytes, found.quotaCost]).toEqual([bytes, { least: 0, most: 0 }]);
    },
  );

  it('says nothing of a pause that is waited out, of another kind, or while nobody would be asked', () => {
    const unknown = { tag: undefined, parts: undefined };
    for (const [given, pause] of [
      [{}, pauseOf(['manifest-head', 'manifest-get', 'blob'])],
      [{ tag: EXPIRED }, pauseOf(['tags', 'blob'])],
      [{ tag: EXPIRED }, pauseOf(['manifest-head'], { restMs: 400 })],
      [{ tag: EXPIRED }, pauseOf(['manifest-head'], { restMs: 10_000, isCopyEnough: false })],
      [unknown, pauseOf(['manifest-head', 'manifest-get'], { restMs: 10_000 })],
    ] as const)
      expect(decideExplanation(facts({ ...given, pause }))).toEqual(decideExplanation(facts(given)));
    const hasty = facts({ tag: EXPIRED, pause: pauseOf(['manifest-head'], { restMs: 10_000 }) });
    expect(decideExplanation(hasty).answer.outcome).toBe('stale');
  });

  it('says that it may be refused where another account may be meant, or a mirror answers', () => {
    const pause = pauseOf(['manifest-head'], { isCertain: false });
    const { answer } = decideExplanation(facts({ tag: EXPIRED, pause }));
    expect(answer).toMatchObject({ outcome: 'revalidated', pausedUntil: 60_000 });
    expect(answer.text).toMatch(/paused until 1970-01-01T00:01:00\.000Z: it may be refused or stale\.$/);
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
