import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { BlobCache } from '../../src/cache/blob-cache.ts';
import type { CacheObserver } from '../../src/cache/cache-observer.ts';
import { storeLimits } from '../support/store-limits.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { systemClock } from '../../src/clock.ts';
import { DiskContentStore } from '../../src/content/disk-content-store.ts';
import { diskFileSystem, type FileSystem } from '../../src/content/file-system.ts';
import type { HashWorkers } from '../../src/content/hash-workers.ts';
import { ReadBuffers } from '../../src/content/read-buffers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { type Digest, digestHex, digestOf } from '../../src/oci/digest.ts';
import { scratchDir } from './scratch-dir.ts';
import type { Random } from '../support/random-numbers.ts';
import { FATES, RecordedDisk } from './recorded-disk.ts';

/** Several blobs, so that limits are reached; more than a block each, but for the least. */
const SIZES = [1, 700, 3000, 5000, 9000, 14_000, 20_000, 33_000];
const BLOBS = new Map<Digest, Buffer>(
  SIZES.map((size, at) => Buffer.alloc(size, `blob ${at} `)).map((bytes) => [digestOf(bytes), bytes]),
);
const LIMIT_BYTES = 80_000;
const STEPS = 30;
const CLIENTS = 3;
const never = new AbortController().signal;

/** The index as it was after a transaction. */
interface IndexState {
  readonly moment: number;
  readonly bytes: Buffer;
  /** Nothing older can be found once power is cut after it. */
  readonly isDurable: boolean;
}

/** All that happened on the disk and in the index from an empty directory on. */
export interface Recording {
  readonly disk: RecordedDisk;
  readonly index: readonly IndexState[];
}

interface Store {
  readonly content: DiskContentStore;
  readonly metadata: SqliteMetadataStore;
  readonly database: Database.Database;
  readonly cache: BlobCache;
  readonly slabs: SlabPool;
  /** What the cache told of, in words. */
  readonly told: string[];
}

/** Files below `dataDir`, the index in `indexDir`; both stay with the caller. */
async function openStore(
  dataDir: string,
  indexDir: string,
  hashes: HashWorkers,
  fileSystem: FileSystem,
  wrap: (metadata: SqliteMetadataStore, database: Database.Database) => SqliteMetadataStore = (plain) =>
    plain,
): Promise<Store> {
  const opened = openDatabase(indexDir);
  const { database } = opened;
  const metadata = wrap(new SqliteMetadataStore(opened, leastRecentUse), database);
  const slabs = new SlabPool(8);
  const content = await DiskContentStore.open(dataDir, {
    hashes,
    slabs,
    buffers: new ReadBuffers(4),
    fileSystem,
  });
  const told: string[] = [];
  const observer: CacheObserver = {
    integrityFailure: (where) => void told.push(`integrity ${where}`),
    cacheFailure: (where, cause) => void told.push(`failure ${where}: ${String(cause)}`),
    conditionChanged: () => undefined,
    evicted: () => void told.push('evicted'),
  };
  const cache = await BlobCache.open({
    content,
    metadata,
    clock: systemClock,
    observer,
    limits: storeLimits(LIMIT_BYTES),
  });
  return { content, metadata, database, cache, slabs, told };
}

async function closeStore({ cache, content, metadata }: Store): Promise<void> {
  await cache.close();
  await content.close();
  await metadata.close();
}

