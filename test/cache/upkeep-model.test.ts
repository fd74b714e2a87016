import { open, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';
import { type Digest, digestHex, digestOf } from '../../src/oci/digest.ts';
import { CAMPAIGN_SCALE } from '../support/campaign-scale.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startStore } from './store-under-test.ts';

const BLOCK_BYTES = 4096;
const LIMIT_BYTES = 6 * BLOCK_BYTES;
const BLOBS = [400, 500, 600, 700, 800, 1000, 1200, 1300].map((size, at) =>
  Buffer.alloc(size, `blob ${at} `),
);
const never = new AbortController().signal;

/** Calls of the disk take a number of turns that the test chooses, before and after, so that they overtake each other. */
function gated(delays: readonly number[]): FileSystem {
  let calls = 0;
  const linger = async () => {
    calls += 1;
    for (let turn = delays[calls % delays.length] ?? 0; turn > 0; turn -= 1) await nextTurn();
  };
  const slowly =
    <Arguments extends unknown[], Result>(call: (...all: Arguments) => Promise<Result>) =>
    async (...all: Arguments): Promise<Result> => {
      await linger();
      try {
        return await call(...all);
      } finally {
        await linger();
      }
    };
  return {
    ...diskFileSystem,
    open: slowly((...all: Parameters<FileSystem['open']>) => diskFileSystem.open(...all)),
    read: slowly((...all: Parameters<FileSystem['read']>) => diskFileSystem.read(...all)),
    rename: slowly((...all: Parameters<FileSystem['rename']>) => diskFileSystem.rename(...all)),
    unlink: slowly((...all: Parameters<FileSystem['unlink']>) => diskFileSystem.unlink(...all)),
    stat: slowly((...all: Parameters<FileSystem['stat']>) => diskFileSystem.stat(...all)),
    statFile: slowly((...all: Parameters<FileSystem['statFile']>) => diskFileSystem.statFile(...all)),
    sync: linger,
    syncDirectory: linger,
  };
}

type Store = Awaited<ReturnType<typeof startStore>>;
type Kind =
  'put' | 'read' | 'readWhole' | 'remove' | 'scrub' | 'verify' | 'reconcile' | 'flip' | 'cut' | 'lose';
const SOUND: readonly Kind[] = [
  'put',
  'put',
  'put',
  'read',
  'read',
  'readWhole',
  'remove',
  'scrub',
  'verify',
  'reconcile',
];
const DAMAGING: readonly Kind[] = ['flip', 'cut', 'lose'];

async function flip(file: string): Promise<void> {
  const handle = await open(file, 'r+');
  const { atime, mtime } = await handle.stat();
  await handle.write(Buffer.from([0]), 0, 1, 3);
  // As bits rot: nothing tells of it.
  await handle.utimes(atime, mtime);
  await handle.close();
}

/** What whoever reads is given, when it ends as whole. */
async function readThrough(store: Store, digest: Digest, size: number): Promise<Buffer | undefined> {
  const content = await store.cache.open(digest);
  if (content === undefined) return undefined;
  const pieces: Buffer[] = [];
  try {
    for (let position = 0; position < size;) {
      const chunk = await content.read(position, 300, never);
      pieces.push(Buffer.from(chunk.bytes));
      position += chunk.bytes.length;
      chunk.release();
      await nextTurn();
    }
    return Buffer.concat(pieces);
  } catch {
    return undefined;
  } finally {
    content.close();
  }
}

async function perform(store: Store, kind: Kind, bytes: Buffer): Promise<void> {
  const { cache, fileOf } = store;
  const digest = digestOf(bytes);
  if (kind === 'put') await cache.put(digest, bytes);
  if (kind === 'remove') await cache.remove(digest);
  if (kind === 'readWhole') {
    const whole = await cache.readWhole(digest);
    expect(whole === undefined || whole.equals(bytes)).toBe(true);
  }
  if (kind === 'read') {
    const got = await readThrough(store, digest, bytes.length);
    expect(got === undefined || got.equals(bytes)).toBe(true);
  }
  if (kind === 'scrub') for await (const event of cache.upkeep.verify('all', { signal: never })) void event;
  if (kind === 'verify')
    for await (const event of cache.upkeep.verify([digest], { signal: never })) void event;
  if (kind === 'reconcile') await cache.upkeep.begin();
  if (kind === 'flip') await flip(fileOf(digest)).catch(() => undefined);
  if (kind === 'cut') await truncate(fileOf(digest), 100).catch(() => undefined);
  if (kind === 'lose') await rm(fileOf(digest)).catch(() => undefined);
}

async function settled({ cache }: Store): Promise<void> {
  await cache.upkeep.begin();
  await vi.waitFor(() => expect(cache.upkeep.progress.reconcile.phase).toBe('done'), {
    interval: 1,
    ...SOON,
  });
}

async function filesOf(dataDir: string): Promise<ReadonlyMap<string, Buffer>> {
  const root = join(dataDir, 'content', 'v1', 'sha256');
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    await Promise.all(
      files.map(async ({ name, parentPath }) => [name, await readFile(join(parentPath, name))] as const),
    ),
  );
}

