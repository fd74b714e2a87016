import { expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { storeLimits } from '../support/store-limits.ts';
import { startStore } from './store-under-test.ts';

const DAY_MS = 24 * 3_600_000;

async function start(clock = new FakeClock()) {
  const store = await startStore({ clock, limits: { maxAgeMs: 10 * DAY_MS } });
  await store.cache.begin();
  const put = async (name: string): Promise<Digest> => {
    const bytes = Buffer.from(name);
    await store.cache.put(digestOf(bytes), bytes);
    return digestOf(bytes);
  };
  const isStored = async (digest: Digest) => (await store.cache.row(digest)) !== undefined;
  /** In steps: who sleeps is woken each time. */
  const pass = async (days: number) => {
    for (let hour = 0; hour < days * 24; hour += 1) await clock.advance(3_600_000);
  };
  return { ...store, put, isStored, pass };
}

it('what nobody used for so long goes, though there is room; what is used or pinned stays', async () => {
  const { cache, metadata, put, isStored, pass, told } = await start();
  const [unused, used, pinned] = [await put('unused'), await put('used'), await put('pinned')];
  await metadata.images.setPinned([pinned]);
  await pass(6);
  cache.touch(used);
  await pass(3);
  expect(await isStored(unused)).toBe(true);
  await pass(2);
  await expect.poll(() => isStored(unused)).toBe(false);
  expect([await isStored(used), await isStored(pinned)]).toEqual([true, true]);
  await expect.poll(() => told).toEqual(['evicted 1']);
});

it('a wall clock that jumps makes nothing old', async () => {
  const clock = new FakeClock();
  const { put, isStored, pass } = await start(clock);
  const digest = await put('a');
  const year = 365 * DAY_MS;
  for (const wall of [clock.now() + year, clock.now() - year, 0]) {
    clock.setWall(wall);
    await pass(1);
    expect(await isStored(digest)).toBe(true);
  }
});

it('another age holds from the next round on; none ends it', async () => {
  const { cache, put, isStored, pass } = await start();
  const limits = storeLimits(1_000_000);
  const old = await put('old');
  await cache.configure({ limits });
  await pass(30);
  expect(await isStored(old)).toBe(true);
  await cache.configure({ limits: { ...limits, maxAgeMs: 40 * DAY_MS } });
  await pass(5);
  expect(await isStored(old)).toBe(true);
  await cache.configure({ limits: { ...limits, maxAgeMs: DAY_MS } });
  await pass(1);
  await expect.poll(() => isStored(old)).toBe(false);
});
