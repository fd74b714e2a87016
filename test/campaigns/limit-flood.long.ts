import { expect, test } from 'vitest';
import { flood, OTHER_MARGIN_BYTES } from './limit-flood.ts';

/** `npm run test:long`; CAMPAIGN_ROUNDS says how often all blobs are pulled (20), in another order each time. */
const ROUNDS = Number(process.env['CAMPAIGN_ROUNDS'] ?? '20');

test('a long flood never takes more of the disk than the limit', { timeout: 3_600_000 }, async () => {
  for (const limitBytes of [4, 40, 150].map((mebibytes) => mebibytes * 1024 * 1024)) {
    const result = await flood({ clients: 200, blobs: 400, limitBytes, rounds: ROUNDS });
    process.stdout.write(`${JSON.stringify({ limitBytes, ...result })}\n`);
    expect(result.mostBytes).toBeLessThanOrEqual(limitBytes);
    expect(result.mostOtherBytes).toBeLessThanOrEqual(OTHER_MARGIN_BYTES);
  }
});
