import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.ts';
import { SOON } from './test/support/soon.ts';

/** Where a report for machines goes, beside the one for people; `.ci/run` asks for it. */
const report = process.env['TEST_REPORT'];

const CAMPAIGNS = 'test/campaigns/**/*.test.ts';
/** Tests of any number of cases: campaigns give them more, by CAMPAIGN_SCALE. */
const SCALED =
  'test/{cache/{blob-cache-model,scrub,upkeep-model},e2e/workers,upstream/registries/registries}.test.ts';

// `vitest run --mode campaigns` runs the campaigns instead of the tests: as long as CI has time for (`npm run
// test:campaigns`), or as long as they deserve, hours (`npm run test:long`).
export default defineConfig(({ mode }) => ({
  test: {
    include: mode === 'campaigns' ? [CAMPAIGNS, SCALED] : ['test/**/*.test.ts'],
    exclude: mode === 'campaigns' ? [] : [CAMPAIGNS],
    // They end what hangs, and prove nothing: alone on a quiet machine no test takes a fifth of that, and others are
    // slower and busier. What starts real programs waits for them as long as test/support/child-program.ts says.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: SOON },
    pool: 'forks',
    // Most of a test's time is waiting for sockets, timers and programs: four workers on two cores wait side by side.
    // A number: of shares vitest takes no more than there are cores.
    maxWorkers: 2 * availableParallelism(),
    // Nothing here replaces modules or leaves globals changed; files that share them spare a fifth of all work.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
  },
}));
