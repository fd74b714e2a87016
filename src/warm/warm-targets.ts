import type { ChosenImage } from '../image-sources/chosen-images.ts';
import { type ImageName, referenceOf } from '../oci/image-reference.ts';
import type { WarmTarget } from './warm-operations.ts';

/** What is to be warmed of images that were chosen. `tags`: which tags of those that were named without one. */
export function warmTargets(images: readonly ChosenImage[], tags: string | undefined): readonly WarmTarget[] {
  return images.map((image) => targetOf(image, tags));
}

function targetOf(image: ChosenImage, tags: string | undefined): WarmTarget {
  const { upstream, repository, places } = image;
  const place = places.find((known) => known !== 'argument');
  const named = { upstream, repository, ...(place !== undefined && { place }) };
  return tags !== undefined && isOpen(image)
    ? { ...named, tags }
    : { ...named, reference: referenceOf(image) };
}

function isOpen({ tag, digest }: ImageName): boolean {
  return tag === undefined && digest === undefined;
}
