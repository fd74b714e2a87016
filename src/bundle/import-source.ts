import type { KeyObject } from 'node:crypto';
import { type MadeManifest, madeManifests, savedImages } from '../oci-layout/docker-save.ts';
import type { ImageArchive } from '../oci-layout/image-archive.ts';
import { blobPath, type FoundRoot, isImageLayout, layoutRoots } from '../oci-layout/image-layout.ts';
import { LayoutError } from '../oci-layout/layout-error.ts';
import { type Digest, digestFrom } from '../oci/digest.ts';
import type { ImageRoot } from '../oci/image-walk.ts';
import { MANIFEST_SIZE_LIMIT, ManifestError, readManifest } from '../oci/manifest.ts';
import { manifestSubject } from '../oci/manifest-subject.ts';
import { BundleError } from './bundle-error.ts';
import { BUNDLE_MANIFEST_NAME } from './bundle-manifest.ts';
import { readBundleManifest } from './bundle-reading.ts';
import {
  bundleName,
  type ForeignName,
  type ImageName,
  imageName,
  namelessImage,
  type NamingOptions,
} from './image-names.ts';

/** An image that an archive brings. */
export interface ArrivingImage {
  readonly root: ImageRoot;
  /** At least one. */
  readonly names: readonly ImageName[];
  /** As of when its tags mean it, milliseconds since 1970. */
  readonly checkedAt: number;
}

export interface OfferedContent {
  readonly path: string;
  readonly sizeBytes: number;
}

