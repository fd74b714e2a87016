import { join } from 'node:path';
import { expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { tempDir } from '../support/temp-dir.ts';
import { emptyTally, liveAndDie, settle, stock } from './kill.ts';
import { randomNumbers } from '../support/random-numbers.ts';

/** CAMPAIGN_KILLS says how often it is killed (`npm run test:campaigns -- kill`: 200), CAMPAIGN_SEED repeats a run's choices. */
const KILLS = Number(process.env['CAMPAIGN_KILLS'] ?? '8');
const SEED = Number(process.env['CAMPAIGN_SEED'] ?? '1');
/** Processes at the same time, each on a directory of its own. */
const LANES = 2;

it(
  'killed at any moment under mixed load it starts again, and never keeps or serves wrong bytes',
  { timeout: 120_000 + KILLS * 5000 },
  async () => {
    const random = randomNumbers(SEED);
    const registry = closeAfterTest(await FakeRegistry.start());
    const wares = stock(registry, random);
    const tally = emptyTally();
    let begun = 0;
    const lane = async (): Promise<void> => {
      const dataDir = join(await tempDir(), 'data');
      for (; begun < KILLS;) {
        begun += 1;
        await liveAndDie(registry.url, dataDir, wares, tally, random);
      }
      await settle(registry.url, dataDir, wares);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    process.stderr.write(`kills: ${JSON.stringify(tally)}\n`);
    // Otherwise it would have shown nothing.
    expect(tally.kills).toBe(KILLS);
    expect(tally.wholeAnswers).toBeGreaterThan(KILLS);
    expect(tally.ranges + tally.manifests).toBeGreaterThan(KILLS);
    expect(tally.operations).toBeGreaterThan(KILLS / 20);
    expect(tally.brokenOff).toBeGreaterThan(0);
    expect(tally.filesVerified).toBeGreaterThan(KILLS);
  },
);
