import { expect, test } from 'vitest';
import { readmeTable } from './readme-table.ts';

const ON = {
  date: '2026-11-21',
  machine: '2 × CPU',
  load: '0.1 to 1.9',
  rounds: 3,
  command: 'npm run bench',
};

test('the table has a row for each figure with a place in it, a column for each contestant, and says how it was made', () => {
  const row = 'a cold image';
  const figures = [
    { name: 'pull', unit: 's', of: 'entrepot', values: [0.5, 0.4, 0.6], row },
    { name: 'pull', unit: 's', of: 'other', values: [1, 2, 1234.5], row },
    { name: 'upstream bytes', unit: '', of: 'entrepot', values: [1, 1, 1], row: 'upstream' },
    { name: 'CPU', unit: 's/GB', of: 'entrepot', values: [1] },
    { name: 'entrepot ÷ other', unit: '×', values: [0.5] },
  ];
  expect(readmeTable(figures, ON)).toEqual([
    '|  | entrepot | other |',
    '| --- | ---: | ---: |',
    '| a cold image, s | 0.50 | 2.00 |',
    '| upstream | 1.00 | – |',
    '',
    'Medians of 3 rounds on 2026-11-21; 2 × CPU; load average 0.1 to 1.9. Command: `npm run bench`.',
  ]);
});

test('without any such figure there is no table', () => {
  expect(readmeTable([{ name: 'CPU', unit: 's/GB', of: 'entrepot', values: [1] }], ON)).toEqual([]);
});
