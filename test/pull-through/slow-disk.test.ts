import { leastRecentUse } from '../support/least-recent-use.ts';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestHex, digestOf } from '../../src/oci/digest.ts';
import { parseRepositoryName } from '../../src/oci/reference.ts';
import { BlobCache } from '../../src/cache/blob-cache.ts';
import { Bandwidths } from '../../src/pull-through/bandwidth.ts';
import { BlobFetches } from '../../src/pull-through/blob-fetches.ts';
import type { PullThroughObserver } from '../../src/pull-through/pull-through-observer.ts';
import { openUpstream } from '../../src/upstream/open-upstream.ts';
import type { Upstream } from '../../src/upstream/upstream.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { storeLimits } from '../support/store-limits.ts';
import { tempDir } from '../support/temp-dir.ts';

const silent: PullThroughObserver = {
  fillResumed: () => undefined,
  fillFailed: () => undefined,
  integrityFailure: () => undefined,
  cacheFailure: () => undefined,
  fillEnded: () => undefined,
  evicted: () => undefined,
  tagMoved: () => undefined,
  conditionChanged: () => undefined,
};

/** All of a blob as one reader gets it. */
async function readAll(fetches: BlobFetches, digest: Digest, upstream: Upstream, size: number) {
  const source = { upstream, repository: parseRepositoryName('library/app') };
  const { signal } = new AbortController();
  const reader = await fetches.join(digest, size, source).fetch.open('whole', undefined, signal);
  const parts: Buffer[] = [];
  for (let position = 0; position < size;) {
    const chunk = await reader.read(position, 1024 * 1024, signal);
    parts.push(Buffer.from(chunk.bytes));
    position += chunk.bytes.length;
    chunk.release();
  }
  reader.close();
  return Buffer.concat(parts);
}

it('readers have all of a blob while the disk still hangs, and it is committed only when every write has ended', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const size = 300_000;
  const digest = registry.addBlob('library/app', { size, seed: 1 });
  const dataDir = await tempDir();
  const gate = new Gate();
  const renamed: string[] = [];
  const fileSystem: FileSystem = {
    ...diskFileSystem,
    write: async (file, bytes, length, position) => {
      if (length > 1000) await gate.pass();
      return diskFileSystem.write(file, bytes, length, position);
    },
    rename: async (from, to) => {
      renamed.push(to);
      await diskFileSystem.rename(from, to);
    },
  };
  const slabs = new SlabPool(8);
  const hashes = closeAfterTest(new HashWorkers(1));
  const content = await DiskContentStore.open(dataDir, {
    hashes,
    slabs,
    buffers: new ReadBuffers(4),
    fileSystem,
  });
  renamed.length = 0;
  const metadata = closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse));
  const cache = await BlobCache.open({
    content,
    metadata,
    clock: systemClock,
    observer: silent,
    limits: storeLimits(10_000_000),
  });
  const settings = { finishFillBytes: 0, lingerMs: 1 };
  const fetches = new BlobFetches(
    { clock: systemClock, cache, slabs, observer: silent, settings },
    { segmentLimit: () => 1, bandwidths: new Bandwidths(systemClock) },
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
  const upstream = closeAfterTest(openUpstream(config, { clock: systemClock }));

  const bytes = await readAll(fetches, digest, upstream, size);
  expect(digestOf(bytes)).toBe(digest);
  expect(gate.waiting).toBeGreaterThan(0);
  expect(renamed).toEqual([]);
  expect(await cache.row(digest)).toBeUndefined();

  gate.open();
  await expect.poll(() => cache.row(digest)).toEqual({ digest, sizeBytes: size });
  const hex = digestHex(digest);
  const stored = await readFile(join(dataDir, 'content', 'v1', 'sha256', hex.slice(0, 2), hex));
  expect(digestOf(stored)).toBe(digest);
  await fetches.close();
  await cache.close();
});
