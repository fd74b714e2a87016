import type { ImageParts, PartState } from '../cache/image-parts.ts';
import { DEFAULT_PATIENCE_MS } from '../upstream/retry.ts';
import type { Explanation } from './explain-operations.ts';
import { PATIENCE_WITH_COPY_MS } from './manifests.ts';

/** All that the answer to a reference depends on. */
export interface ExplainFacts {
  readonly image: string;
  readonly upstream: string;
  readonly repository: string;
  readonly reference: string;
  readonly isDigest: boolean;
  readonly rule: Explanation['rule'];
  readonly tag: Explanation['tag'];
  /** Absent: it is not known which manifest is meant. */
  readonly parts: ImageParts | undefined;
  /** The upstream does not answer, so that nothing waits for it. */
  readonly isDown: boolean;
  readonly pause: PauseFacts;
}

/** What waits since the upstream said too many requests (429). */
interface PauseFacts {
  /** By kind of request, as `Pauses` has them. */
  readonly kinds: readonly { readonly kind: string; readonly until: number; readonly restMs: number }[];
  /** False: it may be another account's, or a mirror may answer meanwhile. */
  readonly isCertain: boolean;
  /** How old may be what is served instead; absent: nothing is. */
  readonly staleMs: number | undefined;
  /** What is here is served rather than that somebody waits. */
  readonly isCopyEnough: boolean;
}

type Ask = Explanation['asks'][number];
export type ExplainDecision = Pick<
  Explanation,
  'answer' | 'asks' | 'quotaCost' | 'fetchBytes' | 'isFetchComplete'
>;

/** What is listed of what would be asked. */
const ASKS_LIMIT = 1000;

/** As `Manifests` and `Blobs` would decide for a client that takes every kind of manifest. Pure. */
export function decideExplanation(facts: ExplainFacts): ExplainDecision {
  const unpaused = facts.rule.isAllowed ? answerOf(facts) : refusedByRule(facts);
  const isAsked = facts.rule.isAllowed && !facts.rule.isOffline && !facts.isDown;
  if (!isAsked)
    return {
      answer: unpaused,
      asks: [],
      quotaCost: { least: 0, most: 0 },
      fetchBytes: 0,
      isFetchComplete: true,
    };
  const wanted = asksForRoot(facts);
  const answer = answerWhilePaused(facts, wanted, unpaused);
  const firstPaused = wanted.findIndex((ask) => pauseOf(ask, facts) !== undefined);
  const rootAsks = firstPaused < 0 ? wanted : wanted.slice(0, firstPaused);
  if (answer.outcome === 'refused')
    return {
      answer,
      asks: [...rootAsks],
      quotaCost: { least: 0, most: 0 },
      fetchBytes: 0,
      isFetchComplete: true,
    };
  const { asks: partAsks, fetchBytes } = asksForParts(facts);
  const asks = [...rootAsks, ...partAsks];
  const least = asks.filter(({ countsAsPull }) => countsAsPull).length;
  const mayMove =
    rootAsks.some(({ method, what }) => method === 'HEAD' && what.startsWith('tag')) &&
    pauseOf(fetched(''), facts) === undefined;
  return {
    answer,
    asks: asks.slice(0, ASKS_LIMIT),
    quotaCost: { least, most: Math.max(least, mayMove ? pullsWhenMoved(facts.parts) : 0) },
    fetchBytes,
    isFetchComplete: isAllKnown(facts.parts),
  };
}

function isAllKnown(parts: ImageParts | undefined): boolean {
  return parts?.root.isStored === true && parts.platforms.every(({ blobs }) => blobs !== undefined);
}

function refusedByRule({ upstream, repository, rule }: ExplainFacts): Explanation['answer'] {
  const why =
    rule.decidedBy === undefined
      ? `no pattern of upstreams.${upstream}.allow fits ${repository}`
      : `upstreams.${upstream}.deny has ${rule.decidedBy}`;
  return { outcome: 'refused', text: `403: the configuration does not allow it: ${why}.` };
}

