import { BlobCache } from './cache/blob-cache.ts';
import type { CacheObserver } from './cache/cache-observer.ts';
import type { CacheSettings } from './cache/cache-settings.ts';
import { evictionPolicy } from './cache/eviction-policy.ts';
import { Pins } from './cache/pins.ts';
import { SparedContents } from './cache/spared-contents.ts';
import type { UpkeepObserver } from './cache/upkeep-observer.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { markDataDirectory, prepareDataDirectory } from './content/data-directory.ts';
import { DiskContentStore } from './content/disk-content-store.ts';
import { HashWorkers } from './content/hash-workers.ts';
import { ReadBuffers } from './content/read-buffers.ts';
import { SlabPool } from './content/slabs.ts';
import { type WalSafety, walSafety } from './content/wal-safety.ts';
import type { Log } from './log.ts';
import { DataDirectoryLock } from './metadata/data-directory-lock.ts';
import { openDatabase } from './metadata/database.ts';
import { MetadataError } from './metadata/metadata-error.ts';
import { SqliteMetadataStore } from './metadata/sqlite-metadata-store.ts';
import { type SizeFacts, sizeWarnings, storeLimits } from './cache/store-limits.ts';
import { StartError } from './start-error.ts';

/** 1 MiB each, made when needed: what all fills together may have in memory on its way to the disk. */
const SLAB_COUNT = 48;
/** 1 MiB each: what readers of files may use before they get smaller buffers. */
const LARGE_READ_BUFFER_COUNT = 32;

export type Closer = () => Promise<void> | void;

export interface OpenStoreParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly observer: CacheObserver;
  /** Absent: nobody is told of upkeep. */
  readonly reports?: UpkeepObserver | undefined;
  /** What was opened is put here as it is opened, also when the rest fails: closed in reverse order. */
  readonly closers: Closer[];
}

/** All that is kept, under the data directory's lock. */
export interface OpenStore {
  readonly content: DiskContentStore;
  readonly metadata: SqliteMetadataStore;
  readonly cache: BlobCache;
  readonly pins: Pins;
  readonly slabs: SlabPool;
  readonly spared: SparedContents;
  readonly hashes: HashWorkers;
  /**
   * Readies another configuration of what is kept; what it gives has it hold, and is to be called at once, or never.
   * @throws ContentError when the disk does not tell its size
   */
  renew(config: StoreConfig): Promise<() => Promise<void>>;
}

type StoreConfig = Pick<Config, 'cache' | 'upstreams'>;

/**
 * The store of a data directory: for the server, and for commands where no server runs.
 * @throws StartError with one sentence
 */
export async function openStore(
  config: StoreConfig & Pick<Config, 'dataDir'>,
  { clock, log, observer, reports, closers }: OpenStoreParts,
): Promise<OpenStore> {
  await prepareDataDirectory(config.dataDir);
  const lock = lockDataDirectory(config.dataDir);
  closers.push(() => lock.release());
  await markDataDirectory(config.dataDir);
  const metadata = openMetadata(config.dataDir, await walSafety(config.dataDir), log);
  closers.push(() => metadata.close());

  const hashes = new HashWorkers();
  closers.push(() => hashes.close());
  const slabs = new SlabPool(SLAB_COUNT);
  const buffers = new ReadBuffers(LARGE_READ_BUFFER_COUNT);
  const content = await openContent(config.dataDir, { hashes, slabs, buffers });
  closers.push(() => content.close());
  const capacityBytes = await content.capacityBytes();
  const settingsOf = (settings: StoreConfig, capacity: number): CacheSettings => ({
    limits: storeLimits(settings, capacity),
    scrub: settings.cache.scrub,
    verifyOnRead: settings.cache.verifyOnRead ? slabs : undefined,
  });
  const pins = new Pins({ metadata, configured: config.cache.pins });
  const spared = new SparedContents(clock);
  const cache = await BlobCache.open({
    content,
    metadata,
    clock,
    observer,
    pins,
    spared,
    reports,
    ...settingsOf(config, capacityBytes),
  });
  closers.push(() => cache.close());
  const warn = ({ limits }: CacheSettings, capacity: number): Promise<void> =>
    warnOfSizes({ limits, capacityBytes: capacity }, { metadata, content, cache, pins }, log);
  let warning = warn(settingsOf(config, capacityBytes), capacityBytes);
  closers.push(() => warning);
  const renew = async (next: StoreConfig): Promise<() => Promise<void>> => {
    const capacity = await content.capacityBytes();
    const settings = settingsOf(next, capacity);
    return async () => {
      pins.configure(next.cache.pins);
      await cache.configure(settings);
      warning = Promise.all([warning, warn(settings, capacity)]).then(() => undefined);
    };
  };
  return { content, metadata, cache, pins, slabs, spared, hashes, renew };
}

function lockDataDirectory(dataDir: string): DataDirectoryLock {
  try {
    return DataDirectoryLock.acquire(dataDir);
  } catch (cause) {
    throw new StartError(`The data directory ${dataDir} cannot be used: ${reasonOf(cause)}.`, { cause });
  }
}

function openMetadata(dataDir: string, { isSafe, fileSystem }: WalSafety, log: Log): SqliteMetadataStore {
  if (!isSafe)
    log.warn(
      { fileSystem },
      `the data directory lies on ${fileSystem}, which a write-ahead log is not safe on: the index uses a rollback journal, which is slower; prefer a local disk`,
    );
  try {
    const opened = openDatabase(dataDir, { isWalSafe: isSafe });
    const { setAside } = opened;
    if (setAside !== undefined)
      log.error({ setAside }, 'the index was damaged: it was moved aside, and begins empty');
    return new SqliteMetadataStore(opened, evictionPolicy);
  } catch (cause) {
    if (cause instanceof MetadataError) {
      throw new StartError(`The index in ${dataDir} cannot be opened: ${cause.message}.`, { cause });
    }
    throw cause;
  }
}

async function openContent(
  dataDir: string,
  parts: Parameters<typeof DiskContentStore.open>[1],
): Promise<DiskContentStore> {
  try {
    return await DiskContentStore.open(dataDir, parts);
  } catch (cause) {
    throw new StartError(`The data directory ${dataDir} cannot be written: ${reasonOf(cause)}.`, { cause });
  }
}

/** In the background: what is pinned is not looked up in no time where much is. */
async function warnOfSizes(
  facts: Pick<SizeFacts, 'limits' | 'capacityBytes'>,
  { metadata, content, cache, pins }: Pick<OpenStore, 'metadata' | 'content' | 'cache' | 'pins'>,
  log: Log,
): Promise<void> {
  try {
    await pins.refresh();
    const { storedBytes, limitBytes } = cache.usage;
    const { bytes: pinnedBytes } = await metadata.blobs.pinnedTotals(content.allocatedBytes(1));
    for (const warning of sizeWarnings({ ...facts, storedBytes, pinnedBytes, limitBytes }))
      log.warn({ maxSize: facts.limits.maxBytes, limitBytes, storedBytes, pinnedBytes }, warning);
  } catch (cause) {
    // An index that fails is no reason not to serve, and is told of by whoever needs it next.
    if (!(cause instanceof MetadataError)) throw cause;
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
