import type { ContentEntry, StoreContents } from '../cache/store-contents.ts';
import { type DockerImage, dockerImageOf } from '../oci-layout/docker-manifest.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { storedDocument } from '../cache/stored-document.ts';
import { type ImageRoot, type WalkStep, walkImage } from '../oci/image-walk.ts';
import { matchesPlatform, type Platform, printPlatform } from '../oci/platform.ts';
import type { ExportImage } from './export-images.ts';

/** Some content that an image needs, and that is not cached. */
export interface MissingContent {
  readonly digest: Digest;
  readonly kind: 'manifest' | 'config' | 'layer';
  /** Absent: unknown. */
  readonly sizeBytes?: number | undefined;
  /** Of the images of an index. */
  readonly platform?: string | undefined;
}

/** An image that cannot be exported. */
export interface IncompleteImage {
  readonly name: string;
  readonly message: string;
  readonly missing: readonly MissingContent[];
}

/** All that an image consists of, in the order in which a reader needs it. */
export interface ImagePlan {
  readonly image: ExportImage;
  readonly rootBytes: number;
  readonly manifests: readonly ContentEntry[];
  readonly blobs: readonly ContentEntry[];
  /** What its blobs would be beside these, and the other side has. */
  readonly leftOut: readonly ContentEntry[];
  /** What `docker load` takes of it; absent where that is nothing. */
  readonly docker?: DockerImage | undefined;
}

export interface PlanOptions {
  /** Empty: all. */
  readonly platforms: readonly Platform[];
  /** The one that `docker load` gets of an index. */
  readonly dockerPlatform: Platform;
  /** What the other side has. */
  readonly isThere: (digest: Digest) => boolean;
}

type Step<Name extends WalkStep['step']> = Extract<WalkStep, { step: Name }>;

/** What a walk found. */
interface Parts {
  readonly manifests: Step<'manifest'>[];
  readonly blobs: Step<'blob'>[];
  readonly missing: Step<'missing'>[];
  readonly unmatched: Step<'unmatched'>[];
}

/** Looks at all of an image, and reads nothing but its manifests. */
export async function planImage(
  image: ExportImage,
  options: PlanOptions,
  contents: StoreContents,
  signal: AbortSignal,
): Promise<ImagePlan | IncompleteImage> {
  const parts: Parts = { manifests: [], blobs: [], missing: [], unmatched: [] };
  const read = (root: ImageRoot) => readDocument(root, contents, signal);
  // What refers to an image has no platforms of its own.
  const platforms = image.subject === undefined ? options.platforms : [];
  for await (const step of walkImage(image, read, platforms)) {
    if (step.step === 'manifest') parts.manifests.push(step);
    else if (step.step === 'blob') parts.blobs.push(step);
    else if (step.step === 'missing') parts.missing.push(step);
    else if (step.step === 'unmatched') parts.unmatched.push(step);
  }
  const blobs = parts.blobs.map(({ descriptor: { digest, size } }) => ({ digest, sizeBytes: size }));
  const included = blobs.filter(({ digest }) => !options.isThere(digest));
  const lacking = new Set(
    await contents.lacking(
      included.map(({ digest }) => digest),
      signal,
    ),
  );
  const [unmatched] = parts.unmatched;
  if (parts.missing.length > 0 || lacking.size > 0 || unmatched !== undefined)
    return incomplete(image, parts, lacking);
  const leftOut = blobs.filter(({ digest }) => options.isThere(digest));
  const docker = leftOut.length > 0 ? undefined : dockerImage(parts, options.dockerPlatform);
  return {
    image,
    rootBytes: parts.manifests[0]?.bytes.length ?? 0,
    manifests: parts.manifests.map(({ digest, bytes }) => ({ digest, sizeBytes: bytes.length })),
    blobs: included,
    leftOut,
    ...(docker !== undefined && { docker }),
  };
}

async function readDocument(
  { digest, mediaType }: ImageRoot,
  contents: StoreContents,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly mediaType: string } | undefined> {
  const bytes = await storedDocument(contents, digest, signal);
  if (bytes === undefined) return undefined;
  // Whatever it came through: a walk rests on it.
  return digestOf(bytes, digestAlgorithm(digest)) === digest ? { bytes, mediaType } : undefined;
}

function dockerImage({ manifests }: Parts, wanted: Platform): DockerImage | undefined {
  const [root] = manifests;
  const single = manifests.filter(({ facts }) => !facts.isIndex);
  const chosen =
    root?.facts.isIndex === false
      ? root
      : single.find(({ platform }) => platform !== undefined && matchesPlatform(wanted, platform));
  return chosen && dockerImageOf(chosen.bytes);
}

function incomplete(image: ExportImage, parts: Parts, lacking: ReadonlySet<Digest>): IncompleteImage {
  const platforms = platformsOf(parts);
  const textOf = (digest: Digest): string | undefined => {
    const platform = platforms.get(digest);
    return platform && printPlatform(platform);
  };
  const missing: MissingContent[] = [
    ...parts.missing.map(({ digest }): MissingContent => ({
      digest,
      kind: 'manifest',
      platform: textOf(digest),
    })),
    ...parts.blobs
      .filter(({ descriptor: { digest } }) => lacking.has(digest))
      .map(({ descriptor: { digest, size }, kind, manifest }): MissingContent => {
        return { digest, kind, sizeBytes: size, platform: textOf(manifest) };
      }),
  ];
  return { name: image.name, message: messageOf(image, parts, { missing, platforms }), missing };
}

function platformsOf({ manifests }: Parts): ReadonlyMap<Digest, Platform> {
  const listed = manifests.flatMap(({ facts }) => (facts.isIndex ? facts.descriptors : []));
  return new Map(
    listed.flatMap(({ digest, platform, attests }) =>
      platform === undefined || attests !== undefined ? [] : [[digest, platform] as const],
    ),
  );
}

function messageOf(
  { name }: ExportImage,
  { unmatched: [unmatched], manifests, missing: unread }: Parts,
  {
    missing,
    platforms,
  }: { readonly missing: readonly MissingContent[]; readonly platforms: ReadonlyMap<Digest, Platform> },
): string {
  if (unmatched !== undefined) {
    const offered = [...new Set(unmatched.offered.map(printPlatform))].join(', ');
    return `it is not made for a platform that was asked for; there is ${offered === '' ? 'none' : offered}`;
  }
  const garbled = unread.find(({ problem }) => problem !== 'not found');
  if (garbled !== undefined) return `${garbled.digest}: ${garbled.problem}`;
  const [index] = manifests;
  const remedy = `get it with: entrepot warm ${name}`;
  const lacking = [...new Set(missing.flatMap(({ platform }) => platform ?? []))];
  if (index?.facts.isIndex !== true || lacking.length === 0) {
    const bytes = missing.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
    const size = bytes > 0 ? ` (${bytes} bytes)` : '';
    return `${missing.length} of its parts are not in the cache${size}; ${remedy}`;
  }
  const all = new Set([...platforms.values()].map(printPlatform));
  const whole = [...all].filter((platform) => !lacking.includes(platform));
  const rest = whole.length === 0 ? '' : `, or leave them out with: --platform ${whole.join(',')}`;
  return `${lacking.join(', ')} ${lacking.length === 1 ? 'is' : 'are'} not in the cache; ${remedy}${rest}`;
}
