import { type ImageName, parseImageName, printImageName } from '../oci/image-reference.ts';
import type { NamedUpstream } from '../oci/named-upstream.ts';
import type { NamedImage, SourceProblem } from './named-image.ts';

/** An image that was asked for, once, however often it was named. */
export interface ChosenImage extends ImageName {
  /** Where it was named: FILE:LINE, `argument`. The first few. */
  readonly places: readonly string[];
}

const PLACES_LIMIT = 10;

/** Which image of which upstream each of them is; each once, in their order. */
export function chosenImages(
  named: readonly NamedImage[],
  upstreams: readonly NamedUpstream[],
): { readonly images: readonly ChosenImage[]; readonly problems: readonly SourceProblem[] } {
  const chosen = new Map<string, ImageName & { readonly places: string[] }>();
  const problems: SourceProblem[] = [];
  for (const { text, place } of named) {
    const name = parseImageName(text, upstreams);
    if ('problem' in name) {
      problems.push({ place, message: `${text}: ${name.problem}` });
      continue;
    }
    const key = printImageName(name);
    const known = chosen.get(key);
    if (known === undefined) chosen.set(key, { ...name, places: [place] });
    else if (known.places.length < PLACES_LIMIT && !known.places.includes(place)) known.places.push(place);
  }
  return { images: [...chosen.values()], problems };
}
