import { open, rm } from 'node:fs/promises';
import { describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { CAMPAIGN_SCALE } from '../support/campaign-scale.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { SOON } from '../support/soon.ts';
import { storeLimits } from '../support/store-limits.ts';
import { startStore, type StoreOptions } from './store-under-test.ts';

/** A period of 30 of these: so long that no second round begins while a first is waited for. */
const STEP_MS = 20 * 60_000;
const BAD = 100 * CAMPAIGN_SCALE;
const scrub = { everyMs: 30 * STEP_MS, bytesPerSecond: 1024 * 1024 };

async function startFilled(count: number, options: StoreOptions = {}) {
  const store = await startStore({ scrub, ...options });
  const blobs = Array.from({ length: count }, (_, at) => Buffer.alloc(500 + (at % 100), `blob ${at} `));
  for (const bytes of blobs) await store.cache.put(digestOf(bytes), bytes);
  const progress = () => store.cache.upkeep.progress.scrub;
  /** Moves time on until a round is over. */
  const roundOver = async () => {
    const before = progress().endedAt;
    await vi.waitFor(
      async () => {
        await store.clock.advance(100);
        expect(progress().isRunning).toBe(false);
        expect(progress().endedAt).not.toBe(before);
      },
      { timeout: 30_000 * CAMPAIGN_SCALE, interval: 1 },
    );
  };
  return { ...store, blobs, progress, roundOver };
}

async function flip(file: string, position: number): Promise<void> {
  const handle = await open(file, 'r+');
  const { atime, mtime } = await handle.stat();
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, position);
  await handle.write(Buffer.from([(byte[0] ?? 0) ^ 0x40]), 0, 1, position);
  await handle.utimes(atime, mtime);
  await handle.close();
}

