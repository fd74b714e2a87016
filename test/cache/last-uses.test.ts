import { expect, it, onTestFinished } from 'vitest';
import { LastUses } from '../../src/cache/last-uses.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { FakeClock } from '../support/fake-clock.ts';

const digests = Array.from({ length: 250 }, (_, at) => digestOf(Buffer.from(`blob ${at}`)));

function gathering({ tookMs = 0, fails = false } = {}) {
  const clock = new FakeClock();
  const batches: ReadonlyMap<Digest, number>[] = [];
  const failures: unknown[] = [];
  const uses = new LastUses({
    clock,
    onFailure: (cause) => void failures.push(cause),
    blobs: {
      touch: async (batch) => {
        batches.push(batch);
        if (fails) throw new Error('full');
        if (tookMs > 0) await clock.advance(tookMs);
      },
    },
  });
  onTestFinished(() => uses.close());
  return { uses, clock, batches, failures };
}

it('uses are written down together after five seconds, each blob once, at its last use', async () => {
  const { uses, clock, batches } = gathering();
  const [a, b] = digests;
  expect.assert(a !== undefined && b !== undefined);
  uses.add(a);
  uses.add(b);
  await clock.advance(1000);
  uses.add(a);
  await clock.advance(3999);
  expect(batches).toEqual([]);
  await clock.advance(1);
  const begin = Date.UTC(2030, 0, 1);
  expect(batches).toEqual([
    new Map([
      [a, begin + 1000],
      [b, begin],
    ]),
  ]);
});

it('no more than a hundred are written at a time', async () => {
  const { uses, batches } = gathering();
  for (const digest of digests) uses.add(digest);
  await uses.write();
  expect(batches.map(({ size }) => size)).toEqual([100, 100, 50]);
});

it('fewer are written at a time while that takes long', async () => {
  const { uses, batches } = gathering({ tookMs: 5 });
  for (const digest of digests) uses.add(digest);
  await uses.write();
  expect(batches.map(({ size }) => size).slice(0, 4)).toEqual([100, 50, 25, 12]);
  expect(batches.reduce((sum, { size }) => sum + size, 0)).toBe(digests.length);
});

it('what cannot be written is forgotten, and said once', async () => {
  const { uses, batches, failures } = gathering({ fails: true });
  for (const digest of digests) uses.add(digest);
  await uses.write();
  expect(failures).toHaveLength(1);
  await uses.write();
  expect(batches).toHaveLength(1);
});

it('what is gone is not written down, and what is left is when it ends', async () => {
  const { uses, batches } = gathering();
  const [a, b] = digests;
  expect.assert(a !== undefined && b !== undefined);
  uses.add(a);
  uses.add(b);
  uses.forget(a);
  await uses.close();
  expect(batches).toEqual([new Map([[b, Date.UTC(2030, 0, 1)]])]);
});
