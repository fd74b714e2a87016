import { expect, test } from 'vitest';
import { flood, OTHER_MARGIN_BYTES } from './limit-flood.ts';

/** CAMPAIGN_ROUNDS says how often all blobs are pulled, in another order each time; from two on on several limits. */
const ROUNDS = Number(process.env['CAMPAIGN_ROUNDS'] ?? '1');
const MIB = 1024 * 1024;
const LIMITS = ROUNDS === 1 ? [20] : [4, 20, 150];

test.each(LIMITS)(
  '200 misses at once never take more of the disk than the limit of %i MiB',
  { timeout: 120_000 + ROUNDS * 60_000 },
  async (mebibytes) => {
    const limitBytes = mebibytes * MIB;
    const result = await flood({ clients: 200, blobs: 200, limitBytes, rounds: ROUNDS });
    if (ROUNDS > 1) process.stdout.write(`${JSON.stringify({ limitBytes, ...result })}\n`);
    expect(result.polls).toBeGreaterThan(10);
    expect(result.mostBytes).toBeLessThanOrEqual(limitBytes);
    expect(result.mostOtherBytes).toBeLessThanOrEqual(OTHER_MARGIN_BYTES);
    // Otherwise the limit was never met.
    expect(result.mostBytes).toBeGreaterThan(limitBytes / 2);
  },
);
