import type { Clock } from '../clock.ts';
import type { MetadataStore, NewManifest, RepositoryKey } from '../metadata/metadata-store.ts';
import { walkImage } from '../oci/image-walk.ts';
import { MANIFEST_SIZE_LIMIT } from '../oci/manifest.ts';
import { manifestSubject } from '../oci/manifest-subject.ts';
import type { Tag } from '../oci/reference.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from './blob-cache.ts';
import { newManifest } from './new-manifest.ts';
import type { NewImage } from './store-contents.ts';
import { StoreOperationError } from './store-operation-error.ts';

export interface ImageIntakeParts {
  readonly cache: Pick<BlobCache, 'readWhole' | 'row'>;
  readonly metadata: MetadataStore;
  readonly clock: Clock;
}

interface Read {
  readonly manifest: NewManifest;
  readonly refersTo: ReturnType<typeof manifestSubject>;
}

/** What a subject's list may grow to: it is one row of the index. */
const REFERRERS_LIMIT = 10_000;
/** As the index names the set of all manifest types. */
const EVERY_KIND = '';

/** See `StoreContents.addImage`. One at a time: lists are read, added to and written. */
export async function takeImageIn(
  parts: ImageIntakeParts,
  image: NewImage,
  signal: AbortSignal,
): Promise<'added' | 'present'> {
  const { metadata, clock } = parts;
  const { upstream, repository, digest, tags } = image;
  const key = { upstream, repository };
  const checkedAt = Math.min(image.checkedAt, clock.now());
  let isNew = false;
  // What lists comes after what is listed, so that a crash leaves no index whose manifests nobody holds.
  for (const { manifest, refersTo } of (await manifestsOf(parts, image, signal)).toReversed()) {
    signal.throwIfAborted();
    const known = await metadata.holding(key, manifest.digest);
    isNew = known?.manifestType === undefined || isNew;
    await metadata.recordManifest(key, manifest);
    if (refersTo !== undefined) isNew = (await addReferrer(parts, key, refersTo, checkedAt)) || isNew;
  }
  for (const tag of tags) isNew = (await addTag(parts, key, { tag, digest, checkedAt })) || isNew;
  if (tags.length > 0) await addToList(parts, key, tags);
  return isNew ? 'added' : 'present';
}

/** The root, and what of its manifests is here. @throws StoreOperationError when the root is not, or is none */
async function manifestsOf(
  { cache }: ImageIntakeParts,
  { digest, mediaType, isAlone = false }: NewImage,
  signal: AbortSignal,
): Promise<readonly Read[]> {
  const read: Read[] = [];
  const documents = walkImage({ digest, mediaType }, async (root) => {
    signal.throwIfAborted();
    if (isAlone && root.digest !== digest) return undefined;
    const bytes = await cache.readWhole(root.digest, MANIFEST_SIZE_LIMIT);
    return bytes && { bytes, mediaType: root.mediaType };
  });
  for await (const step of documents) {
    if (step.step === 'missing' && step.digest === digest)
      throw new StoreOperationError('invalid', `the manifest ${digest}: ${step.problem}`);
    if (step.step !== 'manifest') continue;
    const { bytes, facts } = step;
    read.push({
      manifest: newManifest(step.digest, bytes.length, facts),
      refersTo: manifestSubject(step.digest, bytes, facts),
    });
  }
  return read;
}

/** A tag that was asked about later stays what it is, if that is here. @returns whether it changed */
async function addTag(
  { metadata, cache }: ImageIntakeParts,
  key: RepositoryKey,
  { tag, digest, checkedAt }: { readonly tag: Tag; readonly digest: Digest; readonly checkedAt: number },
): Promise<boolean> {
  const tagKey = { ...key, tag, accept: EVERY_KIND };
  const known = await metadata.tag(tagKey);
  const isLater = known !== undefined && known.checkedAt >= Math.round(checkedAt);
  if (isLater && (known.digest === digest || (await cache.row(known.digest)) !== undefined)) return false;
  await metadata.putTag(tagKey, { digest, checkedAt });
  return known?.digest !== digest;
}

/** A list that the upstream gave once would go on without them. */
async function addToList(
  { metadata }: ImageIntakeParts,
  key: RepositoryKey,
  tags: readonly Tag[],
): Promise<void> {
  const listing = await metadata.tagList(key);
  if (listing === undefined || tags.every((tag) => listing.items.includes(tag))) return;
  await metadata.putTagList(key, { ...listing, items: [...new Set([...listing.items, ...tags])].toSorted() });
}

/** @returns whether it was not listed */
async function addReferrer(
  { metadata }: ImageIntakeParts,
  key: RepositoryKey,
  { subject, descriptor }: NonNullable<Read['refersTo']>,
  checkedAt: number,
): Promise<boolean> {
  const listing = await metadata.referrers(key, subject);
  const items = listing?.items ?? [];
  if (items.length >= REFERRERS_LIMIT || items.some((item) => item['digest'] === descriptor['digest']))
    return false;
  await metadata.putReferrers(key, subject, {
    items: [...items, descriptor],
    checkedAt: listing?.checkedAt ?? checkedAt,
  });
  return true;
}
