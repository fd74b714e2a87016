import { expect, test } from 'vitest';
import { workerCount } from '../../src/fronts/worker-count.ts';

test.each([
  [undefined, 8, 1],
  [1, 8, 1],
  [3, 2, 3],
  ['auto', 1, 1],
  ['auto', 2, 1],
  ['auto', 4, 3],
  ['auto', 128, 16],
] as const)('workers: %s on %d cores are %d', (configured, cores, count) => {
  expect(workerCount(configured, cores)).toBe(count);
});
