import type { StoreOperations } from '../cache/store-operations.ts';
import type { Clock } from '../clock.ts';
import { type ChosenImage, chosenImages } from '../image-sources/chosen-images.ts';
import type { SourceProblem } from '../image-sources/named-image.ts';
import { readSources } from '../image-sources/read-sources.ts';
import { digestFrom } from '../oci/digest.ts';
import { type ImageName, printImageName } from '../oci/image-reference.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { isRepositoryName, isTag } from '../oci/reference.ts';
import type { CommandIo } from './command-io.ts';
import type { ImageRequest } from './image-request.ts';

/** What a request came to. */
export interface ImageChoice {
  /** Each once, in the order in which they were asked for. What the cache served stands last. */
  readonly images: readonly ChosenImage[];
  /** What could not be read, or is no image of an upstream: none of it is among the images, and all else is. */
  readonly problems: readonly SourceProblem[];
}

export interface ChoiceContext {
  readonly upstreams: readonly NamedUpstream[];
  readonly io: Pick<CommandIo, 'environment' | 'workingDir' | 'stdin'>;
  /** Asked only for what was seen. */
  readonly operations: Pick<StoreOperations, 'images'>;
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * Reads all that a request names: arguments, files, what the cache served.
 * @throws StoreOperationError, the signal's reason
 */
export async function chooseImages(
  request: ImageRequest,
  { upstreams, io, operations, clock }: ChoiceContext,
  signal: AbortSignal,
): Promise<ImageChoice> {
  const { environment, workingDir, stdin } = io;
  const sources = await readSources(request.from, { environment, workingDir, stdin }, signal);
  const named = chosenImages([...request.images, ...sources.images], upstreams);
  const problems = [...sources.problems, ...named.problems];
  const { seenWithinMs, tags } = request;
  if (tags !== undefined && named.images.length > 0 && named.images.every(hasReference))
    problems.push({
      place: 'argument',
      message: `--tags ${tags.text}: of every image that was named it is said already which one is meant`,
    });
  if (seenWithinMs === undefined) return { images: named.images, problems };
  const chosen = new Map(named.images.map((image) => [printImageName(image), image]));
  for await (const image of seenImages(operations, clock.now() - seenWithinMs, signal)) {
    const key = printImageName(image);
    if (!chosen.has(key)) chosen.set(key, { ...image, places: ['seen'] });
  }
  return { images: [...chosen.values()], problems };
}

/** What was used at `since` or later: its tags, or its digest where it has none. */
async function* seenImages(
  operations: Pick<StoreOperations, 'images'>,
  since: number,
  signal: AbortSignal,
): AsyncGenerator<ImageName> {
  for await (const { upstream, repository, tags, digest: text, usedAt } of operations.images({}, signal)) {
    if (usedAt < since || !isRepositoryName(repository)) continue;
    const digest = digestFrom(text);
    for (const tag of tags) if (isTag(tag)) yield { upstream, repository, tag };
    if (tags.length === 0 && digest !== undefined) yield { upstream, repository, digest };
  }
}

function hasReference({ tag, digest }: ImageName): boolean {
  return tag !== undefined || digest !== undefined;
}
