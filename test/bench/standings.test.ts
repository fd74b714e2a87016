import { expect, test } from 'vitest';
import { ratiosOf, standings, valuesOf } from './standings.ts';

const OUTCOME = {
  samples: new Map([
    ['entrepot', [{ seconds: 1 }, { seconds: 4 }]],
    ['nginx', [{ seconds: 2 }, { seconds: 2 }]],
    ['zot', [{ seconds: 4 }, { seconds: 16, requests: 1 }]],
  ]),
};
const METRIC = { key: 'seconds', name: 'pull', unit: 's' };

test('each contestant has a figure of each metric', () => {
  expect(
    standings(OUTCOME, [
      { ...METRIC, row: 'cold' },
      { ...METRIC, key: 'requests' },
    ]),
  ).toEqual([
    { ...METRIC, key: undefined, of: 'entrepot', values: [1, 4], row: 'cold' },
    { ...METRIC, key: undefined, of: 'nginx', values: [2, 2], row: 'cold' },
    { ...METRIC, key: undefined, of: 'zot', values: [4, 16], row: 'cold' },
    { ...METRIC, key: undefined, of: 'entrepot', values: [Number.NaN, Number.NaN] },
    { ...METRIC, key: undefined, of: 'nginx', values: [Number.NaN, Number.NaN] },
    { ...METRIC, key: undefined, of: 'zot', values: [Number.NaN, 1] },
  ]);
});

test('ratios are of the same round, with the target for that peer', () => {
  const target = { is: 'at most', value: 1 } as const;
  expect(ratiosOf(OUTCOME, METRIC, { zot: target })).toEqual([
    { name: 'entrepot ÷ nginx, pull', unit: '×', values: [0.5, 2] },
    { name: 'entrepot ÷ zot, pull', unit: '×', values: [0.25, 0.25], target },
  ]);
});

test('who was not measured has no values', () => {
  expect(valuesOf(OUTCOME, 'docker-registry', 'seconds')).toEqual([]);
});
