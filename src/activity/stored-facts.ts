import { setImmediate as nextTurn } from 'node:timers/promises';
import { listImages } from '../cache/image-list.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { StoredFacts } from './savings-report.ts';

/** Blobs in one turn of the event loop: a few milliseconds. */
const BLOBS_AT_ONCE = 1000;
/** Images whose sizes are found for one report, each by a walk of some hundred rows; of the others only the number is told. */
const SIZED_LIMIT = 20_000;

type Unused = StoredFacts['unused'][number];

/**
 * What the index says for a report: how much of what is stored serves several images, and which images nobody used since
 * then. Sizes of these are what purging them would free.
 */
export async function storedFacts(
  metadata: MetadataStore,
  { since, top }: { readonly since: number; readonly top: number },
  signal: AbortSignal,
): Promise<StoredFacts> {
  const sharedShare = await shareOf(metadata, signal);
  const unused: Unused[] = [];
  let unusedCount = 0;
  let unusedBytes = 0;
  for await (const { upstream, repository, tags, digest, usedAt } of listImages(metadata, {}, signal)) {
    if (usedAt >= since) continue;
    unusedCount += 1;
    if (unusedCount > SIZED_LIMIT) continue;
    const { exclusiveBytes } = await metadata.images.sizes(digest);
    unusedBytes += exclusiveBytes;
    const [tag] = tags;
    const image = `${upstream}/${repository}${tag === undefined ? `@${digest}` : `:${tag}`}`;
    keepLargest(unused, { image, bytes: exclusiveBytes, usedAt }, top);
    await nextTurn();
  }
  return { ...(sharedShare !== undefined && { sharedShare }), unused, unusedCount, unusedBytes };
}

async function shareOf(metadata: MetadataStore, signal: AbortSignal): Promise<number | undefined> {
  let bytes = 0;
  let unsharedBytes = 0;
  for (let after: number | undefined = 0; after !== undefined;) {
    const page = await metadata.blobs.sharing(after, BLOBS_AT_ONCE);
    bytes += page.bytes;
    unsharedBytes += page.unsharedBytes;
    after = page.next;
    await nextTurn();
    signal.throwIfAborted();
  }
  return unsharedBytes === 0 ? undefined : 1 - bytes / unsharedBytes;
}

/** In order, the largest first, `limit` at most. */
function keepLargest(list: Unused[], image: Unused, limit: number): void {
  const at = list.findIndex(({ bytes }) => bytes < image.bytes);
  list.splice(at === -1 ? list.length : at, 0, image);
  if (list.length > limit) list.pop();
}