function answerOf(facts: ExplainFacts): Explanation['answer'] {
  const { upstream, tag, rule, parts, isDown, isDigest } = facts;
  const isHere = parts?.root.isServed === true;
  if (rule.isOffline) {
    return isHere
      ? {
          outcome: isDigest ? 'hit' : 'stale',
          text: `It is here, and ${upstream} is offline: it is served whatever its age.`,
        }
      : {
          outcome: 'refused',
          text: `404: it is not in the cache, and ${upstream} is offline: it is not asked.`,
        };
  }
  if (isHere && isDigest)
    return { outcome: 'hit', text: 'It is here, and what a digest names never changes: nobody is asked.' };
  if (isHere && tag?.isFresh === true) return { outcome: 'hit', text: freshText(facts) };
  if (isDown) return answerWhileDown(facts, isHere);
  if (tag !== undefined && !tag.isFresh && isHere)
    return {
      outcome: 'revalidated',
      text: `The tag was confirmed ${inWords(tag.ageMs)} ago, which is longer than its tagTtl of ${inWords(rule.tagTtlMs)}: ${upstream} is asked by HEAD, which costs no pull. If it still means the same it is served from here; if it moved, the new manifest is fetched.`,
    };
  if (parts?.root.isStored === true)
    return {
      outcome: 'revalidated',
      text: `Its manifest is stored, but this repository was not seen to hold it: ${upstream} is asked by HEAD.`,
    };
  const why =
    parts === undefined
      ? 'the tag is not known here'
      : isDigest
        ? 'its manifest is not stored'
        : 'what the tag means is known, but its manifest is not stored';
  return { outcome: 'miss', text: `It is fetched from ${upstream}: ${why}.` };
}

function freshText({ tag, rule, upstream }: ExplainFacts): string {
  if (rule.isImmutable)
    return `It is here, and immutableTags says that this tag never moves: nobody is asked.`;
  const age = inWords(tag?.ageMs ?? 0);
  return `It is here, and ${upstream} confirmed the tag ${age} ago, which is good for ${inWords(rule.tagTtlMs)} (tagTtl): nobody is asked.`;
}

function answerWhileDown({ upstream, tag, rule }: ExplainFacts, isHere: boolean): Explanation['answer'] {
  if (!isHere || tag === undefined)
    return { outcome: 'refused', text: `503: it is not in the cache, and ${upstream} does not answer.` };
  if (tag.ageMs > rule.maxStaleMs)
    return {
      outcome: 'refused',
      text: `503: ${upstream} does not answer, and what is here is older (${inWords(tag.ageMs)}) than maxStale allows (${inWords(rule.maxStaleMs)}).`,
    };
  return {
    outcome: 'stale',
    text: `${upstream} does not answer: what the tag meant ${inWords(tag.ageMs)} ago is served, up to maxStale (${inWords(rule.maxStaleMs)}).`,
  };
}

/** As `answer` is without it, unless a request that it needs waits for longer than anybody has patience. */
function answerWhilePaused(
  facts: ExplainFacts,
  wanted: readonly Ask[],
  answer: Explanation['answer'],
): Explanation['answer'] {
  const { upstream, tag, parts, pause } = facts;
  const longest = Math.max(0, ...pause.kinds.map(({ until }) => until));
  const { asks } = asksForParts({ ...facts, pause: { ...pause, kinds: [] } });
  if (longest === 0 || wanted.length + asks.length === 0) return answer;
  if (!pause.isCertain) {
    const text = `${answer.text} Yet ${upstream} said too many requests (429), and some of its requests are paused until ${inUtc(longest)}: it may be refused or stale.`;
    return { ...answer, text, pausedUntil: longest };
  }
  const until = wanted.map((ask) => pauseOf(ask, facts)).find((found) => found !== undefined);
  if (until === undefined) return answerBesidesPause(facts, [...wanted, ...asks], answer);
  const why = `${upstream} said too many requests (429), and is paused until ${inUtc(until)}`;
  const isHere = parts?.root.isServed === true && tag !== undefined;
  if (!isHere || pause.staleMs === undefined || tag.ageMs > pause.staleMs) {
    const rest = !isHere
      ? 'it is not in the cache'
      : pause.staleMs === undefined
        ? 'the configuration lets nothing stale be served then'
        : 'what is here is too old';
    return { outcome: 'refused', text: `429: ${why}: ${rest}.`, pausedUntil: until };
  }
  const text = `${why}: what the tag meant ${inWords(tag.ageMs)} ago is served, and nobody is asked for it.`;
  return { outcome: 'stale', text, pausedUntil: until };
}

