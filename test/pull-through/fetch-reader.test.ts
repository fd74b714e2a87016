import { expect, it } from 'vitest';
import { FetchReader } from '../../src/pull-through/fetch-reader.ts';

const MIB = 1024 * 1024;

it('a reader takes little at first and then as much as it is asked for', async () => {
  const limits: number[] = [];
  const reader = new FetchReader(
    {
      tryRead: (_reader, _position, limitBytes) => {
        limits.push(limitBytes);
        return { bytes: new Uint8Array(1), release: () => undefined };
      },
      onWaiting: () => undefined,
      onMoved: () => undefined,
      onClosed: () => undefined,
    },
    8 * MIB,
    'whole',
  );
  const { signal } = new AbortController();
  for (const position of [0, 1, 2]) (await reader.read(position, MIB, signal)).release();
  expect(limits).toEqual([64 * 1024, MIB, MIB]);
});
