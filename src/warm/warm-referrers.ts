import { type Descriptor, descriptorFrom } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts';
import { parseTag } from '../oci/reference.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import type { WarmImage, WarmImageParts } from './warm-image.ts';

/** A signature of an SBOM of an image, and one more. */
const DEPTH_LIMIT = 3;
/** Of one image. Real ones have a few for each platform. */
const REFERRER_LIMIT = 1_000;
/** What cosign calls what belongs to an image, where it does not use the referrers API. */
const COSIGN_SUFFIXES = ['.sig', '.att', '.sbom'];

/** Brings in what refers to an image: by the referrers API, or the tag that stands for it, and by cosign's tags. */
export async function warmReferrers(
  image: WarmImage,
  manifests: readonly Digest[],
  parts: Pick<WarmImageParts, 'pullThrough' | 'budget' | 'signal'>,
): Promise<void> {
  const seen = new Set<Digest>(manifests);
  let subjects: readonly Digest[] = manifests;
  for (let depth = 0; depth < DEPTH_LIMIT && subjects.length > 0; depth += 1) {
    const found: Digest[] = [];
    for (const subject of subjects) {
      for (const root of await rootsOf(image, subject, parts)) {
        if (seen.has(root.digest)) continue;
        if (seen.size >= manifests.length + REFERRER_LIMIT) {
          image.failed(new UpstreamError('protocol', 'more refers to the image than is taken'));
          return;
        }
        seen.add(root.digest);
        for (const digest of await image.walk(root, [])) {
          seen.add(digest);
          found.push(digest);
        }
      }
    }
    subjects = found;
  }
}

type Root = Pick<Descriptor, 'digest' | 'mediaType'> & { readonly size?: number | undefined };

async function rootsOf(
  image: WarmImage,
  subject: Digest,
  parts: Pick<WarmImageParts, 'pullThrough' | 'budget' | 'signal'>,
): Promise<readonly Root[]> {
  const tag = `${digestAlgorithm(subject)}-${digestHex(subject)}`;
  const listed = await listedReferrers(image, subject, parts);
  const tags = [
    ...(listed === undefined ? [tag] : []),
    ...COSIGN_SUFFIXES.map((suffix) => `${tag}${suffix}`),
  ];
  const tagged = await Promise.all(
    tags.map(async (name) => {
      try {
        return await image.meaningOf({ tag: parseTag(name) }, true);
      } catch (error) {
        image.failed(error);
        return undefined;
      }
    }),
  );
  return [...(listed ?? []), ...tagged.filter((root) => root !== undefined)];
}

/** `undefined`: the upstream has no such API, and a tag stands for it (distribution spec, "Referrers Tag Schema"). */
async function listedReferrers(
  image: WarmImage,
  subject: Digest,
  { pullThrough, budget, signal }: Pick<WarmImageParts, 'pullThrough' | 'budget' | 'signal'>,
): Promise<readonly Root[] | undefined> {
  try {
    const { value } = await budget.patiently(
      image.key.upstream,
      () => pullThrough.referrers(image.key, subject, signal),
      signal,
    );
    return value.map(descriptorFrom).filter((descriptor) => descriptor !== undefined);
  } catch (error) {
    if (error instanceof UpstreamError && error.reason === 'not-found') return undefined;
    image.failed(error);
    return [];
  }
}
