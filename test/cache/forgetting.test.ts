import { expect, it } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { APP } from '../metadata/metadata-store-contract.ts';
import { startStore } from './store-under-test.ts';

const HOUR_MS = 3_600_000;
const bytes = Buffer.from('a layer');
const digest = digestOf(bytes);

it('what was evicted is forgotten within two hours, and what is stored never', async () => {
  const clock = new FakeClock();
  const { cache, metadata } = await startStore({ clock });
  await cache.begin();
  await metadata.recordHoldings(APP, [{ digest, sizeBytes: bytes.length }]);
  await cache.put(digest, bytes);
  for (let hour = 0; hour < 5; hour += 1) await clock.advance(HOUR_MS);
  expect(await metadata.holding(APP, digest)).toBeDefined();
  await cache.evict(digest);
  await clock.advance(HOUR_MS);
  await clock.advance(HOUR_MS);
  await expect.poll(() => metadata.holding(APP, digest)).toBeUndefined();
});

it('while files wait for their rows, after a crash, nothing is forgotten', async () => {
  const clock = new FakeClock();
  const { cache, metadata } = await startStore({ clock });
  await metadata.recordHoldings(APP, [{ digest, sizeBytes: bytes.length }]);
  await cache.begin();
  Object.defineProperty(metadata, 'needsReconcile', { value: true });
  for (let hour = 0; hour < 5; hour += 1) await clock.advance(HOUR_MS);
  expect(await metadata.holding(APP, digest)).toBeDefined();
});
