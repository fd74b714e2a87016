import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import type { MetadataStore } from '../metadata/metadata-store.ts';
import type { StoredBlob } from '../metadata/stored-blobs.ts';
import type { Digest } from '../oci/digest.ts';
import type { Evicted } from '../metrics-store.ts';
import type { Pins } from './pins.ts';
import type { EvictEvent } from './store-events.ts';

/** Victims in one call of the index. */
const PAGE_LIMIT = 16;
/** Repositories named with a victim. */
const HOLDERS_TOLD = 3;

export interface EvictionRunParts {
  readonly metadata: MetadataStore;
  readonly pins: Pins;
  /** What is stored now, as the limit counts it. */
  readonly storedBytes: () => number;
  /** What content of this size takes of that. */
  readonly allocatedBytes: (sizeBytes: number) => number;
  /** Called first: what was used lately is to be known. */
  readonly writeUses: () => Promise<void>;
  /** Row first, then file; what only a manifest used comes next. @returns what went */
  readonly evict: (digest: Digest) => Promise<StoredBlob | undefined>;
  readonly clock: Pick<Clock, 'now'>;
  /** Absent: nobody is told. */
  readonly onEvicted?: ((evicted: Evicted) => void) | undefined;
}

/** Gives up what is next in rank until no more than `toBytes` are stored, or only what is pinned. */
export async function* evictTo(
  parts: EvictionRunParts,
  toBytes: number,
  signal: AbortSignal,
): AsyncIterable<EvictEvent> {
  const { metadata, pins, storedBytes, allocatedBytes, evict, writeUses } = parts;
  await writeUses();
  const gone = { bytes: 0, blobs: 0 };
  for (let isProgress = true; isProgress && storedBytes() > toBytes;) {
    isProgress = false;
    await pins.refresh();
    const victims = await metadata.blobs.victims({ limit: PAGE_LIMIT });
    for (const blob of victims) {
      // A pull may have made it part of a pinned image since.
      if (storedBytes() <= toBytes || !pins.isCurrent) break;
      const told = await toldOf(metadata, blob);
      if ((await evict(blob.digest)) === undefined) continue;
      isProgress = true;
      const bytes = allocatedBytes(blob.sizeBytes);
      parts.onEvicted?.({ blobs: 1, bytes, reason: 'command', agesMs: [parts.clock.now() - blob.usedAt] });
      gone.bytes += bytes;
      gone.blobs += 1;
      yield told;
      // With a manifest what only it used comes next: the order has changed.
      if (blob.kind === 'manifest' || blob.kind === 'index') break;
    }
    // Nothing went because the pins changed: they are looked at again.
    if (!pins.isCurrent) isProgress = true;
    yield { event: 'progress', ...gone };
    await nextTurn();
    signal.throwIfAborted();
  }
  yield done(parts, { gone, leftBytes: storedBytes(), toBytes, dryRun: false });
}

/** What `evictTo` would do now. With each manifest that goes, the order of what it used may change: so it is about this. */
export async function* evictionPlan(
  parts: EvictionRunParts,
  toBytes: number,
  signal: AbortSignal,
): AsyncIterable<EvictEvent> {
  const { metadata, pins, storedBytes, allocatedBytes, writeUses } = parts;
  await writeUses();
  await pins.refresh();
  const gone = { bytes: 0, blobs: 0 };
  let leftBytes = storedBytes();
  for (let after: string | undefined; leftBytes > toBytes;) {
    const page = await metadata.blobs.victimPage(after, PAGE_LIMIT);
    for (const blob of page.blobs) {
      if (leftBytes <= toBytes) break;
      const bytes = allocatedBytes(blob.sizeBytes);
      leftBytes -= bytes;
      gone.bytes += bytes;
      gone.blobs += 1;
      yield await toldOf(metadata, blob);
    }
    after = page.next;
    if (after === undefined) break;
    await nextTurn();
    signal.throwIfAborted();
  }
  yield done(parts, { gone, leftBytes, toBytes, dryRun: true });
}

async function toldOf(metadata: MetadataStore, blob: StoredBlob): Promise<EvictEvent> {
  const holders = await metadata.images.holders(blob.digest, HOLDERS_TOLD);
  return {
    event: 'victim',
    digest: blob.digest,
    kind: blob.kind,
    bytes: blob.sizeBytes,
    usedAt: blob.usedAt,
    ...(blob.upstream !== undefined && { upstream: blob.upstream }),
    holders: holders.map(({ upstream, repository }) => `${upstream}/${repository}`),
  };
}

interface Outcome {
  readonly gone: { readonly bytes: number; readonly blobs: number };
  readonly leftBytes: number;
  readonly toBytes: number;
  readonly dryRun: boolean;
}

function done({ pins }: EvictionRunParts, { gone, leftBytes, toBytes, dryRun }: Outcome): EvictEvent {
  return {
    event: 'done',
    ...gone,
    storedBytes: Math.max(0, leftBytes),
    pinnedBytes: pins.totals.bytes,
    isEnough: leftBytes <= toBytes,
    dryRun,
  };
}