/** The manifest is answered as without a pause, though not what comes after it. */
function answerBesidesPause(
  facts: ExplainFacts,
  asks: readonly Ask[],
  answer: Explanation['answer'],
): Explanation['answer'] {
  const moved = answer.outcome === 'revalidated' ? [fetched('')] : [];
  const until = Math.max(0, ...[...asks, ...moved].map((ask) => pauseOf(ask, facts) ?? 0));
  if (until === 0) return answer;
  const text = `${answer.text} Yet ${facts.upstream} said too many requests (429): until ${inUtc(until)} some of its requests are paused, and what needs them is refused, or stale where it is here.`;
  return { ...answer, text, pausedUntil: until };
}

/** @returns until when this is not asked, milliseconds since 1970; `undefined`: it is asked, if after a moment */
function pauseOf({ method, what }: Ask, { pause, parts, tag }: ExplainFacts): number | undefined {
  if (!pause.isCertain) return undefined;
  const kind = what.startsWith('blob ') ? 'blob' : method === 'GET' ? 'manifest-get' : 'manifest-head';
  const hasCopy = what.startsWith('tag ') && tag !== undefined && parts?.root.isServed === true;
  const patienceMs = hasCopy && pause.isCopyEnough ? PATIENCE_WITH_COPY_MS : DEFAULT_PATIENCE_MS;
  return pause.kinds.find((found) => found.kind === kind && found.restMs > patienceMs)?.until;
}

function asksForRoot({ reference, isDigest, tag, parts, rule }: ExplainFacts): readonly Ask[] {
  const head = { method: 'HEAD', what: `tag ${reference}`, countsAsPull: false };
  if (parts === undefined)
    return isDigest
      ? [fetched(reference)]
      : [head, { method: 'GET', what: 'the manifest that it means', countsAsPull: true }];
  const { root } = parts;
  const first = isDigest || tag?.isFresh === true || rule.isImmutable ? [] : [head];
  if (root.isServed) return first;
  // The HEAD of the tag has told already that the repository holds it.
  if (root.isStored) return first.length > 0 ? first : [confirmed('manifest', root)];
  return [...first, fetched(root.digest)];
}

function asksForParts(facts: ExplainFacts): {
  readonly asks: readonly Ask[];
  readonly fetchBytes: number;
} {
  const { parts } = facts;
  const asks = new Map<string, Ask>();
  let fetchBytes = parts === undefined || parts.root.isStored ? 0 : parts.root.sizeBytes;
  const addFetched = (part: PartState, ask: Ask): void => {
    if (asks.has(part.digest) || pauseOf(ask, facts) !== undefined) return;
    asks.set(part.digest, ask);
    fetchBytes += part.sizeBytes;
  };
  for (const { manifest, blobs = [] } of parts?.platforms ?? []) {
    if (manifest.digest !== parts?.root.digest) {
      if (!manifest.isStored) addFetched(manifest, fetched(manifest.digest));
      else if (!manifest.isServed) asks.set(manifest.digest, confirmed('manifest', manifest));
    }
    for (const blob of blobs) {
      if (!blob.isStored)
        addFetched(blob, { method: 'GET', what: `blob ${blob.digest}`, countsAsPull: false });
      else if (!blob.isServed) asks.set(blob.digest, confirmed('blob', blob));
    }
  }
  return { asks: [...asks.values()].filter((ask) => pauseOf(ask, facts) === undefined), fetchBytes };
}

function fetched(digest: string): Ask {
  return { method: 'GET', what: `manifest ${digest}`, countsAsPull: true };
}

function confirmed(kind: string, { digest }: PartState): Ask {
  return { method: 'HEAD', what: `${kind} ${digest}`, countsAsPull: false };
}

/** An index and a manifest for each platform, as many as now; of what is not known, for one. */
function pullsWhenMoved(parts: ImageParts | undefined): number {
  const manifests = parts?.platforms.filter(({ manifest }) => manifest.digest !== parts.root.digest);
  return 1 + (manifests?.length ?? 1);
}

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1000],
] as const;

function inUtc(ms: number): string {
  return new Date(ms).toISOString();
}

function inWords(ms: number): string {
  const [unit, size] = UNITS.find(([, least]) => ms >= least) ?? ['ms', 1];
  const count = Math.floor(ms / size);
  return `${count} ${unit}${count === 1 || unit === 'ms' ? '' : 's'}`;
}
