import { join } from 'node:path';
import { expect, it } from 'vitest';
import { useClock } from '../../src/cache/use-clock.ts';
import { openDatabase } from '../../src/metadata/database.ts';
import { SqliteMetadataStore } from '../../src/metadata/sqlite-metadata-store.ts';
import type { Clock } from '../../src/clock.ts';
import { digestNumber } from '../metadata/metadata-store-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { leastRecentUse } from '../support/least-recent-use.ts';
import { tempDir } from '../support/temp-dir.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;
const NOON = Date.UTC(2030, 0, 1, 12);

/** A wall clock and a monotonic one that move by themselves. */
function clocks(wall: number) {
  const state = { wall, monotonic: 1000 };
  const clock: Clock = {
    now: () => state.wall,
    monotonic: () => state.monotonic,
    sleep: () => Promise.resolve(),
  };
  return { state, clock };
}

it.each([YEAR_MS, -YEAR_MS, -NOON])('a wall clock that jumps by %i ms changes no use time', (jump) => {
  const { state, clock } = clocks(NOON);
  const uses = useClock(clock, undefined);
  expect(uses.now()).toBe(NOON);
  state.wall += jump;
  state.monotonic += 5;
  expect(uses.now()).toBe(NOON + 5);
});

it.each([
  ['an hour of rest counts as one', HOUR_MS, HOUR_MS],
  ['a clock that was set back counts as no time', -YEAR_MS, 0],
  ['a clock that was set a year ahead counts as a day', YEAR_MS, 24 * HOUR_MS],
])('after a restart %s', (_what, passed, counted) => {
  const { clock } = clocks(NOON + passed);
  expect(useClock(clock, NOON).now()).toBe(NOON + counted);
});

it('the latest use is known after a restart, also of what is stored no longer', async () => {
  const dataDir = join(await tempDir());
  const open = () => closeAfterTest(new SqliteMetadataStore(openDatabase(dataDir), leastRecentUse));
  const first = open();
  expect(await first.blobs.latestUse()).toBeUndefined();
  await first.blobs.put({ digest: digestNumber(1), sizeBytes: 1 }, 100);
  await first.blobs.touch(new Map([[digestNumber(1), 300.4]]));
  await first.blobs.put({ digest: digestNumber(2), sizeBytes: 1 }, 200);
  await first.blobs.delete(digestNumber(1));
  expect(await first.blobs.latestUse()).toBe(300);
  await first.close();
  expect(await open().blobs.latestUse()).toBe(300);
});