/** Fills, puts, reads, evictions, removals and damage by several clients at once, chosen by `random`. */
export async function record(dataDir: string, hashes: HashWorkers, random: Random): Promise<Recording> {
  const indexDir = await scratchDir();
  try {
    const disk = await RecordedDisk.open(dataDir);
    const index: IndexState[] = [];
    const snapshot = (database: Database.Database) => {
      if (!database.open) return;
      const bytes = database.serialize();
      if (index.at(-1)?.bytes.equals(bytes) !== true)
        index.push({ moment: disk.tick(), bytes, isDurable: index.length === 0 });
    };
    const store = await openStore(dataDir, indexDir, hashes, disk.fileSystem, (metadata, database) => {
      snapshot(database);
      return watched(metadata, () => snapshot(database));
    });
    await store.cache.begin();
    const client = async () => {
      for (let step = 0; step < STEPS; step += 1) await oneStep(store, disk, random);
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
    await reconciled(store);
    await closeStore(store);
    const bytes = await readFile(join(indexDir, 'metadata.db'));
    index.push({ moment: disk.tick(), bytes, isDurable: true });
    // A moment later, nothing of what was not synced need be there yet.
    disk.tick();
    return { disk, index };
  } finally {
    await rm(indexDir, { recursive: true });
  }
}

async function oneStep(store: Store, disk: RecordedDisk, random: Random): Promise<void> {
  const { cache } = store;
  const [digest, bytes] = pick(random);
  const choice = random();
  for (let turns = Math.floor(random() * 4); turns > 0; turns -= 1) await nextTurn();
  if (choice < 0.35) await ingest(store, digest, bytes, random);
  else if (choice < 0.55) await cache.put(digest, bytes);
  else if (choice < 0.8) await readAll(store, digest, bytes);
  else if (choice < 0.95) await cache.remove(digest);
  else await disk.damage(fileOf(disk.root, digest), Math.floor(random() * bytes.length));
}

/** As a fill does it: in several writes, the parts not in their order. */
async function ingest(store: Store, digest: Digest, bytes: Buffer, random: Random): Promise<void> {
  const { cache, slabs } = store;
  const reservation = await cache.reserve(bytes.length, undefined);
  const taking = await cache.ingest(digest, bytes.length, reservation !== undefined);
  const middle = Math.floor(random() * bytes.length);
  const parts = [
    { start: 0, end: middle },
    { start: middle, end: bytes.length },
  ].filter(({ start, end }) => end > start);
  const isInOrder = taking.storeFailure !== undefined || random() < 0.5;
  for (const { start, end } of isInOrder ? parts : parts.toReversed()) {
    const slab = await slabs.acquire(never);
    slab.bytes.set(bytes.subarray(start, end));
    await taking.write(slab, end - start, start);
    slab.release();
  }
  // Some are given up.
  const isWhole = (await taking.verify(bytes.length)) === digest;
  if (reservation !== undefined && taking.storeFailure === undefined && isWhole && random() < 0.85)
    await cache.commit(taking, { digest, sizeBytes: bytes.length }, reservation);
  reservation?.release();
  await taking.close();
}

/** @returns whether it was a hit. @throws when it gives other bytes as whole */
async function readAll({ cache }: Store, digest: Digest, bytes: Buffer): Promise<boolean> {
  const content = await cache.open(digest);
  if (content === undefined) return false;
  const parts: Buffer[] = [];
  try {
    for (let at = 0; at < content.sizeBytes;) {
      const chunk = await content.read(at, 4000, never);
      parts.push(Buffer.from(chunk.bytes));
      at += chunk.bytes.length;
      chunk.release();
    }
  } catch {
    // Damage that was noticed: the answer would not have ended as whole.
    return false;
  } finally {
    content.close();
  }
  if (!Buffer.concat(parts).equals(bytes)) throw new Error(`${digest} was served with wrong bytes`);
  return true;
}

function fileOf(root: string, digest: Digest): string {
  const hex = digestHex(digest);
  return join(root, 'content', 'v1', 'sha256', hex.slice(0, 2), hex);
}

/** Calls `onCall` after each call of a method, when its transaction is done and when its promise is. */
function watched<T extends object>(target: T, onCall: () => void): T {
  return new Proxy(target, {
    get: (_target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value === 'object' && value !== null) return watched(value, onCall);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        const result: unknown = Reflect.apply(value, target, args);
        onCall();
        if (result instanceof Promise) void result.then(onCall, onCall);
        return result;
      };
    },
    set: (_target, key, value) => Reflect.set(target, key, value, target),
  });
}

/** What was seen in the states of one recording. */
export interface Findings {
  states: number;
  hits: number;
  misses: number;
  filesWithoutRow: number;
  rowsWithoutFile: number;
}

/**
 * Makes the disk and the index as a power cut may leave them, starts on them and looks whether all that is promised
 * holds. @throws with what does not
 */
export async function checkState(
  { disk, index }: Recording,
  hashes: HashWorkers,
  random: Random,
  findings: Findings,
): Promise<void> {
  // The last is the one after it was stopped properly.
  const moment = random() < 0.1 ? disk.moment : 1 + Math.floor(random() * disk.moment);
  const fate = FATES[Math.floor(random() * FATES.length)] ?? 'mixed';
  const until = index.filter((state) => state.moment <= moment);
  const legal = until.slice(
    Math.max(
      0,
      until.findLastIndex(({ isDurable }) => isDurable),
    ),
  );
  const state = random() < 0.4 ? legal.at(-1) : legal[Math.floor(random() * legal.length)];
  const directory = await scratchDir();
  const dataDir = join(directory, 'data');
  try {
    await disk.materialise(dataDir, moment, fate, random);
    // Before the first transaction there is no index.
    if (state !== undefined) await writeFile(join(dataDir, 'metadata.db'), state.bytes);
    const isLatest = state !== undefined && state === legal.at(-1);
    const whole = isLatest
      ? [...BLOBS.keys()].filter((digest) => !disk.damaged.has(fileOf(disk.root, digest)))
      : [];
    await checkStart({ dataDir, hashes, whole, random }, findings);
    findings.states += 1;
  } catch (cause) {
    throw new Error(
      `power cut at ${moment} of ${disk.moment}, ${fate}, index ${state?.moment}: ${String(cause)}`,
      {
        cause,
      },
    );
  } finally {
    await rm(directory, { recursive: true });
  }
}

