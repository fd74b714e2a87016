import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { MetadataStore, RepositoryKey } from '../metadata/metadata-store.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from './blob-cache.ts';
import { keyOf, listImages, notFound } from './image-list.ts';
import type { VerifyEvent } from './store-events.ts';
import type { ImageSelection } from './store-operations.ts';

/** Told no oftener. */
const PROGRESS_MS = 250;
const PAGE_LIMIT = 500;
const HOLDERS_TOLD = 3;
/** Repositories share blobs: so many are remembered, so as not to be read twice. */
const SEEN_LIMIT = 200_000;

export interface VerificationRunParts {
  readonly metadata: MetadataStore;
  readonly cache: Pick<BlobCache, 'upkeep'>;
  readonly clock: Clock;
}

/** Looks at all that is stored of a selection. */
export async function* verifySelection(
  { metadata, cache, clock }: VerificationRunParts,
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<VerifyEvent> {
  const isAll = selection.upstream === undefined;
  const totals = isAll ? await metadata.blobs.totals() : undefined;
  const expected = totals && { totalBytes: totals.bytes, totalBlobs: totals.blobs };
  const seen = { bytes: 0, blobs: 0 };
  const wrong = { damaged: 0, unreadable: 0 };
  let toldAt = clock.monotonic();
  const what = isAll ? 'all' : digestsOf(metadata, selection, signal);
  for await (const { digest, sizeBytes, finding } of cache.upkeep.verify(what, { signal })) {
    if (finding === 'absent' || finding === 'gone') continue;
    seen.bytes += sizeBytes;
    seen.blobs += 1;
    if (finding === 'damaged') {
      wrong.damaged += 1;
      const holders = await metadata.images.holders(digest, HOLDERS_TOLD);
      yield {
        event: 'damaged',
        digest,
        sizeBytes,
        holders: holders.map(({ upstream, repository }) => `${upstream}/${repository}`),
      };
    }
    if (finding === 'unreadable') {
      wrong.unreadable += 1;
      yield { event: 'unreadable', digest, sizeBytes };
    }
    const now = clock.monotonic();
    if (now - toldAt < PROGRESS_MS) continue;
    toldAt = now;
    yield { event: 'progress', ...seen, ...expected };
  }
  yield { event: 'done', ...seen, ...wrong };
}

async function* digestsOf(
  metadata: MetadataStore,
  selection: ImageSelection,
  signal: AbortSignal,
): AsyncIterable<Digest> {
  const { upstream, repository, reference } = selection;
  if (reference !== undefined) {
    for await (const { digest } of listImages(metadata, selection, signal))
      yield* await metadata.images.contents(digest);
    return;
  }
  const seen = new Set<Digest>();
  let isEmpty = true;
  for (let after = 0; ;) {
    const page = await metadata.images.repositories({ upstream, repository }, after, 1);
    const [key] = page;
    if (key === undefined) break;
    isEmpty = false;
    after = key.number;
    for await (const digest of heldBy(metadata, key)) {
      signal.throwIfAborted();
      if (seen.has(digest)) continue;
      if (seen.size < SEEN_LIMIT) seen.add(digest);
      yield digest;
    }
  }
  if (isEmpty) throw await notFound(metadata, repository === undefined ? selection : keyOf(selection));
}

async function* heldBy({ images }: MetadataStore, key: RepositoryKey): AsyncIterable<Digest> {
  for (let after = 0; ;) {
    const { digests, next } = await images.held(key, after, PAGE_LIMIT);
    yield* digests;
    if (next === undefined) return;
    after = next;
    await nextTurn();
  }
}
