import { expect, test } from 'vitest';
import { flood, OTHER_MARGIN_BYTES } from './limit-flood.ts';

test('200 misses at once never take more of the disk than the limit', { timeout: 120_000 }, async () => {
  const limitBytes = 20 * 1024 * 1024;
  const result = await flood({ clients: 200, blobs: 200, limitBytes, rounds: 1 });
  expect(result.polls).toBeGreaterThan(10);
  expect(result.mostBytes).toBeLessThanOrEqual(limitBytes);
  expect(result.mostOtherBytes).toBeLessThanOrEqual(OTHER_MARGIN_BYTES);
  // Otherwise the limit was never met.
  expect(result.mostBytes).toBeGreaterThan(limitBytes / 2);
});
