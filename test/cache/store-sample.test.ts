import { expect, it } from 'vitest';
import { StoreSampler, type StoreSamplerParts } from '../../src/cache/store-sample.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { tempDir } from '../support/temp-dir.ts';

const SPACE = { totalBytes: 100, freeBytes: 40 };

function start(parts: Partial<StoreSamplerParts> = {}) {
  const clock = new FakeClock();
  const calls = { pins: 0, space: 0 };
  const sampler = closeAfterTest(
    new StoreSampler({
      clock,
      blobs: { oldestUse: async () => Promise.resolve({ usedAt: 5, next: undefined }) },
      content: {
        space: async () => {
          calls.space += 1;
          return Promise.resolve(SPACE);
        },
      },
      pins: {
        refresh: async () => {
          calls.pins += 1;
          return Promise.resolve();
        },
        totals: { bytes: 7, blobs: 1 },
      },
      indexFiles: async () => Promise.resolve({ bytes: 3, walBytes: 1 }),
      ...parts,
    }),
  );
  return { clock, calls, sampler };
}

it('knows nothing at first, and is asked again after 15 s at the earliest; pins after a minute', async () => {
  const { clock, calls, sampler } = start();
  expect(sampler.last).toEqual({});
  const all = { indexBytes: 3, walBytes: 1, diskFreeBytes: 40, pinnedBytes: 7, oldestUseAt: 5 };
  await expect.poll(() => sampler.last).toEqual(all);
  await clock.advance(14_999);
  expect(sampler.last).toEqual(all);
  await clock.advance(0);
  expect(calls).toEqual({ pins: 1, space: 1 });
  await clock.advance(1);
  expect(sampler.last).toEqual(all);
  await expect.poll(() => calls).toEqual({ pins: 1, space: 2 });
  await clock.advance(45_000);
  expect(sampler.last).toEqual(all);
  await expect.poll(() => calls).toEqual({ pins: 2, space: 3 });
});

it('does nothing while nobody looks', async () => {
  const { clock, calls } = start();
  await clock.advance(3_600_000);
  expect(calls).toEqual({ pins: 0, space: 0 });
});

it('never waits: a disk that does not answer leaves the last figures in place, and holds nobody up', async () => {
  const asked: string[] = [];
  const hang = new Promise<never>(() => undefined);
  const { clock, sampler } = start({
    content: { space: () => (asked.push('space'), asked.length > 1 ? hang : Promise.resolve(SPACE)) },
    pins: { refresh: () => Promise.reject(new Error('the index fails')), totals: { bytes: 0, blobs: 0 } },
  });
  void sampler.last;
  await expect
    .poll(() => sampler.last)
    .toEqual({ indexBytes: 3, walBytes: 1, diskFreeBytes: 40, oldestUseAt: 5 });
  for (let round = 0; round < 5; round += 1) {
    await clock.advance(15_000);
    expect(sampler.last.diskFreeBytes).toBe(40);
  }
  expect(asked).toEqual(['space', 'space']);
  // The test's end does not wait for it.
  sampler.close = async () => Promise.resolve();
});

it('finds the oldest use of a store that is larger than one sample looks through', async () => {
  const looked: number[] = [];
  const { clock, sampler } = start({
    blobs: {
      oldestUse: async (after, limit) => {
        looked.push(after);
        const next = after + limit;
        return Promise.resolve({ usedAt: 1_000_000 - after, next: next < 70_000 ? next : undefined });
      },
    },
  });
  void sampler.last;
  await expect.poll(() => looked.length).toBe(50);
  await expect.poll(() => sampler.last.pinnedBytes).toBe(7);
  expect(sampler.last.oldestUseAt).toBeUndefined();
  await clock.advance(15_000);
  await expect.poll(() => sampler.last.oldestUseAt).toBe(1_000_000 - 69_000);
  expect(looked).toHaveLength(70);
});

it('the index tells the oldest use of its rows, page by page', async () => {
  const metadata = closeAfterTest(new SqliteMetadataStore(openDatabase(await tempDir()), leastRecentUse));
  const { blobs } = metadata;
  expect(await blobs.oldestUse(0, 10)).toEqual({ usedAt: undefined, next: undefined });
  for (const [index, usedAt] of [50, 30, 40, 20, 60].entries())
    await blobs.put({ digest: digestOf(Buffer.from(String(index))), sizeBytes: 1 }, usedAt);
  const first = await blobs.oldestUse(0, 3);
  expect(first).toEqual({ usedAt: 30, next: expect.any(Number) });
  expect(await blobs.oldestUse(first.next ?? 0, 3)).toEqual({ usedAt: 20, next: undefined });
  expect(await blobs.oldestUse(0, 5)).toEqual({ usedAt: 20, next: expect.any(Number) });
});
