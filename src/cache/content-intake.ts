import { ContentError } from '../content/content-error.ts';
import type { Ingest } from '../content/ingest.ts';
import { SLAB_BYTES, type SlabPool } from '../content/slabs.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobCache } from './blob-cache.ts';
import type { SparedContents } from './spared-contents.ts';
import type { Reservation } from './store-budget.ts';
import type { NewContent } from './store-contents.ts';
import { StoreOperationError } from './store-operation-error.ts';

export interface ContentIntakeParts {
  readonly cache: BlobCache;
  readonly slabs: SlabPool;
  readonly spared: SparedContents;
}

/**
 * Takes content in that somebody brings, by the way that every blob goes: room first, then bytes and hash, the digest
 * compared, file, row. See `StoreContents.add`.
 * @throws StoreOperationError `invalid` when the bytes are not those of the digest
 */
export async function takeIn(
  parts: ContentIntakeParts,
  { digest, sizeBytes, upstream }: NewContent,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<'added' | 'present'> {
  const { cache, spared } = parts;
  // Before anything is evicted for the rest.
  spared.add(digest);
  if (await isHere(cache, digest)) return 'present';
  const reservation = await cache.reserve(sizeBytes, upstream, signal);
  let ingest: Ingest | undefined;
  try {
    // Room may have been promised to one who has left.
    signal.throwIfAborted();
    if (reservation === undefined) throw noRoom(cache, sizeBytes);
    ingest = await cache.ingest(digest, sizeBytes, true);
    await fill(parts, { digest, sizeBytes, ingest, reservation }, body, signal);
    if ((await ingest.verify(sizeBytes)) !== digest)
      throw new StoreOperationError('invalid', `${digest}: the bytes are others than the digest names`);
    if (!(await cache.commit(ingest, { digest, sizeBytes, upstream }, reservation))) throw notStored(digest);
    return 'added';
  } catch (cause) {
    if (cause instanceof ContentError) throw notStored(digest, cause);
    throw cause;
  } finally {
    reservation?.release();
    await ingest?.close();
  }
}

/** Also counts it as used; what is damaged is set aside, and not here any more. */
async function isHere(cache: BlobCache, digest: Digest): Promise<boolean> {
  const content = await cache.open(digest);
  content?.close();
  return content !== undefined;
}

interface Filling {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly ingest: Ingest;
  readonly reservation: Reservation;
}

async function fill(
  { slabs, cache, spared }: ContentIntakeParts,
  { digest, sizeBytes, ingest, reservation }: Filling,
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  let position = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    const slab = await slabs.acquire(signal);
    try {
      slab.bytes.set(bytes);
      if (!(await ingest.write(slab, bytes.length, position))) {
        cache.storeFailed(ingest.storeFailure);
        throw notStored(digest, ingest.storeFailure);
      }
    } finally {
      // The hash may still be at it: the pool has others.
      slab.release();
    }
    reservation.wrote(bytes.length);
    spared.keepOn();
    position += bytes.length;
  };
  // Whoever brings it may take their time, and slabs are for those who do not.
  const gathered = Buffer.allocUnsafeSlow(Math.min(sizeBytes, SLAB_BYTES));
  let length = 0;
  for await (const chunk of body) {
    signal.throwIfAborted();
    if (position + length + chunk.length > sizeBytes) throw otherSize(digest, 'more', sizeBytes);
    for (let done = 0; done < chunk.length;) {
      const part = chunk.subarray(done, done + SLAB_BYTES - length);
      done += part.length;
      if (part.length === SLAB_BYTES) {
        await write(part);
        continue;
      }
      gathered.set(part, length);
      length += part.length;
      if (length < SLAB_BYTES) continue;
      await write(gathered);
      length = 0;
    }
  }
  if (position + length < sizeBytes) throw otherSize(digest, 'fewer', sizeBytes);
  if (length > 0) await write(gathered.subarray(0, length));
}

function otherSize(digest: Digest, which: 'more' | 'fewer', sizeBytes: number): StoreOperationError {
  return new StoreOperationError('invalid', `${digest}: there are ${which} bytes than ${sizeBytes}`);
}

function noRoom(cache: BlobCache, sizeBytes: number): StoreOperationError {
  const { condition } = cache;
  if (!condition.report.isSound)
    return new StoreOperationError('failed', `nothing can be stored just now (${condition.report.reason})`);
  const { storedBytes, reservedBytes, otherBytes, limitBytes } = cache.usage;
  const missing = Math.max(0, storedBytes + reservedBytes + otherBytes + sizeBytes - limitBytes);
  return new StoreOperationError(
    'failed',
    missing === 0
      ? `there is no room for ${sizeBytes} bytes: a limit of the upstream, or on the size of a blob`
      : `there is no room for ${sizeBytes} bytes: ${missing} are missing, and what is here is pinned or needed`,
  );
}

function notStored(digest: Digest, cause?: unknown): StoreOperationError {
  const why = cause instanceof Error ? ` (${cause.message})` : '';
  return new StoreOperationError('failed', `${digest} could not be stored${why}`, { cause });
}