export interface OfferedBody {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** An archive as what it brings: images with names, and content by digest. */
export interface OpenedSource {
  readonly name: string;
  /** `docker`: its manifests were made here, so their digests are not those of any registry. */
  readonly kind: 'bundle' | 'layout' | 'docker';
  /** By one of the keys that were asked for. */
  readonly isSigned: boolean;
  readonly images: readonly ArrivingImage[];
  /** Images that cannot be imported as they are, and why. */
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
  readonly offers: ReadonlyMap<Digest, OfferedContent>;
  /** What a delta leaves out. */
  readonly leftOut: ReadonlySet<Digest>;
  /** What it says itself that it holds: what of this is missing was lost. */
  readonly promised: ReadonlySet<Digest>;
  /** False: its bodies come one after the other. */
  readonly isSeekable: boolean;
  /** A manifest of it, as its bytes are; not verified. */
  document(digest: Digest, signal: AbortSignal): Promise<Buffer | undefined>;
  /** Where it is or would be, for the user: file and entry. */
  placeOf(digest: Digest): string;
  bodies(digests: ReadonlySet<Digest>, signal: AbortSignal): AsyncIterable<OfferedBody>;
}

export interface SourceOptions {
  readonly naming: NamingOptions;
  /** One of them must have signed it. None: whoever wrote it is believed. */
  readonly publicKeys: readonly KeyObject[];
  /** Told of what is read to know what there is. */
  readonly onBytes: (bytes: number) => void;
}

interface Found {
  readonly images: readonly ArrivingImage[];
  readonly problems: readonly string[];
  readonly remarks?: readonly string[];
}

/**
 * What an archive brings. The archive stays the caller's.
 * @throws LayoutError, BundleError
 */
export async function openSource(
  archive: ImageArchive,
  options: SourceOptions,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const { publicKeys } = options;
  if (archive.entries.has(BUNDLE_MANIFEST_NAME)) return openBundle(archive, options, signal);
  if (publicKeys.length > 0)
    throw new BundleError('untrusted', `${archive.name}: is not signed, and a public key is configured`);
  if (isImageLayout(archive)) return openLayout(archive, options, signal);
  if (archive.entries.has('manifest.json')) return openSaved(archive, options, signal);
  const hint = archive.entries.has('repositories') ? ' (docker before 1.10 wrote it: save it anew)' : '';
  throw new LayoutError(
    'unknown',
    `${archive.name}: has neither index.json nor manifest.json, so it is no image${hint}`,
  );
}

async function openBundle(
  archive: ImageArchive,
  { publicKeys, naming }: SourceOptions,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const manifest = await readBundleManifest(archive, publicKeys, signal);
  const problems: string[] = [];
  const images = manifest.images.flatMap((image): ArrivingImage[] => {
    const named = bundleName(image, naming);
    if ('problem' in named) problems.push(named.problem);
    if ('problem' in named) return [];
    const { digest, mediaType, checkedAt } = image;
    const tags = image.tags.length === 0 ? [undefined] : image.tags;
    const { upstream, repository } = named;
    const names = tags.map((tag) => ({ upstream, repository, tag }));
    return [{ root: { digest, mediaType }, names, checkedAt }];
  });
  return {
    ...sourceOf(archive, offersOf(archive), { images, problems }),
    kind: 'bundle',
    isSigned: publicKeys.length > 0,
    leftOut: new Set(manifest.leftOut.map(([digest]) => digest)),
    promised: new Set(manifest.contents.map(([digest]) => digest)),
  };
}

async function openLayout(
  archive: ImageArchive,
  { naming }: SourceOptions,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const { roots, remarks } = await layoutRoots(archive, signal);
  const offers = offersOf(archive);
  const source = sourceOf(archive, offers, { images: [], problems: [] });
  const found = await namedRoots(source, { roots, naming, checkedAt: archive.modifiedAt }, signal);
  return {
    ...sourceOf(archive, offers, { ...found, remarks: [...remarks, ...(found.remarks ?? [])] }),
    kind: 'layout',
  };
}

async function openSaved(
  archive: ImageArchive,
  { naming, onBytes }: SourceOptions,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const saved = await savedImages(archive, signal);
  const made = await madeManifests(archive, saved, onBytes, signal);
  const problems: string[] = [];
  const images: ArrivingImage[] = [];
  const manifests = new Map<Digest, MadeManifest>();
  const offers = new Map<Digest, OfferedContent>();
  for (const [at, manifest] of made.entries()) {
    const texts = saved[at]?.names ?? [];
    if (manifest instanceof LayoutError) {
      problems.push(manifest.message);
      continue;
    }
    const { digest, mediaType, bytes, places } = manifest;
    manifests.set(digest, manifest);
    offers.set(digest, { path: 'manifest.json', sizeBytes: bytes.length });
    for (const { digest: part, path, sizeBytes } of places) offers.set(part, { path, sizeBytes });
    const { names, problems: unnamed } = namesOf(
      texts.map((text) => ({ text, kind: 'docker' })),
      { naming, isOnly: saved.length === 1 },
    );
    problems.push(
      ...unnamed.map((problem) => `${archive.name}: image ${at + 1} of manifest.json: ${problem}`),
    );
    if (names.length > 0) images.push({ root: { digest, mediaType }, names, checkedAt: archive.modifiedAt });
  }
  const source = sourceOf(archive, offers, { images, problems });
  return {
    ...source,
    kind: 'docker',
    document: async (digest, ending) => manifests.get(digest)?.bytes ?? source.document(digest, ending),
    bodies: async function* (digests, ending) {
      yield* source.bodies(new Set([...digests].filter((digest) => !manifests.has(digest))), ending);
      for (const [digest, { bytes }] of manifests)
        if (digests.has(digest)) yield { digest, sizeBytes: bytes.length, body: once(bytes) };
    },
  };
}

interface FoundRoots {
  readonly roots: readonly FoundRoot[];
  readonly naming: NamingOptions;
  readonly checkedAt: number;
}

/** What has no name of its own and is about something that has one belongs to that one's repository. */
async function namedRoots(
  source: OpenedSource,
  { roots, naming, checkedAt }: FoundRoots,
  signal: AbortSignal,
): Promise<Found> {
  const texts = new Map<Digest, { readonly root: FoundRoot; readonly names: ForeignName[] }>();
  for (const root of roots) {
    const known = texts.get(root.digest) ?? { root, names: [] };
    texts.set(root.digest, known);
    if (root.fullName !== undefined) known.names.push({ text: root.fullName, kind: 'full' });
    else if (root.refName !== undefined) known.names.push({ text: root.refName, kind: 'reference' });
  }
  const subjects = new Map<Digest, Digest>();
  for (const { root, names } of texts.values()) {
    const subject = names.length > 0 ? undefined : await subjectOf(source, root, signal);
    if (subject !== undefined) subjects.set(root.digest, subject);
  }
  const isOnly = texts.size - subjects.size === 1;
  const problems: string[] = [];
  const images = new Map<Digest, ArrivingImage>();
  for (const [digest, { root, names: foreign }] of texts) {
    if (subjects.has(digest)) continue;
    const { names, problems: unnamed } = namesOf(foreign, { naming, isOnly });
    problems.push(...unnamed.map((problem) => `${source.name}: ${digest} of index.json: ${problem}`));
    if (names.length > 0) images.set(digest, { root, names, checkedAt });
  }
  const remarks: string[] = [];
  for (const [digest, subject] of subjects) {
    const { root } = texts.get(digest) ?? {};
    const about = images.get(subject) ?? images.get(subjects.get(subject) ?? subject);
    if (root === undefined || about === undefined) {
      remarks.push(`${digest} of index.json is about ${subject}, which is not imported: passed over`);
      continue;
    }
    const [name] = about.names;
    if (name !== undefined) images.set(digest, { root, names: [{ ...name, tag: undefined }], checkedAt });
  }
  return { images: [...images.values()], problems, remarks };
}

async function subjectOf(
  source: OpenedSource,
  { digest, mediaType }: FoundRoot,
  signal: AbortSignal,
): Promise<Digest | undefined> {
  const bytes = await source.document(digest, signal);
  if (bytes === undefined) return undefined;
  try {
    return manifestSubject(digest, bytes, readManifest(bytes, mediaType))?.subject;
  } catch (error) {
    if (error instanceof ManifestError) return undefined;
    throw error;
  }
}

function namesOf(
  foreign: readonly ForeignName[],
  { naming, isOnly }: { readonly naming: NamingOptions; readonly isOnly: boolean },
): { readonly names: readonly ImageName[]; readonly problems: readonly string[] } {
  const isTagged = naming.as !== undefined && /:[^/]*$/.test(naming.as);
  // Without names of their own, or with a tag for all, several would become one.
  if (naming.as !== undefined && !isOnly && (isTagged || foreign.length === 0))
    return { names: [], problems: [`--as ${naming.as} is for one image, and there are several`] };
  const found =
    foreign.length === 0 ? [namelessImage(naming)] : foreign.map((name) => imageName(name, naming));
  const names = new Map<string, ImageName>();
  const problems: string[] = [];
  for (const one of found) {
    if ('problem' in one) problems.push(one.problem);
    else names.set(`${one.upstream}/${one.repository}:${one.tag ?? ''}`, one);
  }
  return { names: [...names.values()], problems };
}

function sourceOf(
  archive: ImageArchive,
  offers: ReadonlyMap<Digest, OfferedContent>,
  { images, problems, remarks = [] }: Found,
): OpenedSource {
  return {
    name: archive.name,
    kind: 'layout',
    isSigned: false,
    images,
    problems,
    remarks: [...archive.remarks, ...remarks],
    offers,
    leftOut: new Set(),
    promised: new Set(),
    isSeekable: archive.isSeekable,
    document: async (digest, signal) => {
      const offered = offers.get(digest);
      if (offered === undefined || offered.sizeBytes > MANIFEST_SIZE_LIMIT) return undefined;
      return archive.readSmall(offered.path, MANIFEST_SIZE_LIMIT, signal);
    },
    placeOf: (digest) => `${archive.name}: ${offers.get(digest)?.path ?? blobPath(digest)}`,
    bodies: async function* (digests, signal) {
      const byPath = new Map<string, Digest[]>();
      for (const digest of digests) {
        const path = offers.get(digest)?.path;
        if (path !== undefined) byPath.set(path, [...(byPath.get(path) ?? []), digest]);
      }
      for await (const { path, sizeBytes, body } of archive.bodies(new Set(byPath.keys()), signal)) {
        const [digest] = byPath.get(path) ?? [];
        if (digest !== undefined) yield { digest, sizeBytes, body };
      }
    },
  };
}

/** By their names, which are only believed when their bytes are those of the digest. */
function offersOf({ entries }: ImageArchive): ReadonlyMap<Digest, OfferedContent> {
  const offers = new Map<Digest, OfferedContent>();
  for (const { path, sizeBytes } of entries.values()) {
    const [, algorithm, hex] = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(path) ?? [];
    const digest = digestFrom(`${algorithm}:${hex}`);
    if (digest !== undefined) offers.set(digest, { path, sizeBytes });
  }
  return offers;
}

async function* once(bytes: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  await Promise.resolve();
  yield bytes;
}