describe('the scrub', () => {
  it(
    `finds one flipped bit in each of ${BAD} files, takes all of them out, and nothing else`,
    async () => {
      const { blobs, fileOf, cache, clock, progress, roundOver, told } = await startFilled(BAD + 100);
      const bad = blobs.slice(0, BAD);
      for (const [at, bytes] of bad.entries()) await flip(fileOf(digestOf(bytes)), (at * 7) % bytes.length);
      await cache.begin();
      await clock.advance(30 * STEP_MS);
      await roundOver();
      expect(progress()).toMatchObject({ files: BAD + 100, damaged: BAD });
      expect(told).toEqual(Array.from({ length: BAD }, () => 'integrity scrub'));
      for (const bytes of bad) {
        expect(await cache.row(digestOf(bytes))).toBeUndefined();
        expect(await cache.open(digestOf(bytes))).toBeUndefined();
      }
      for (const bytes of blobs.slice(BAD))
        expect((await cache.readWhole(digestOf(bytes)))?.equals(bytes)).toBe(true);
    },
    60_000 * CAMPAIGN_SCALE,
  );

  it('begins a whole period after the first start, and then every period, restarts or not', async () => {
    const clock = new FakeClock();
    const first = await startFilled(20, { clock });
    await first.cache.begin();
    await clock.advance(29 * STEP_MS);
    expect(first.progress()).toMatchObject({ isRunning: false, endedAt: undefined });
    await first.cache.close();
    await first.metadata.close();
    const second = await startStore({ dataDir: first.dataDir, scrub, clock });
    await second.cache.begin();
    await expect.poll(() => second.cache.upkeep.progress.scrub.nextAt).toBeDefined();
    expect(second.cache.upkeep.progress.scrub.nextAt).toBe(first.progress().nextAt);
    await vi.waitFor(
      async () => {
        await clock.advance(30_000);
        expect(second.cache.upkeep.progress.scrub).toMatchObject({ files: 20, damaged: 0, isRunning: false });
      },
      { ...SOON, interval: 1 },
    );
  });

  it('goes on after a restart where it was', async () => {
    const clock = new FakeClock();
    const slow = { ...scrub, bytesPerSecond: 64 * 1024 };
    const first = await startFilled(300, { clock, scrub: slow });
    await first.cache.begin();
    await clock.advance(30 * STEP_MS);
    await vi.waitFor(async () => {
      await clock.advance(100);
      expect(first.progress().files).toBeGreaterThan(50);
    }, SOON);
    await first.cache.close();
    const seen = first.progress().files;
    expect(seen).toBeLessThan(300);
    await first.metadata.close();
    const second = await startStore({ dataDir: first.dataDir, scrub: slow, clock });
    await second.cache.begin();
    await vi.waitFor(
      async () => {
        await clock.advance(100);
        expect(second.cache.upkeep.progress.scrub.endedAt).toBeDefined();
      },
      { ...SOON, interval: 1 },
    );
    const again = second.cache.upkeep.progress.scrub.files;
    expect(seen + again).toBeGreaterThanOrEqual(300);
    expect(seen + again).toBeLessThan(300 + 32);
  });

  it('goes on where it is by another rate, stops where there is to be none, and begins anew', async () => {
    const clock = new FakeClock();
    const { cache, progress, roundOver } = await startFilled(100, {
      clock,
      scrub: { ...scrub, bytesPerSecond: 1000 },
    });
    await cache.begin();
    const limits = storeLimits(1_000_000_000);
    await clock.advance(30 * STEP_MS);
    await vi.waitFor(async () => {
      await clock.advance(1000);
      expect(progress().files).toBeGreaterThan(5);
    }, SOON);
    await cache.configure({ limits, scrub: { everyMs: undefined, bytesPerSecond: 1000 } });
    await vi.waitFor(() => expect(progress().isRunning).toBe(false), SOON);
    const seen = progress().files;
    await clock.advance(60 * STEP_MS);
    expect(progress().files).toBe(seen);
    await cache.configure({ limits, scrub: { ...scrub, bytesPerSecond: 1024 * 1024 } });
    await roundOver();
    // From the last place that was written down, not from the beginning.
    expect(progress().files).toBeLessThan(100 - seen + 17);
    expect(progress().damaged).toBe(0);
  });

  it('keeps to its rate', async () => {
    const clock = new FakeClock();
    const { cache, progress } = await startFilled(100, { clock, scrub: { ...scrub, bytesPerSecond: 1000 } });
    await cache.begin();
    await clock.advance(30 * STEP_MS);
    await vi.waitFor(async () => {
      await clock.advance(50);
      expect(progress().isRunning).toBe(true);
    }, SOON);
    const before = clock.monotonic();
    const bytesBefore = progress().bytes;
    for (let n = 0; n < 40; n += 1) await clock.advance(250);
    const seconds = (clock.monotonic() - before) / 1000;
    expect(progress().bytes - bytesBefore).toBeLessThanOrEqual(seconds * 1000 + 1200);
  });

  it('is off without a schedule', async () => {
    const { cache, clock, progress } = await startFilled(3, { scrub: { ...scrub, everyMs: undefined } });
    await cache.begin();
    await clock.advance(100 * STEP_MS);
    expect(progress()).toMatchObject({ isRunning: false, begunAt: undefined, nextAt: undefined });
    expect(clock.sleeping).toBeLessThanOrEqual(1);
  });

  it('goes on later when the index cannot be asked', async () => {
    const { cache, clock, metadata, progress, roundOver, blobs, fileOf } = await startFilled(5);
    await cache.begin();
    await expect.poll(() => cache.upkeep.progress.reconcile.phase).toBe('done');
    await rm(fileOf(digestOf(blobs[0] ?? Buffer.alloc(0))));
    vi.spyOn(metadata.blobs, 'page').mockRejectedValueOnce(new Error('busy'));
    await clock.advance(30 * STEP_MS);
    await roundOver();
    expect(progress()).toMatchObject({ files: 5, damaged: 1 });
  });
});
