import { parseDuration } from '../config-text.ts';
import type { NamedImage } from '../image-sources/named-image.ts';
import { chosenImages } from '../image-sources/chosen-images.ts';
import { parseTagSelection, type TagSelection } from '../oci/tag-selection.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import { parsePlatform, type Platform } from '../oci/platform.ts';
import type { ImageOptions } from './image-options.ts';
import { UsageError } from './usage-error.ts';

/** Which images a command is about, as it was asked for. */
export interface ImageRequest {
  /** The arguments. Every one of them is an image of an upstream. */
  readonly images: readonly NamedImage[];
  /** Files, directories, `-` for standard input. */
  readonly from: readonly string[];
  /** Empty: all of them. */
  readonly platforms: readonly Platform[];
  /** Which tags of what is named with neither tag nor digest. Absent: `latest`. */
  readonly tags?: TagSelection | undefined;
  /** Also what the cache served to somebody within so much time. Milliseconds. */
  readonly seenWithinMs?: number | undefined;
  readonly withReferrers: boolean;
}

/** @param isNamedOtherwise nothing here has to name any @throws UsageError that says all that is wrong */
export function parseImageOptions(
  texts: readonly string[],
  { from = [], platform = [], tags: tagsText, seenWithin, withReferrers = false }: ImageOptions,
  upstreams: readonly NamedUpstream[],
  isNamedOtherwise = false,
): ImageRequest {
  const wrong: string[] = [];
  const images = texts.map((text) => ({ text, place: 'argument' }));
  for (const { message } of chosenImages(images, upstreams).problems) wrong.push(message);
  if (!isNamedOtherwise && images.length === 0 && from.length === 0 && seenWithin === undefined)
    wrong.push('which images? Name them, or say --from FILE or --seen-within DURATION');
  const platforms: Platform[] = [];
  for (const text of platform) {
    const read = parsePlatform(text.trim());
    if ('problem' in read) wrong.push(`--platform ${JSON.stringify(text)}: ${read.problem}`);
    else platforms.push(read);
  }
  const tags = tagsText === undefined ? undefined : parseTagSelection(tagsText);
  if (tags !== undefined && 'problem' in tags)
    wrong.push(`--tags ${JSON.stringify(tagsText)}: ${tags.problem}`);
  const seenWithinMs = seenWithin === undefined ? undefined : parseDuration(seenWithin);
  if (seenWithin !== undefined && !(seenWithinMs !== undefined && seenWithinMs > 0))
    wrong.push(`--seen-within ${JSON.stringify(seenWithin)}: accepted is a duration such as 12h or 30d`);
  if (from.filter((path) => path === '-').length > 1)
    wrong.push('--from -: standard input can be read only once');
  if (wrong.length > 0) throw new UsageError(wrong.join('\n  '));
  return {
    images,
    from,
    platforms,
    ...(tags !== undefined && !('problem' in tags) && { tags }),
    ...(seenWithinMs !== undefined && { seenWithinMs }),
    withReferrers,
  };
}
