import { BlobCache } from '../../src/cache/blob-cache.ts';
import type { CacheObserver } from '../../src/cache/cache-observer.ts';
import type { StoreLimits } from '../../src/cache/store-budget.ts';
import type { ScrubSettings } from '../../src/cache/scrub.ts';
import type { SparedContents } from '../../src/cache/spared-contents.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import type { FileSystem } from '../../src/content/file-system.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ContentPaths } from '../../src/content/paths.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { failingFileSystem } from '../support/failing-file-system.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { storeLimits } from '../support/store-limits.ts';
import { tempDir } from '../support/temp-dir.ts';

export interface StoreOptions {
  readonly dataDir?: string;
  readonly limitBytes?: number;
  readonly limits?: Partial<StoreLimits>;
  readonly fileSystem?: FileSystem;
  readonly verifyOnRead?: boolean;
  /** Before the cache is opened. */
  readonly prepare?: (metadata: SqliteMetadataStore) => Promise<void>;
  readonly scrub?: ScrubSettings;
  readonly clock?: FakeClock;
  readonly spared?: SparedContents;
}

/** Files and rows on a real disk, without the rest of the product, on a clock that stands still. Closed after the test. */
export async function startStore(options: StoreOptions = {}) {
  const dataDir = options.dataDir ?? (await tempDir());
  const fileSystem = failingFileSystem();
  const slabs = new SlabPool(4);
  const hashes = closeAfterTest(new HashWorkers(1));
  const parts = { hashes, slabs, buffers: new ReadBuffers(2), fileSystem: options.fileSystem ?? fileSystem };
  const content = closeAfterTest(await DiskContentStore.open(dataDir, parts));
  const opened = openDatabase(dataDir);
  const metadata = closeAfterTest(new SqliteMetadataStore(opened, leastRecentUse));
  await options.prepare?.(metadata);
  const told: string[] = [];
  const changes: string[] = [];
  const observer: CacheObserver = {
    integrityFailure: (where) => void told.push(`integrity ${where}`),
    cacheFailure: (where) => void told.push(`failure ${where}`),
    conditionChanged: (change) => void changes.push(change.isSound ? 'sound' : change.reason),
    evicted: ({ blobs }) => void told.push(`evicted ${blobs}`),
  };
  const clock = options.clock ?? new FakeClock();
  const limitBytes = options.limitBytes ?? 1024 * 1024 * 1024;
  const cache = closeAfterTest(
    await BlobCache.open({
      content,
      metadata,
      clock,
      observer,
      limits: storeLimits(limitBytes, options.limits),
      scrub: options.scrub,
      spared: options.spared,
      verifyOnRead: options.verifyOnRead === true ? slabs : undefined,
    }),
  );
  const paths = new ContentPaths(dataDir);
  const fileOf = (digest: Digest) => paths.file(digest);
  const { database } = opened;
  return { database, dataDir, fileSystem, slabs, content, metadata, cache, clock, told, changes, fileOf };
}
