import { leastRecentUse } from '../support/least-recent-use.ts';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestHex, digestOf } from '../../src/oci/digest.ts';
import { BlobCache } from '../../src/cache/blob-cache.ts';
import type { PullThroughObserver } from '../../src/pull-through/pull-through-observer.ts';
import { CAMPAIGN_SCALE } from '../support/campaign-scale.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { storeLimits } from '../support/store-limits.ts';
import { tempDir } from '../support/temp-dir.ts';

const RUNS = 60 * CAMPAIGN_SCALE;
const LIMIT_BYTES = 2500;
const BLOBS = [400, 500, 600, 700, 800, 1000].map((size, at) => Buffer.alloc(size, `blob ${at} `));
const never = new AbortController().signal;

/** Every call of the disk takes a number of turns that the test chooses, so that calls overtake each other. */
function jittery(delays: readonly number[]): FileSystem {
  let calls = 0;
  const linger = async () => {
    calls += 1;
    for (let turn = delays[calls % delays.length] ?? 0; turn > 0; turn -= 1) await nextTurn();
  };
  return {
    ...diskFileSystem,
    open: async (...all) => {
      await linger();
      return diskFileSystem.open(...all);
    },
    rename: async (...all) => {
      await linger();
      await diskFileSystem.rename(...all);
      await linger();
    },
    unlink: async (path) => {
      await linger();
      await diskFileSystem.unlink(path);
      await linger();
    },
    // So that every byte counts, and the limit is met often.
    space: async (path) => ({ ...(await diskFileSystem.space(path)), blockBytes: 1 }),
    sync: linger,
    syncDirectory: linger,
  };
}

async function filesIn(root: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(join(root, 'content', 'v1'), { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    await Promise.all(
      files.map(async ({ name, parentPath }): Promise<[string, Buffer]> => [
        name,
        await readFile(join(parentPath, name)),
      ]),
    ),
  );
}

const operation = fc.record({
  blob: fc.nat(BLOBS.length - 1),
  kind: fc.constantFrom('put', 'put', 'open', 'open', 'readWhole', 'remove', 'ingest', 'ingest'),
  waits: fc.nat(12),
});

it(
  'rows and files agree after any interleaving of fills, reads, removals and evictions, and no alarm is raised',
  { timeout: 60_000 + 20_000 * CAMPAIGN_SCALE },
  async () => {
    const hashes = new HashWorkers(1);
    let evictions = 0;
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: 10, maxLength: 80 }),
        fc.array(fc.nat(4), { minLength: 1, maxLength: 7 }),
        async (operations, delays) => {
          const dataDir = await tempDir();
          const alarms: unknown[] = [];
          const observer: PullThroughObserver = {
            fillResumed: () => undefined,
            fillFailed: () => undefined,
            integrityFailure: (where, digest, cause) => void alarms.push([where, digest, cause]),
            cacheFailure: (where, cause) => void alarms.push([where, cause]),
            fillEnded: () => undefined,
            evicted: ({ blobs }) => {
              evictions += blobs;
            },
            tagMoved: () => undefined,
            conditionChanged: () => undefined,
          };
          const slabs = new SlabPool(4);
          const content = await DiskContentStore.open(dataDir, {
            hashes,
            slabs,
            buffers: new ReadBuffers(2),
            fileSystem: jittery(delays),
          });
          const metadata = new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse);
          const clock = new FakeClock();
          const cache = await BlobCache.open({
            content,
            metadata,
            clock,
            observer,
            limits: storeLimits(LIMIT_BYTES),
          });

          const ingest = async (digest: Digest, bytes: Buffer) => {
            const reservation = await cache.reserve(bytes.length, 'docker.io');
            const taking = await cache.ingest(digest, bytes.length, reservation !== undefined);
            const slab = await slabs.acquire(never);
            slab.bytes.set(bytes);
            await taking.write(slab, bytes.length, 0);
            slab.release();
            expect(await taking.verify(bytes.length)).toBe(digest);
            if (taking.storeFailure === undefined && reservation !== undefined) {
              await cache.commit(taking, { digest, sizeBytes: bytes.length }, reservation);
            }
            reservation?.release();
            await taking.close();
          };
          const read = async (digest: Digest, bytes: Buffer) => {
            const opened = await cache.open(digest);
            if (opened === undefined) return;
            hits += 1;
            for (let turn = 0; turn < 3; turn += 1) await nextTurn();
            for (let at = 0; at < bytes.length;) {
              const chunk = await opened.read(at, 300, never);
              expect(Buffer.compare(chunk.bytes, bytes.subarray(at, at + chunk.bytes.length))).toBe(0);
              at += chunk.bytes.length;
              chunk.release();
            }
            opened.close();
          };
          await Promise.all(
            operations.map(async ({ blob, kind, waits }, at) => {
              const bytes = BLOBS[blob] ?? Buffer.alloc(0);
              const digest = digestOf(bytes);
              for (let turn = 0; turn < waits * at; turn += 1) await nextTurn();
              if (kind === 'put') await cache.put(digest, bytes);
              if (kind === 'ingest') await ingest(digest, bytes);
              if (kind === 'open') await read(digest, bytes);
              if (kind === 'remove') await cache.remove(digest);
              if (kind === 'readWhole') {
                const whole = await cache.readWhole(digest);
                expect(whole === undefined || whole.equals(bytes)).toBe(true);
              }
              const { storedBytes, reservedBytes } = cache.usage;
              expect(storedBytes + reservedBytes).toBeLessThanOrEqual(LIMIT_BYTES);
            }),
          );
          await cache.close();

          const files = await filesIn(dataDir);
          const expected = new Map<string, Buffer>();
          for (const bytes of BLOBS) {
            const digest = digestOf(bytes);
            if ((await metadata.blobs.get(digest)) !== undefined) expected.set(digestHex(digest), bytes);
          }
          expect([...files.keys()].toSorted()).toEqual([...expected.keys()].toSorted());
          for (const [name, bytes] of files) expect(expected.get(name)?.equals(bytes)).toBe(true);
          const total = [...expected.values()].reduce((sum, { length }) => sum + length, 0);
          expect(total).toBeLessThanOrEqual(LIMIT_BYTES);
          expect(cache.usage).toMatchObject({
            storedBytes: total,
            storedBlobs: expected.size,
            reservedBytes: 0,
          });
          expect(alarms).toEqual([]);
          await metadata.close();
        },
      ),
      { numRuns: RUNS },
    );
    await hashes.close();
    // Otherwise it would have shown nothing.
    expect(evictions).toBeGreaterThan(RUNS / 8);
    expect(hits).toBeGreaterThan(RUNS / 8);
  },
);
