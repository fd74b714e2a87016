import { defineConfig } from 'vitest/config';

/** Where a report for machines goes, beside the one for people; `.ci/run` asks for it. */
const report = process.env['TEST_REPORT'];

// `npm run test:long` runs the campaigns for as long as they deserve: hours.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // Most of a test's time is waiting for sockets, timers and programs: three workers on two cores wait side by side.
    maxWorkers: '150%',
    reporters: report === undefined ? ['default'] : ['default', ['json', { outputFile: report }]],
  },
});
