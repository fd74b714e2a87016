import type { Descriptor } from './descriptor.ts';
import type { Digest } from './digest.ts';
import { ManifestError, type ManifestFacts, readManifest } from './manifest.ts';
import { MANIFEST_MEDIA_TYPES } from './media-type.ts';
import { matchesPlatform, type Platform } from './platform.ts';

/** Where an image begins: what a tag means. */
export type ImageRoot = Pick<Descriptor, 'digest' | 'mediaType'>;

/** @returns the document, checked to have this digest; `undefined` when it cannot be had */
export type ManifestReader = (
  root: ImageRoot,
) => Promise<{ readonly bytes: Uint8Array; readonly mediaType: string } | undefined>;

export type WalkStep =
  /** A manifest or index, before what it lists. */
  | {
      readonly step: 'manifest';
      readonly digest: Digest;
      readonly bytes: Uint8Array;
      readonly facts: ManifestFacts;
      /** As its index says. */
      readonly platform: Platform | undefined;
    }
  | {
      readonly step: 'blob';
      readonly descriptor: Descriptor;
      readonly kind: 'config' | 'layer';
      /** The manifest that lists it. */
      readonly manifest: Digest;
    }
  /** A layer that registries need not hold. */
  | { readonly step: 'foreign'; readonly descriptor: Descriptor }
  /** Of an index, for a platform that was not asked for. */
  | { readonly step: 'left-out'; readonly descriptor: Descriptor }
  /** A manifest that cannot be had, or is none. What it lists is not known. */
  | { readonly step: 'missing'; readonly digest: Digest; readonly problem: string }
  /** An index that has nothing for the platforms that were asked for. */
  | { readonly step: 'unmatched'; readonly digest: Digest; readonly offered: readonly Platform[] };

/** Indexes in indexes; real ones have two. */
const DEPTH_LIMIT = 8;
/** Manifests of one image. */
const MANIFEST_COUNT_LIMIT = 10_000;

/**
 * All that an image consists of, from its root down, each digest once. An index's children are taken for `platforms`
 * alone (empty: all); what attests to one that is taken comes with it; a child without a platform is taken always.
 */
export async function* walkImage(
  root: ImageRoot,
  read: ManifestReader,
  platforms: readonly Platform[] = [],
): AsyncGenerator<WalkStep, void, undefined> {
  const seen = new Set<Digest>([root.digest]);
  const waiting: {
    readonly root: ImageRoot;
    readonly platform: Platform | undefined;
    readonly depth: number;
  }[] = [{ root, platform: undefined, depth: 0 }];
  let count = 0;
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const { depth, platform } = next;
    const { digest } = next.root;
    count += 1;
    if (depth > DEPTH_LIMIT || count > MANIFEST_COUNT_LIMIT) {
      yield { step: 'missing', digest, problem: 'the image lists more than any real one does' };
      continue;
    }
    const document = await read(next.root);
    const facts = document === undefined ? 'not found' : factsOf(document);
    if (document === undefined || typeof facts === 'string') {
      yield { step: 'missing', digest, problem: typeof facts === 'string' ? facts : 'not found' };
      continue;
    }
    yield { step: 'manifest', digest, bytes: document.bytes, facts, platform };
    const children = facts.descriptors.filter((child) => !seen.has(child.digest));
    for (const child of children) seen.add(child.digest);
    if (!facts.isIndex) {
      yield* blobsOf(digest, facts, children);
      continue;
    }
    const taken = takenOf(facts.descriptors, platforms);
    if (taken.size === 0 && facts.descriptors.length > 0)
      yield { step: 'unmatched', digest, offered: offeredBy(facts.descriptors) };
    for (const child of children) {
      if (!taken.has(child.digest)) yield { step: 'left-out', descriptor: child };
      else if (MANIFEST_MEDIA_TYPES.includes(child.mediaType))
        waiting.push({ root: child, platform: child.platform, depth: depth + 1 });
      else yield { step: 'blob', descriptor: child, kind: 'layer', manifest: digest };
    }
  }
}

function* blobsOf(
  manifest: Digest,
  { config }: ManifestFacts,
  children: readonly Descriptor[],
): Generator<WalkStep> {
  for (const descriptor of children) {
    if (!descriptor.held) yield { step: 'foreign', descriptor };
    else
      yield { step: 'blob', descriptor, kind: descriptor.digest === config ? 'config' : 'layer', manifest };
  }
}

/** BuildKit's attestations name what they are about, and their platform is unknown/unknown. */
function takenOf(children: readonly Descriptor[], platforms: readonly Platform[]): ReadonlySet<Digest> {
  const isWanted = ({ platform }: Descriptor) =>
    platforms.length === 0 ||
    platform === undefined ||
    platforms.some((wanted) => matchesPlatform(wanted, platform));
  const taken = new Set(
    children.filter((child) => child.attests === undefined && isWanted(child)).map(digestOf),
  );
  for (const child of children)
    if (child.attests !== undefined && taken.has(child.attests)) taken.add(child.digest);
  return taken;
}

function offeredBy(children: readonly Descriptor[]): readonly Platform[] {
  return children.flatMap(({ platform, attests }) =>
    platform === undefined || attests !== undefined ? [] : [platform],
  );
}

function digestOf({ digest }: Descriptor): Digest {
  return digest;
}

function factsOf(document: {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}): ManifestFacts | string {
  try {
    return readManifest(document.bytes, document.mediaType);
  } catch (error) {
    if (error instanceof ManifestError) return error.message;
    throw error;
  }
}
