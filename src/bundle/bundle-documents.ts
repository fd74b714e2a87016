import type { KeyObject } from 'node:crypto';
import type { ContentEntry } from '../cache/store-contents.ts';
import { type DockerImage, dockerManifest } from '../oci-layout/docker-manifest.ts';
import { indexDocument } from '../oci-layout/index-document.ts';
import {
  DOCKER_MANIFEST_FILE,
  LAYOUT_INDEX,
  LAYOUT_MARK,
  LAYOUT_MARK_TEXT,
} from '../oci-layout/layout-names.ts';
import { type Digest, digestOf } from '../oci/digest.ts';
import { type Platform, printPlatform } from '../oci/platform.ts';
import {
  BUNDLE_MANIFEST_NAME,
  BUNDLE_SIGNATURE_NAME,
  BUNDLE_VERSION,
  type BundleImage,
  type BundleManifest,
} from './bundle-manifest.ts';
import type { ExportImage } from './export-images.ts';
import type { ImagePlan } from './export-plan.ts';
import { signatureOf } from './signature.ts';

export interface BundleFacts {
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly createdBy: string;
  readonly platforms: readonly Platform[];
  /** Absent: it is not signed. */
  readonly signingKey?: KeyObject | undefined;
}

/** What is written first, and what comes after it. */
export interface PlannedBundle {
  /** In the order in which they are written. */
  readonly documents: readonly { readonly name: string; readonly bytes: Buffer }[];
  /** Manifests first, then the rest; each once. */
  readonly contents: readonly ContentEntry[];
  readonly leftOut: readonly ContentEntry[];
  readonly images: number;
}

/** All that a bundle consists of. Equal plans and facts give equal bytes. */
export function plannedBundle(plans: readonly ImagePlan[], facts: BundleFacts): PlannedBundle {
  const manifests = each(plans.flatMap((plan) => plan.manifests));
  const known = new Set(manifests.map(({ digest }) => digest));
  const blobs = each(plans.flatMap((plan) => plan.blobs)).filter(({ digest }) => !known.has(digest));
  const leftOut = each(plans.flatMap((plan) => plan.leftOut));
  const contents = [...manifests, ...blobs];
  const docker = dockerImages(plans);
  const files = [
    { name: LAYOUT_MARK, bytes: Buffer.from(LAYOUT_MARK_TEXT) },
    { name: LAYOUT_INDEX, bytes: Buffer.from(indexDocument(plans.map(rootOf))) },
    ...(docker.length === 0
      ? []
      : [{ name: DOCKER_MANIFEST_FILE, bytes: Buffer.from(dockerManifest(docker)) }]),
  ];
  const manifest: BundleManifest = {
    entrepotBundle: BUNDLE_VERSION,
    createdAt: new Date(facts.createdAt).toISOString(),
    createdBy: facts.createdBy,
    platforms: facts.platforms.map(printPlatform),
    images: plans.map(({ image }) => imageOf(image)),
    contents: contents.map(tupleOf),
    leftOut: leftOut.map(tupleOf),
    files: Object.fromEntries(files.map(({ name, bytes }) => [name, [digestOf(bytes), bytes.length]])),
  };
  const own = Buffer.from(JSON.stringify(manifest));
  const { signingKey } = facts;
  const [mark, ...others] = files;
  return {
    documents: [
      ...(mark === undefined ? [] : [mark]),
      { name: BUNDLE_MANIFEST_NAME, bytes: own },
      ...(signingKey === undefined
        ? []
        : [{ name: BUNDLE_SIGNATURE_NAME, bytes: Buffer.from(signatureOf(own, signingKey)) }]),
      ...others,
    ],
    contents,
    leftOut,
    images: plans.length,
  };
}

function imageOf({
  upstream,
  repository,
  tag,
  digest,
  mediaType,
  checkedAt,
  subject,
}: ExportImage): BundleImage {
  return {
    upstream,
    repository,
    tags: tag === undefined ? [] : [tag],
    digest,
    mediaType,
    checkedAt,
    ...(subject !== undefined && { subject }),
  };
}

function rootOf({ image: { mediaType, digest, name, tag, subject }, rootBytes }: ImagePlan) {
  // A referrer that only its digest names would get a name by which nobody asks.
  const isNamed = tag !== undefined || subject === undefined;
  return { mediaType, digest, sizeBytes: rootBytes, subject, ...(isNamed && { name }) };
}

/** Each once, with all of its tags. */
function dockerImages(
  plans: readonly ImagePlan[],
): readonly (DockerImage & { readonly tags: readonly string[] })[] {
  const images = new Map<Digest, DockerImage & { readonly tags: string[] }>();
  for (const { docker, image } of plans) {
    if (docker === undefined) continue;
    const known = images.get(image.digest) ?? { ...docker, tags: [] };
    if (image.tag !== undefined) known.tags.push(image.name);
    images.set(image.digest, known);
  }
  return [...images.values()];
}

function each(entries: readonly ContentEntry[]): readonly ContentEntry[] {
  return [...new Map(entries.map((entry) => [entry.digest, entry])).values()];
}

function tupleOf({ digest, sizeBytes }: ContentEntry): [Digest, number] {
  return [digest, sizeBytes];
}
