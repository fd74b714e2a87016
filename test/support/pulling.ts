import { setMaxListeners } from 'node:events';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import { type Clock, systemClock } from '../../src/clock.ts';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ContentPaths } from '../../src/content/paths.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import type { RepositoryKey } from '../../src/metadata/metadata-store.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { BlobCache } from '../../src/cache/blob-cache.ts';
import type { Served } from '../../src/pull-through/served.ts';
import type { Blob, Selection } from '../../src/pull-through/blobs.ts';
import { RepositoryPolicies } from '../../src/pull-through/repository-policies.ts';
import { Bandwidths } from '../../src/pull-through/bandwidth.ts';
import { PullThrough } from '../../src/pull-through/pull-through.ts';
import { openUpstream } from '../../src/upstream/open-upstream.ts';
import { closeAfterTest } from './close-after-test.ts';
import { type FailingFileSystem, failingFileSystem } from './failing-file-system.ts';
import { FakeRegistry } from './fake-registry.ts';
import { storeLimits } from './store-limits.ts';
import { tempDir } from './temp-dir.ts';

/** The product without its HTTP side, on a disk and an index that a test can break. */
export interface Pulling {
  readonly registry: FakeRegistry;
  readonly fileSystem: FailingFileSystem;
  readonly database: Database.Database;
  readonly content: DiskContentStore;
  readonly cache: BlobCache;
  readonly pullThrough: PullThrough;
  /** What the observer was told went wrong. */
  readonly told: string[];
  add(size: number, seed: number): Digest;
  /** @param select absent = all of it */
  open(digest: Digest, select?: Selection): Promise<Served<Blob>>;
  /** All of a blob as one reader gets it: how it was served, and what the digest of its bytes is. */
  pull(digest: Digest): Promise<{ outcome: string; digest: Digest }>;
  /** Where the blob lies once it is committed. */
  fileOf(digest: Digest): string;
  /** Sizes of the committed files. */
  committed(): Promise<number[]>;
  ingesting(): Promise<string[]>;
  /** What is being pulled must have ended. */
  close(): Promise<void>;
}

const KEY: RepositoryKey = { upstream: 'docker.io', repository: parseRepositoryName('library/app') };
const never = new AbortController().signal;
// Of all pulls of a test that go on together.
setMaxListeners(0, never);

export interface PullingParts {
  readonly registry: FakeRegistry;
  readonly dataDir: string;
  readonly fileSystem: FailingFileSystem;
  readonly hashes: HashWorkers;
  /** Of these hash workers alone: they know slabs by number. */
  readonly slabs: SlabPool;
  readonly limitBytes: number;
  /** The cache's; default: the system's. */
  readonly clock?: Clock;
}

/** Started now, closed when the running test has finished. */
export async function startPulling(limitBytes = 1024 * 1024 * 1024): Promise<Pulling> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const dataDir = await tempDir();
  const fileSystem = failingFileSystem();
  const hashes = closeAfterTest(new HashWorkers(1));
  const slabs = new SlabPool(16);
  const pulling = await openPulling({ registry, dataDir, fileSystem, hashes, slabs, limitBytes });
  fileSystem.calls.length = 0;
  return closeAfterTest(pulling);
}

/** As `startPulling`, on what is there, which stays open; the caller closes it. */
export async function openPulling(parts: PullingParts): Promise<Pulling> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    const failures: unknown[] = [];
    for (const closer of closers.splice(0).toReversed())
      await closer().catch((cause: unknown) => void failures.push(cause));
    if (failures.length > 0) throw failures[0];
  };
  try {
    return await opened(parts, closers, close);
  } catch (cause) {
    await close();
    throw cause;
  }
}

async function opened(
  { registry, dataDir, fileSystem, hashes, slabs, limitBytes, clock: cacheClock = systemClock }: PullingParts,
  closers: (() => Promise<void>)[],
  close: () => Promise<void>,
): Promise<Pulling> {
  const closing = <T extends { close(): Promise<void> }>(resource: T): T => {
    closers.push(() => resource.close());
    return resource;
  };
  const index = openDatabase(dataDir);
  const metadata = closing(new SqliteMetadataStore(index, leastRecentUse));
  const parts = { hashes, slabs, buffers: new ReadBuffers(4), fileSystem };
  const content = await DiskContentStore.open(dataDir, parts);
  closers.push(async () => {
    try {
      await content.close();
    } catch (cause) {
      // As in the product: the index is not told that it is closed.
      index.database.close();
      throw cause;
    }
  });
  const told: string[] = [];
  const observer = {
    fillResumed: () => undefined,
    fillFailed: () => void told.push('fill failed'),
    integrityFailure: (where: string) => void told.push(`integrity ${where}`),
    cacheFailure: (where: string) => void told.push(`failure ${where}`),
    fillEnded: () => undefined,
    evicted: ({ blobs }: { blobs: number }) => void told.push(`evicted ${blobs}`),
    tagMoved: () => undefined,
    conditionChanged: () => undefined,
  };
  const clock = systemClock;
  const cache = closing(
    await BlobCache.open({ content, metadata, clock: cacheClock, observer, limits: storeLimits(limitBytes) }),
  );
  const config = {
    name: 'docker.io',
    url: registry.url,
    default: true,
    prefixes: [],
    hosts: [],
    trustedHosts: [],
    tagTtlMs: 0,
    maxStaleMs: 0,
  };
  const client = closing(openUpstream(config, { clock }));
  const upstreams = new Map([['docker.io', client]]);
  const policies = new RepositoryPolicies([config], () => false);
  const filling = { finishFillBytes: 0, lingerMs: 1 };
  const bandwidths = new Bandwidths(clock);
  const pullThrough = closing(
    new PullThrough({ upstreams, policies, cache, metadata, slabs, clock, observer, filling, bandwidths }),
  );
  const root = join(dataDir, 'content', 'v1');
  const pulling: Pulling = {
    registry,
    fileSystem,
    database: index.database,
    content,
    cache,
    pullThrough,
    told,
    add: (size, seed) => registry.addBlob('library/app', { size, seed }),
    open: (digest, select) => pullThrough.blob(KEY, digest, select, never),
    pull: async (digest) => {
      const { value, outcome } = await pulling.open(digest);
      return { outcome, digest: digestOf(await readBlob(value)) };
    },
    fileOf: (digest) => new ContentPaths(dataDir).file(digest),
    committed: () => fileSizes(join(root, 'sha256')),
    ingesting: () => readdir(join(root, 'ingest')),
    close,
  };
  return pulling;
}

/** All bytes of an open blob, which is closed then. */
export async function readBlob({ sizeBytes, content }: Blob): Promise<Buffer> {
  if (content === undefined) throw new Error('the blob was opened without content');
  const parts: Buffer[] = [];
  try {
    for (let position = 0; position < sizeBytes;) {
      const chunk = await content.read(position, 1024 * 1024, never);
      parts.push(Buffer.from(chunk.bytes));
      position += chunk.bytes.length;
      chunk.release();
    }
  } finally {
    content.close();
  }
  return Buffer.concat(parts);
}

/** Sizes of all files below `path`; what goes away meanwhile is passed over. */
export async function fileSizes(path: string): Promise<number[]> {
  const names = await readdir(path, { recursive: true }).catch(() => []);
  const all = await Promise.all(names.map((name) => stat(join(path, name)).catch(() => undefined)));
  return all.flatMap((facts) => (facts?.isFile() === true ? [facts.size] : []));
}