/** A directory with some blobs that have rows, and some that have none. */
async function begunWith(dataDir: string, unindexed: readonly number[]): Promise<void> {
  const store = await startStore({ dataDir, limitBytes: LIMIT_BYTES });
  for (const at of unindexed) {
    const bytes = BLOBS[at % BLOBS.length] ?? Buffer.alloc(0);
    await store.cache.put(digestOf(bytes), bytes);
    await store.metadata.blobs.delete(digestOf(bytes));
  }
  await store.cache.close();
  await store.metadata.close();
}

const operations = (kinds: readonly Kind[]) =>
  fc.array(
    fc.record({ blob: fc.nat(BLOBS.length - 1), kind: fc.constantFrom(...kinds), waits: fc.nat(40) }),
    { minLength: 10, maxLength: 60 },
  );
const delays = fc.array(fc.nat(4), { minLength: 1, maxLength: 7 });
const unindexed = fc.array(fc.nat(BLOBS.length - 1), { maxLength: 4 });

it.each([
  ['no alarm is raised and nothing set aside', SOUND, 10 * CAMPAIGN_SCALE],
  [
    'however files rot, nothing wrong is ever given out as whole',
    [...SOUND, ...DAMAGING],
    25 * CAMPAIGN_SCALE,
  ],
] as const)(
  'after any interleaving of fills, reads, removals, evictions, scrubs and reconciling files and rows agree; %s',
  { timeout: 60_000 + 60_000 * CAMPAIGN_SCALE },
  async (_what, kinds, numRuns) => {
    let adopted = 0;
    let setAside = 0;
    await fc.assert(
      fc.asyncProperty(operations(kinds), delays, unindexed, async (steps, turns, before) => {
        const dataDir = await tempDir();
        await begunWith(dataDir, before);
        const store = await startStore({
          dataDir,
          limitBytes: LIMIT_BYTES,
          fileSystem: gated(turns),
          verifyOnRead: true,
        });
        vi.spyOn(store.metadata, 'needsReconcile', 'get').mockReturnValue(true);
        await store.cache.begin();
        await Promise.all(
          steps.map(async ({ blob, kind, waits }) => {
            for (let turn = 0; turn < waits * 3; turn += 1) await nextTurn();
            await perform(store, kind, BLOBS[blob] ?? Buffer.alloc(0));
          }),
        );
        // What rots is found by whoever looks, and what is there then is right.
        await settled(store);
        adopted += store.cache.upkeep.progress.reconcile.adopted;
        for await (const { finding } of store.cache.upkeep.verify('all', { signal: never }))
          expect(['sound', 'damaged']).toContain(finding);
        await settled(store);
        const { blobs } = await store.metadata.blobs.page(0, 100);
        const files = await filesOf(dataDir);
        expect([...files.keys()].toSorted()).toEqual(blobs.map(({ digest }) => digestHex(digest)).toSorted());
        for (const [name, bytes] of files) expect(digestHex(digestOf(bytes))).toBe(name);
        expect(store.cache.usage).toMatchObject({
          storedBlobs: blobs.length,
          storedBytes: blobs.length * BLOCK_BYTES,
          reservedBytes: 0,
        });
        const alarms = store.told.filter((what) => !what.startsWith('evicted'));
        setAside += alarms.length;
        if (!steps.some(({ kind }) => DAMAGING.includes(kind))) {
          expect(alarms).toEqual([]);
          expect(store.content.quarantinedBytes).toBe(0);
        }
        await store.cache.close();
        await store.metadata.close();
      }),
      { numRuns },
    );
    // Otherwise it would have shown nothing. Of few cases the share is not told.
    if (kinds.length > SOUND.length) expect(setAside).toBeGreaterThan(CAMPAIGN_SCALE > 1 ? numRuns / 4 : 0);
    expect(adopted).toBeGreaterThan(0);
  },
);
