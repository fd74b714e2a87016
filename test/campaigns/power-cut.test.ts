import { rm } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { HashWorkers } from '../../src/content/hash-workers.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { checkState, type Findings, record } from './power-cut.ts';
import { scratchDir } from './scratch-dir.ts';

/** CAMPAIGN_STATES says how many (500; 5,000 in `.ci/run`), CAMPAIGN_SEED repeats a run. */
const STATES = Number(process.env['CAMPAIGN_STATES'] ?? '500');
const SEED = Number(process.env['CAMPAIGN_SEED'] ?? '1');
const STATES_OF_ONE_RECORDING = 250;

it(
  'a power cut at any moment costs no more than what was just stored: it starts, and serves right bytes or misses',
  { timeout: 60_000 + STATES * 200 },
  async () => {
    const hashes = closeAfterTest(new HashWorkers(1));
    const findings: Findings = { states: 0, hits: 0, misses: 0, filesWithoutRow: 0, rowsWithoutFile: 0 };
    for (let recording = 0; findings.states < STATES; recording += 1) {
      const random = randomNumbers(SEED * 1_000_003 + recording);
      const dataDir = await scratchDir();
      try {
        const recorded = await record(dataDir, hashes, random);
        let left = Math.min(STATES_OF_ONE_RECORDING, STATES - findings.states);
        // While one waits for the disk the other can be looked at.
        const check = async () => {
          for (left -= 1; left >= 0; left -= 1)
            await checkState(recorded, hashes, randomNumbers(random() * 2 ** 32), findings);
        };
        await Promise.all([check(), check(), check()]);
      } finally {
        await rm(dataDir, { recursive: true });
      }
    }
    process.stderr.write(`power cuts: ${JSON.stringify(findings)}\n`);
    // Otherwise it would have shown nothing.
    expect(findings.hits).toBeGreaterThan(STATES / 2);
    expect(findings.misses).toBeGreaterThan(STATES / 2);
    expect(findings.filesWithoutRow).toBeGreaterThan(STATES / 50);
    expect(findings.rowsWithoutFile).toBeGreaterThan(STATES / 50);
  },
);
