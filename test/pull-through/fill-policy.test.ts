import { expect, it } from 'vitest';
import {
  PROBE_LIMIT_BYTES,
  shouldFinish,
  waitAfterBreak,
  wantsWhole,
} from '../../src/pull-through/fill-policy.ts';

it.each([
  [undefined, 1000, 100, false],
  [undefined, 0, Infinity, false],
  [0, 0, 0, true],
  [1000, 0, 999, false],
  [1000, 0, 1000, true],
  [1000, 499, 0, false],
  [1000, 500, 0, true],
  [1001, 500, 500, false],
  [1001, 500, 501, true],
  [1000, 1000, 0, true],
])(
  'a fill of %s bytes that nobody reads, with %i here and a limit of %i, is finished: %s',
  (sizeBytes, presentBytes, finishFillBytes, expected) => {
    expect(shouldFinish({ sizeBytes, presentBytes, finishFillBytes })).toBe(expected);
  },
);

it.each([
  [PROBE_LIMIT_BYTES, 1_000_000, false],
  [PROBE_LIMIT_BYTES + 1, 1_000_000, true],
  [1, PROBE_LIMIT_BYTES, true],
  [1, PROBE_LIMIT_BYTES + 1, false],
  [0, 0, true],
])('a request for %i of %i bytes brings in the whole blob: %s', (wanted, size, expected) => {
  expect(wantsWhole(wanted, size)).toBe(expected);
});

it.each([
  [0, 100],
  [1, 100],
  [2, 400],
  [3, 1600],
  [4, 5000],
  [100, 5000],
])('after break %i in a row it waits %i ms', (breaks, waitMs) => {
  expect(waitAfterBreak(breaks)).toBe(waitMs);
});
