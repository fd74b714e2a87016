import { expect, test } from 'vitest';
import { Loans } from '../../src/fronts/loans.ts';

const FILE = { path: '/data/x', sizeBytes: 1024, modifiedAt: 1 };
const STRETCH = { start: 0, end: 1024 };

function lend(loans: Loans, request: number) {
  return loans.lend(request, FILE, STRETCH, () => undefined);
}

test('is broken off when its front has dropped the request, whichever comes first', async () => {
  const loans = new Loans();
  const before = lend(loans, 1);
  loans.left(1);
  expect(await before.over).toEqual({ kind: 'broken off' });
  loans.left(2);
  expect(await lend(loans, 2).over).toEqual({ kind: 'broken off' });
});

test('is not touched by what became of other requests, nor by its own once it is over', async () => {
  const loans = new Loans();
  const loan = lend(loans, 1);
  loans.left(2);
  loans.report({ loan: 1, sentBytes: 1024, state: 'whole' });
  loans.left(1);
  expect(await loan.over).toEqual({ kind: 'whole' });
});

test('remembers what was dropped for as long as it may come, and not more', async () => {
  const loans = new Loans();
  for (let request = 1; request <= 20_000; request += 1) loans.left(request);
  expect(await lend(loans, 20_000).over).toEqual({ kind: 'broken off' });
  const forgotten = lend(loans, 1);
  loans.report({ loan: 2, sentBytes: 1024, state: 'whole' });
  expect(await forgotten.over).toEqual({ kind: 'whole' });
});
