import { expect, test } from 'vitest';
import { parseGrant, printGrant } from '../../src/fronts/grant.ts';

test('is read as it was written, whatever the path', () => {
  const grant = {
    loan: 7,
    stretch: { start: 5, end: 1024 },
    file: { path: '/data dir/ü/100%/x', sizeBytes: 4096, modifiedAt: 1764000000123.457 },
  };
  expect(parseGrant(printGrant(grant))).toEqual(grant);
});

test.each([
  '',
  '1',
  '1 0 10 10 0',
  '1 5 5 10 0 %2Fx',
  '1 0 11 10 0 %2Fx',
  '1 -1 5 10 0 %2Fx',
  'a 0 5 10 x %2Fx',
  'a 0 5 10 0 %2Fx',
  '1 0 5 10 0 %2',
])('is none: %j', (text) => {
  expect(parseGrant(text)).toBeUndefined();
});
