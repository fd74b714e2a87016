import { expect, test } from 'vitest';
import { figureLines, percentile, summarise } from './figure.ts';

const VALUES = { name: 'pull', unit: 's', values: [3, 1, 2] };

test('the median is compared with the target, and every value where it must be exact', () => {
  expect(summarise({ ...VALUES, target: { is: 'at most', value: 2 } })).toEqual({
    median: 2,
    min: 1,
    max: 3,
    met: true,
  });
  expect(summarise({ ...VALUES, target: { is: 'at least', value: 2.1 } }).met).toBe(false);
  expect(summarise({ ...VALUES, target: { is: 'exactly', value: 2 } }).met).toBe(false);
  expect(summarise({ ...VALUES, values: [1, 4], target: { is: 'exactly', value: 1 } }).median).toBe(2.5);
  expect(summarise(VALUES)).toEqual({ median: 2, min: 1, max: 3 });
});

test('a figure that was not measured meets no target', () => {
  expect(summarise({ ...VALUES, values: [], target: { is: 'at most', value: 2 } }).met).toBe(false);
});

test('contestants are lines of one table, all other figures lines of another', () => {
  expect(
    figureLines([
      { ...VALUES, of: 'entrepot' },
      { ...VALUES, of: 'nginx', values: [0.5] },
      { name: 'peak', unit: '', of: 'nginx', values: [7] },
      { ...VALUES, name: 'ratio', target: { is: 'at most', value: 1 } },
    ]),
  ).toEqual([
    '          pull, s             peak',
    'entrepot  2.00 (1.00 – 3.00)',
    'nginx     0.50                7.00',
    '',
    '       median  min – max    target',
    'ratio  2.00 s  1.00 – 3.00  at most 1  MISSED',
  ]);
});

test('the 99th percentile of few values is the largest', () => {
  expect(percentile([5, 1, 3], 0.99)).toBe(5);
  expect(percentile([], 0.99)).toBeNaN();
});
