import { readdirSync, readlinkSync } from 'node:fs';
import { rm, truncate } from 'node:fs/promises';
import pLimit from 'p-limit';
import { expect, it } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { ContentError } from '../../src/content/content-error.ts';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { SlabPool } from '../../src/content/slabs.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { failingFileSystem } from '../support/failing-file-system.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { openPulling, type Pulling, type PullingParts } from '../support/pulling.ts';
import { scratchDir } from './scratch-dir.ts';

/** Too large to be hashed on the spot, so that every thread has its part. */
const SIZE = 300_000;
/** Holds two such blobs and something small. */
const LIMIT_BYTES = 2 * 304_000 + 40_000;
const SMALL = Buffer.alloc(5000, 'small');

/** What waits for the disk to be well again need not take the time that it takes. */
const HASTE = 100;
const hasty: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * HASTE,
  sleep: (ms, signal) => systemClock.sleep(ms / HASTE, signal),
};

const LIVES_AT_ONCE = 4;
const PATIENCE_MS = 20_000;

interface Blobs {
  readonly a: Digest;
  readonly b: Digest;
  readonly c: Digest;
  readonly later: Digest;
}

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  const add = (seed: number) => registry.addBlob('library/app', { size: SIZE, seed });
  const blobs: Blobs = { a: add(1), b: add(2), c: add(3), later: add(4) };
  return { registry, blobs, hashes: closeAfterTest(new HashWorkers(1)), slabs: new SlabPool(64) };
}

type Started = Awaited<ReturnType<typeof start>>;

/** @throws when it is not answered with the right bytes */
async function pull(pulling: Pulling, digest: Digest): Promise<string> {
  const pulled = await pulling.pull(digest);
  expect(pulled.digest).toBe(digest);
  await expect.poll(() => pulling.pullThrough.fillsInFlight, { interval: 1, timeout: PATIENCE_MS }).toBe(0);
  return pulled.outcome;
}

/** Cold, warm, evicted, put, damaged and fetched again, removed. */
async function use(pulling: Pulling, { a, b, c }: Blobs): Promise<void> {
  await pull(pulling, a);
  await pull(pulling, a);
  await pull(pulling, b);
  await pulling.cache.put(digestOf(SMALL), SMALL);
  await pull(pulling, c);
  await truncate(pulling.fileOf(b), 1000).catch(() => undefined);
  await pull(pulling, b);
  await pulling.cache.readWhole(digestOf(SMALL));
  await pulling.cache.remove(c).catch(() => undefined);
  await pull(pulling, a);
}

/** Nothing but the index may be open below the data directory. */
function openFiles(dataDir: string): readonly string[] {
  const paths = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return paths.filter((path) => path.startsWith(dataDir) && !path.includes('metadata.db'));
}

/** All is well again: nothing was left behind, and what is pulled is kept. */
async function checkRecovered(pulling: Pulling, dataDir: string, { a, b, c, later }: Blobs): Promise<void> {
  await expect.poll(() => openFiles(dataDir), { interval: 2, timeout: PATIENCE_MS }).toEqual([]);
  await expect
    .poll(
      async () => {
        await pull(pulling, later);
        return pull(pulling, later);
      },
      { interval: 2, timeout: PATIENCE_MS },
    )
    .toBe('hit');
  const phase = () => pulling.cache.upkeep.progress.reconcile.phase;
  await expect.poll(phase, { interval: 2, timeout: PATIENCE_MS }).toBe('done');
  // What could not be removed before is tried again with whatever is stored.
  await expect
    .poll(
      async () => {
        (await pulling.cache.reserve(1, undefined))?.release();
        return pulling.cache.usage.otherBytes - pulling.content.quarantinedBytes;
      },
      { interval: 2, timeout: PATIENCE_MS },
    )
    .toBe(0);
  expect(pulling.cache.usage.reservedBytes).toBe(0);
  for (const digest of [a, b, c]) await pull(pulling, digest);
  await expect.poll(() => pulling.ingesting(), { interval: 2, timeout: PATIENCE_MS }).toEqual([]);
  for await (const { files, strays } of pulling.content.list(new AbortController().signal)) {
    expect(strays).toEqual([]);
    for (const { digest, sizeBytes } of files)
      await pulling.content.verify(digest, sizeBytes, new AbortController().signal);
  }
}

/**
 * All of it from an empty directory on, with a restart. `rule` says which calls of the file system fail.
 * @returns how many calls it were
 */
async function live(
  { registry, blobs, hashes, slabs }: Started,
  rule: (nth: number) => string | undefined,
): Promise<number> {
  const dataDir = await scratchDir();
  const fileSystem = failingFileSystem();
  const parts: PullingParts = {
    registry,
    dataDir,
    fileSystem,
    hashes,
    slabs,
    limitBytes: LIMIT_BYTES,
    clock: hasty,
  };
  fileSystem.rule = (_name, nth) => rule(nth);
  const open = async () => {
    try {
      return await openPulling(parts);
    } catch (cause) {
      // Whoever starts it is told, and starts it again.
      expect(cause).toBeInstanceOf(ContentError);
      const failing = fileSystem.rule;
      fileSystem.rule = () => undefined;
      const pulling = await openPulling(parts);
      fileSystem.rule = failing;
      return pulling;
    }
  };
  try {
    for (let life = 1; life <= 2; life += 1) {
      const pulling = await open();
      try {
        await pulling.cache.begin();
        await use(pulling, blobs);
      } finally {
        if (life === 1) await pulling.close().catch(() => undefined);
      }
      if (life === 1) continue;
      const { length } = fileSystem.calls;
      fileSystem.rule = () => undefined;
      await checkRecovered(pulling, dataDir, blobs);
      await pulling.close();
      return length;
    }
    throw new Error('unreachable');
  } finally {
    await rm(dataDir, { recursive: true });
  }
}

const CODES = ['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE'];
/** CAMPAIGN_CODES=each: every call fails with every code, instead of one after the other with the next of them. */
const isEach = process.env['CAMPAIGN_CODES'] === 'each';

it.each([
  ['any one call', (nth: number, from: number) => nth === from],
  ['every call from any one on, for a while', (nth: number, from: number) => nth >= from && nth < from + 40],
] as const)(
  'a file system that fails at %s fails no pull, keeps nothing back, and is stored to again afterwards',
  { timeout: isEach ? 1_800_000 : 300_000 },
  async (how, fails) => {
    const started = await start();
    const total = await live(started, () => undefined);
    expect(total).toBeGreaterThan(100);
    const lives = Array.from({ length: total }, (_, at) => at + 1).flatMap((from) =>
      CODES.filter((_code, at) => isEach || at === from % CODES.length).map((code) => ({ from, code })),
    );
    let lived = 0;
    // Most of a life is waiting.
    await pLimit(LIVES_AT_ONCE).map(lives, async ({ from, code }) => {
      try {
        await live(started, (nth) => (fails(nth, from) ? code : undefined));
      } catch (cause) {
        throw new Error(`${code} from call ${from} of ${total}`, { cause });
      }
      lived += 1;
    });
    process.stderr.write(`${how}: ${total} calls, ${lived} lives\n`);
    expect(lived).toBe(total * (isEach ? CODES.length : 1));
  },
);
