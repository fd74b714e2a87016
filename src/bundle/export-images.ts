import type { ImageEntry } from '../cache/store-events.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import type { RepositoryKey } from '../metadata/repository-key.ts';
import { type Digest, digestFrom } from '../oci/digest.ts';
import { type ImagePattern, matchesRepository, matchesTag } from '../oci/image-pattern.ts';
import { type ImageName, printImageName, referenceOf } from '../oci/image-reference.ts';
import { isRepositoryName, isTag, type Tag } from '../oci/reference.ts';

/** A cached image under one of its names. */
export interface ExportImage extends RepositoryKey {
  /** In full, with its tag or else its digest. */
  readonly name: string;
  /** Absent: it goes by its digest. */
  readonly tag?: Tag | undefined;
  readonly digest: Digest;
  readonly mediaType: string;
  /** When its upstream said so, milliseconds since 1970. */
  readonly checkedAt: number;
  /** Of what refers to an image that is exported: that image. */
  readonly subject?: Digest | undefined;
}

/** What of a request is not exported, and why. */
export interface ExportProblem {
  readonly name: string;
  readonly message: string;
}

export interface ExportSelection {
  readonly images: readonly ImageName[];
  /** Of what is cached. */
  readonly patterns: readonly ImagePattern[];
  /** Which tags of what is named with neither tag nor digest. Absent: `latest`. */
  readonly tags?: { readonly text: string; readonly matches: (tag: string) => boolean } | undefined;
}

/** What is cached of a selection, each name once, in the order of their names; and what is not. */
export async function exportImages(
  selection: ExportSelection,
  operations: Pick<StoreOperations, 'images'>,
  signal: AbortSignal,
): Promise<{ readonly images: readonly ExportImage[]; readonly problems: readonly ExportProblem[] }> {
  const images = new Map<string, ExportImage>();
  const problems: ExportProblem[] = [];
  const add = (found: readonly ExportImage[]): void => {
    for (const image of found) images.set(image.name, image);
  };
  for (const name of selection.images) {
    const found = await foundOf(name, selection, operations, signal);
    if (typeof found === 'string') problems.push({ name: printImageName(name), message: found });
    else add(found);
  }
  for (const pattern of selection.patterns) {
    const found = await matching(pattern, operations, signal);
    if (found.length === 0) problems.push({ name: pattern.text, message: 'nothing in the cache fits it' });
    add(found);
  }
  return { images: [...images.values()].toSorted(byName), problems };
}

/** The image that a tag means here. `undefined`: none that is cached. */
export async function taggedImage(
  key: RepositoryKey,
  tag: Tag,
  operations: Pick<StoreOperations, 'images'>,
  signal: AbortSignal,
): Promise<ExportImage | undefined> {
  const entries = await entriesOf({ ...key, reference: { tag } }, operations, signal);
  return entries.flatMap((entry) => imagesOf(entry, (each) => each === tag))[0];
}

/** Of a repository that has others than the one that was meant. */
const TAGS_TOLD = 10;

/** @returns why there is nothing, in place of images */
async function foundOf(
  name: ImageName,
  { tags }: ExportSelection,
  operations: Pick<StoreOperations, 'images'>,
  signal: AbortSignal,
): Promise<readonly ExportImage[] | string> {
  const { upstream, repository, tag, digest } = name;
  if (tags !== undefined && tag === undefined && digest === undefined) {
    const entries = await entriesOf({ upstream, repository }, operations, signal);
    const found = entries.flatMap((entry) => imagesOf(entry, tags.matches)).filter(hasTag);
    return found.length === 0 ? `no tag that is cached fits --tags ${tags.text}` : found;
  }
  const reference = referenceOf(name);
  const entries = await entriesOf({ upstream, repository, reference }, operations, signal);
  // A digest beside the tag is what is meant, whatever the tag means by now.
  const wanted = 'tag' in reference ? reference.tag : tag;
  const found = entries.flatMap((entry) => imagesOf(entry, (each) => each === wanted));
  if (found.length > 0) return found;
  const others = (await entriesOf({ upstream, repository }, operations, signal)).flatMap(
    ({ tags: of }) => of,
  );
  const some = others.toSorted().slice(0, TAGS_TOLD).join(', ');
  const hint = others.length === 0 ? '' : `; there is ${some}${others.length > TAGS_TOLD ? ', …' : ''}`;
  return `it is not in the cache; get it with: entrepot warm ${printImageName(name)}${hint}`;
}

async function matching(
  pattern: ImagePattern,
  operations: Pick<StoreOperations, 'images'>,
  signal: AbortSignal,
): Promise<readonly ExportImage[]> {
  const found: ExportImage[] = [];
  for (const entry of await entriesOf({ upstream: pattern.upstream }, operations, signal)) {
    if (!matchesRepository(pattern, entry)) continue;
    if (pattern.digest !== undefined && pattern.digest !== entry.digest) continue;
    const images = imagesOf(entry, (tag) => matchesTag(pattern, tag));
    found.push(...images.filter((image) => pattern.tag === undefined || hasTag(image)));
  }
  return found;
}

async function entriesOf(
  selection: Parameters<StoreOperations['images']>[0],
  operations: Pick<StoreOperations, 'images'>,
  signal: AbortSignal,
): Promise<readonly ImageEntry[]> {
  const found: ImageEntry[] = [];
  try {
    for await (const entry of operations.images(selection, signal)) found.push(entry);
  } catch (error) {
    if (error instanceof StoreOperationError && error.reason === 'not-found') return [];
    throw error;
  }
  return found;
}

/** Under each of its tags that is wanted; by its digest when it has none of them. */
function imagesOf(entry: ImageEntry, isWanted: (tag: string) => boolean): readonly ExportImage[] {
  const { upstream, repository, mediaType, tags, checkedAt, usedAt } = entry;
  const digest = digestFrom(entry.digest);
  if (digest === undefined || !isRepositoryName(repository)) return [];
  const rest = { upstream, repository, digest, mediaType };
  const tagged = tags.flatMap((tag, at) => {
    if (!isTag(tag) || !isWanted(tag)) return [];
    return [
      { ...rest, name: printImageName({ upstream, repository, tag }), tag, checkedAt: checkedAt[at] ?? 0 },
    ];
  });
  if (tagged.length > 0) return tagged;
  return [{ ...rest, name: printImageName({ upstream, repository, digest }), checkedAt: usedAt }];
}

function hasTag({ tag }: ExportImage): boolean {
  return tag !== undefined;
}

function byName(one: ExportImage, other: ExportImage): number {
  return one.name < other.name ? -1 : 1;
}