interface Start {
  readonly dataDir: string;
  readonly hashes: HashWorkers;
  /** Of which a row implies a whole file. */
  readonly whole: readonly Digest[];
  readonly random: Random;
}

async function checkStart({ dataDir, hashes, whole, random }: Start, findings: Findings): Promise<void> {
  const fileSystem: FileSystem = { ...diskFileSystem, sync: nothing, syncDirectory: nothing };
  const store = await openStore(dataDir, dataDir, hashes, fileSystem);
  try {
    const { cache, content, told } = store;
    await compare(store, whole, findings);
    for (const [digest, bytes] of BLOBS) {
      if (random() < 0.5) {
        if (await readAll(store, digest, bytes)) findings.hits += 1;
        else findings.misses += 1;
      } else {
        const read = await cache.readWhole(digest);
        assert(read === undefined || read.equals(bytes), `${digest} was read with wrong bytes`);
      }
    }
    const failures = told.filter((what) => what.startsWith('failure'));
    assert(failures.length === 0, failures.join(', '));
    // Whatever became of it, it can be stored again, and is right then.
    const [digest, bytes] = pick(random);
    assert(await cache.put(digest, bytes), `${digest} cannot be stored`);
    assert(await readAll(store, digest, bytes), `${digest} is not there after it was stored`);
    await content.verify(digest, bytes.length, never);
    await cache.begin();
    await reconciled(store);
    await cache.close();
    await checkAgreement(store);
  } finally {
    await closeStore(store);
  }
}

/** Every row has its whole file, and every file its row. */
async function checkAgreement({ cache, content, metadata, told }: Store): Promise<void> {
  assert(!metadata.needsReconcile, `files and rows were not brought together: ${told.join(', ')}`);
  const rows = new Map<Digest, number>();
  for (const { digest, sizeBytes } of (await metadata.blobs.page(0, 1000)).blobs) rows.set(digest, sizeBytes);
  for await (const { files } of content.list(never)) {
    for (const { digest, sizeBytes } of files) {
      assert(rows.get(digest) === sizeBytes, `${digest} has a file and no row`);
      rows.delete(digest);
      await content.verify(digest, sizeBytes, never);
    }
  }
  assert(rows.size === 0, `${[...rows.keys()].join(', ')} has a row and no file`);
  const total = await metadata.blobs.totals(content.allocatedBytes(1));
  const { storedBytes, storedBlobs, reservedBytes, otherBytes } = cache.usage;
  assert(
    storedBytes === total.bytes && storedBlobs === total.blobs,
    `${storedBytes} bytes of ${storedBlobs} blobs are counted, the rows say ${total.bytes} of ${total.blobs}`,
  );
  assert(
    reservedBytes === 0 && otherBytes === content.quarantinedBytes,
    'something is counted that is not there',
  );
}

/** Waits until files and rows were brought together. */
async function reconciled({ cache, told }: Store): Promise<void> {
  const until = performance.now() + 20_000;
  while (cache.upkeep.progress.reconcile.phase !== 'done') {
    assert(performance.now() < until, `files and rows are still apart: ${told.join(', ')}`);
    await nextTurn();
  }
}

/** How far files and rows are apart. */
async function compare(
  { content, metadata }: Store,
  whole: readonly Digest[],
  findings: Findings,
): Promise<void> {
  const files = new Map<Digest, number>();
  for await (const slice of content.list(never)) {
    assert(slice.strays.length === 0, `strays: ${slice.strays.join(', ')}`);
    for (const { digest, sizeBytes } of slice.files) files.set(digest, sizeBytes);
  }
  for (const digest of BLOBS.keys()) {
    const row = await metadata.blobs.get(digest);
    const size = files.get(digest);
    if (row === undefined && size !== undefined) findings.filesWithoutRow += 1;
    if (row !== undefined && size === undefined) findings.rowsWithoutFile += 1;
    if (!metadata.needsReconcile)
      assert(row !== undefined || size === undefined, `${digest} has a file that nobody will look for`);
    if (row !== undefined && whole.includes(digest))
      assert(size === row.sizeBytes, `the row of ${digest} was written before its file was durable`);
  }
}

function pick(random: Random): readonly [Digest, Buffer] {
  const found = [...BLOBS][Math.floor(random() * BLOBS.size)];
  if (found === undefined) throw new Error('there are no blobs');
  return found;
}

function assert(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

async function nothing(): Promise<void> {
  // Whoever reads it back does so in this process.
}
