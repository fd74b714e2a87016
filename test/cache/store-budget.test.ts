import { setImmediate as nextTurn } from 'node:timers/promises';
import * as fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { type Shortage, StoreBudget, type StoreLimits } from '../../src/cache/store-budget.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { storeLimits } from '../support/store-limits.ts';

const MIB = 1024 * 1024;

interface Blob {
  readonly bytes: number;
  readonly upstream: string | undefined;
}

/** A budget, what is stored of it, and an evictor that is called by hand. */
function budgetOf(limits: StoreLimits, blobs: Blob[] = [], { block = 1, free = Infinity } = {}) {
  const clock = new FakeClock();
  const disk = { freeBytes: free };
  const allocated = (bytes: number) => Math.ceil(bytes / block) * block;
  const onShort = vi.fn();
  const totals = (of: readonly Blob[]) => ({
    bytes: of.reduce((sum, { bytes }) => sum + allocated(bytes), 0),
    blobs: of.length,
  });
  const names = new Set(blobs.flatMap(({ upstream }) => upstream ?? []));
  const budget = new StoreBudget({
    limits,
    clock,
    stored: {
      ...totals(blobs),
      byUpstream: new Map(
        [...names].map((name) => [name, totals(blobs.filter(({ upstream }) => upstream === name))]),
      ),
    },
    allocatedBytes: allocated,
    quarantinedBytes: () => 0,
    freeBytes: () => Promise.resolve(disk.freeBytes),
    onShort,
  });
  /** Gives up the oldest blobs until the shortage is relieved, as an evictor does. */
  const relieve = ({ upstream, bytes }: Shortage): boolean => {
    let freed = 0;
    while (freed < bytes) {
      const at = blobs.findIndex((blob) => upstream === undefined || blob.upstream === upstream);
      const [blob] = at === -1 ? [] : blobs.splice(at, 1);
      if (blob === undefined) break;
      budget.removed(blob.bytes, blob.upstream);
      freed += allocated(blob.bytes);
    }
    return freed > 0;
  };
  const relieveAll = ({ isBackground = true } = {}) => {
    for (let round = 0; round < 1000; round += 1) {
      const shortage = budget.shortage();
      if (shortage === undefined || (!shortage.isUrgent && !isBackground)) return;
      if (!relieve(shortage)) budget.exhausted(shortage);
    }
    throw new Error('the shortage does not end');
  };
  return { budget, blobs, clock, disk, onShort, relieve, relieveAll };
}

/** So many blobs of one size. */
function blobsOf(count: number, bytes: number, upstream?: string): Blob[] {
  return Array.from({ length: count }, () => ({ bytes, upstream }));
}

describe('a claim', () => {
  it('waits for what is given up for it; a small one does not take it first', async () => {
    const { budget, relieve } = budgetOf(storeLimits(100), blobsOf(10, 10));
    const large = budget.reserve(50);
    const small = budget.reserve(10);
    await nextTurn();
    expect(budget.shortage()).toEqual({ upstream: undefined, bytes: 50, isUrgent: true });
    relieve({ upstream: undefined, bytes: 10, isUrgent: true });
    expect(budget.shortage()).toEqual({ upstream: undefined, bytes: 40, isUrgent: true });
    relieve({ upstream: undefined, bytes: 40, isUrgent: true });
    expect((await large)?.bytes).toBe(50);
    expect(budget.shortage()).toEqual({ upstream: undefined, bytes: 10, isUrgent: true });
    relieve({ upstream: undefined, bytes: 10, isUrgent: true });
    expect((await small)?.bytes).toBe(10);
    expect(budget.usage).toMatchObject({ storedBytes: 40, reservedBytes: 60 });
  });

  it('ends without room when nothing more can be given up', async () => {
    const { budget, relieve } = budgetOf(storeLimits(100), blobsOf(10, 10));
    const claim = budget.reserve(50);
    await nextTurn();
    const shortage = budget.shortage();
    expect.assert(shortage !== undefined);
    relieve({ ...shortage, bytes: 20 });
    budget.exhausted(shortage);
    expect(await claim).toBeUndefined();
    expect(budget.usage).toMatchObject({ storedBytes: 80, reservedBytes: 0 });
  });

  it('that promises or pins leave no room for evicts nothing', async () => {
    const { budget, onShort } = budgetOf(storeLimits(100), blobsOf(3, 10));
    expect(await budget.reserve(70)).toBeDefined();
    expect(await budget.reserve(40)).toBeUndefined();
    expect(budget.shortage()?.isUrgent).not.toBe(true);
    const pinned = budgetOf(storeLimits(100), blobsOf(10, 10));
    pinned.budget.pinned({ bytes: 80, blobs: 8, byUpstream: new Map() });
    expect(await pinned.budget.reserve(30)).toBeUndefined();
    expect(pinned.budget.shortage()?.isUrgent).not.toBe(true);
    expect(onShort).toHaveBeenCalled();
  });

  it('of a blob that is too large by itself is refused at once', async () => {
    const limits = storeLimits(100, { maxBlobBytes: 40, upstreamBytes: new Map([['small', 20]]) });
    const { budget } = budgetOf(limits, blobsOf(10, 10));
    expect(await budget.reserve(41)).toBeUndefined();
    expect(await budget.reserve(21, 'small')).toBeUndefined();
    expect([budget.canHold(40), budget.canHold(41)]).toEqual([true, false]);
    expect([budget.canHold(20, 'small'), budget.canHold(21, 'small')]).toEqual([true, false]);
    expect(budget.shortage()?.isUrgent).not.toBe(true);
  });

  it('ends when nobody wants it any more, and after five seconds', async () => {
    const { budget, clock } = budgetOf(storeLimits(100), blobsOf(10, 10));
    const leaving = new AbortController();
    const left = budget.reserve(50, undefined, leaving.signal);
    const late = budget.reserve(50);
    await clock.asleep(2);
    leaving.abort();
    expect(await left).toBeUndefined();
    await clock.advance(5000);
    expect(await late).toBeUndefined();
    expect(budget.shortage()?.isUrgent).toBe(false);
  });

  it('counts whole blocks', async () => {
    const { budget } = budgetOf(storeLimits(10 * 4096), blobsOf(4, 100), { block: 4096 });
    expect(budget.usage.storedBytes).toBe(4 * 4096);
    const reservation = await budget.reserve(4097);
    expect(budget.usage.reservedBytes).toBe(2 * 4096);
    reservation?.becomeStored(4097, undefined);
    expect(budget.usage).toMatchObject({ storedBytes: 6 * 4096, storedBlobs: 5, reservedBytes: 0 });
  });
});

describe('above the high mark', () => {
  it('blobs are given up in the background down to the low one, and not again before it is passed again', () => {
    const { budget, blobs, relieveAll, onShort } = budgetOf(storeLimits(1000), blobsOf(95, 10));
    budget.removed(0, undefined);
    expect(onShort).not.toHaveBeenCalled();
    expect(budget.shortage()).toBeUndefined();
    budget.added(10, undefined);
    blobs.push(...blobsOf(1, 10));
    expect(onShort).toHaveBeenCalled();
    expect(budget.shortage()).toEqual({ upstream: undefined, bytes: 60, isUrgent: false });
    relieveAll();
    expect(budget.usage.storedBytes).toBe(900);
    expect(budget.shortage()).toBeUndefined();
  });

  it('nothing is tried for ten seconds when nothing could be given up', async () => {
    const { budget, clock } = budgetOf(storeLimits(1000), blobsOf(100, 10));
    const shortage = budget.shortage();
    expect.assert(shortage !== undefined);
    budget.exhausted(shortage);
    expect(budget.shortage()).toBeUndefined();
    await clock.advance(10_000);
    expect(budget.shortage()).toEqual(shortage);
  });
});

describe("an upstream's share", () => {
  const limits = storeLimits(1000, { upstreamBytes: new Map([['a', 100]]) });

  it('is kept by giving up what it brought itself', async () => {
    const { budget, blobs } = budgetOf(limits, [...blobsOf(50, 10, 'b'), ...blobsOf(9, 10, 'a')]);
    const claim = budget.reserve(30, 'a');
    await nextTurn();
    expect(budget.shortage()).toEqual({ upstream: 'a', bytes: 20, isUrgent: true });
    for (let n = 0; n < 2; n += 1) budget.removed(10, 'a');
    expect((await claim)?.bytes).toBe(30);
    expect(budget.upstreams.get('a')).toEqual({
      storedBytes: 70,
      storedBlobs: 7,
      reservedBytes: 30,
      limitBytes: 100,
    });
    expect(budget.upstreams.get('b')).toMatchObject({ storedBytes: 500, limitBytes: undefined });
    expect(blobs).toHaveLength(59);
  });

  it('that is full of pins lets its blobs pass by, and holds up no other upstream', async () => {
    const { budget } = budgetOf(limits, [...blobsOf(50, 10, 'b'), ...blobsOf(10, 10, 'a')]);
    budget.pinned({ bytes: 100, blobs: 10, byUpstream: new Map([['a', { bytes: 100, blobs: 10 }]]) });
    expect(await budget.reserve(10, 'a')).toBeUndefined();
    expect((await budget.reserve(10, 'b'))?.bytes).toBe(10);
  });

  it('that somebody waits for holds up no other upstream', async () => {
    const { budget } = budgetOf(limits, blobsOf(10, 10, 'a'));
    const waiting = budget.reserve(10, 'a');
    await nextTurn();
    expect((await budget.reserve(10, 'b'))?.bytes).toBe(10);
    budget.close();
    expect(await waiting).toBeUndefined();
  });

  it('is charged to who is named when a promise becomes a blob', async () => {
    const { budget } = budgetOf(limits);
    const reservation = await budget.reserve(30, 'b');
    reservation?.becomeStored(30, 'a');
    reservation?.release();
    expect(budget.upstreams.get('a')).toMatchObject({ storedBytes: 30, reservedBytes: 0 });
    expect(budget.upstreams.get('b')).toMatchObject({ storedBytes: 0, reservedBytes: 0 });
  });
});

describe('free space', () => {
  it('bounds what is held, whatever is configured', async () => {
    const limits = storeLimits(1000, { minFreeBytes: 50 });
    const { budget, disk, clock } = budgetOf(limits, blobsOf(10, 10), { free: 150 });
    expect(budget.canHold(1000)).toBe(true);
    const first = await budget.reserve(100);
    expect(first?.bytes).toBe(100);
    expect(budget.usage.limitBytes).toBe(200);
    // What is written is free no longer, and counts once.
    first?.wrote(60);
    disk.freeBytes = 90;
    await clock.advance(1000);
    await budget.look();
    expect(budget.usage.limitBytes).toBe(200);
    // Somebody else uses the disk.
    disk.freeBytes = 60;
    await budget.look();
    expect(budget.usage.limitBytes).toBe(170);
    expect(budget.shortage()).toMatchObject({ isUrgent: false });
  });

  it('is looked at once a second, and when much was promised', async () => {
    let looks = 0;
    const clock = new FakeClock();
    const budget = new StoreBudget({
      limits: storeLimits(1024 * MIB),
      clock,
      stored: { bytes: 0, blobs: 0, byUpstream: new Map() },
      allocatedBytes: (bytes) => bytes,
      quarantinedBytes: () => 0,
      freeBytes: () => {
        looks += 1;
        return looks === 4 ? Promise.reject(new Error('EIO')) : Promise.resolve(1024 * MIB);
      },
      onShort: () => undefined,
    });
    for (let n = 0; n < 10; n += 1) await budget.reserve(MIB);
    expect(looks).toBe(1);
    await clock.advance(1000);
    await Promise.all([budget.reserve(MIB), budget.reserve(MIB)]);
    expect(looks).toBe(2);
    await budget.reserve(100 * MIB);
    await budget.reserve(MIB);
    expect(looks).toBe(3);
    await clock.advance(1000);
    // A disk that does not tell leaves what was known.
    expect(await budget.reserve(MIB)).toBeDefined();
    expect(looks).toBe(4);
  });
});

describe('a promise for a blob of unknown size', () => {
  it('grows in large steps where there is room, and to the last byte where there is little', async () => {
    const { budget } = budgetOf(storeLimits(40 * MIB));
    const reservation = await budget.reserve(0);
    expect(await reservation?.growTo(1)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(16 * MIB);
    expect(await reservation?.growTo(17 * MIB)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(32 * MIB);
    expect(await reservation?.growTo(33 * MIB)).toBe(true);
    expect(await reservation?.growTo(40 * MIB)).toBe(true);
    expect(budget.usage.reservedBytes).toBe(40 * MIB);
    expect(await reservation?.growTo(40 * MIB + 1)).toBe(false);
    expect(budget.usage.reservedBytes).toBe(40 * MIB);
    reservation?.release();
    reservation?.release();
    expect(budget.usage.reservedBytes).toBe(0);
  });

  it('evicts nothing for more than it needs now, and stops at what one blob may have', async () => {
    const limits = storeLimits(10 * MIB, { maxBlobBytes: 4 * MIB });
    const { budget, relieveAll } = budgetOf(limits, blobsOf(8, MIB));
    const reservation = await budget.reserve(0);
    const growing = reservation?.growTo(3 * MIB);
    await nextTurn();
    relieveAll({ isBackground: false });
    expect(await growing).toBe(true);
    expect(budget.usage).toMatchObject({ storedBytes: 7 * MIB, reservedBytes: 3 * MIB });
    expect(await reservation?.growTo(4 * MIB + 1)).toBe(false);
  });

  it('that is given back while it waits to grow keeps nothing', async () => {
    const { budget, relieveAll } = budgetOf(storeLimits(100), blobsOf(10, 10));
    const reservation = await budget.reserve(0);
    const growing = reservation?.growTo(20);
    await nextTurn();
    reservation?.release();
    relieveAll({ isBackground: false });
    expect(await growing).toBe(false);
    expect(budget.usage.reservedBytes).toBe(0);
  });
});

it('promises and blobs together never go over any limit, whatever is claimed at the same time', async () => {
  const operation = fc.record({
    bytes: fc.nat(60),
    isKept: fc.boolean(),
    grows: fc.nat(30),
    upstream: fc.constantFrom('a', 'b', 'c', undefined),
    turns: fc.nat(3),
  });
  const shares = new Map([
    ['a', 30],
    ['b', 70],
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(operation, { maxLength: 30 }),
      fc.integer({ min: 1, max: 9 }),
      async (operations, block) => {
        const { budget, blobs, relieveAll } = budgetOf(storeLimits(100, { upstreamBytes: shares }), [], {
          block,
        });
        const check = () => {
          const { storedBytes, reservedBytes } = budget.usage;
          expect(storedBytes + reservedBytes).toBeLessThanOrEqual(100);
          expect(Math.min(storedBytes, reservedBytes)).toBeGreaterThanOrEqual(0);
          for (const [name, share] of shares) {
            const { storedBytes: stored = 0, reservedBytes: reserved = 0 } = budget.upstreams.get(name) ?? {};
            expect(stored + reserved).toBeLessThanOrEqual(share);
            expect(Math.min(stored, reserved)).toBeGreaterThanOrEqual(0);
          }
        };
        const over = new AbortController();
        const evicting = (async () => {
          for (; !over.signal.aborted; await nextTurn()) relieveAll();
        })();
        await Promise.all(
          operations.map(async ({ bytes, isKept, grows, upstream, turns }) => {
            const reservation = await budget.reserve(bytes, upstream);
            check();
            if (reservation === undefined) return;
            const size = (await reservation.growTo(bytes + grows)) ? bytes + grows : bytes;
            check();
            for (let turn = 0; turn < turns; turn += 1) await nextTurn();
            if (isKept) {
              reservation.becomeStored(size, upstream);
              blobs.push({ bytes: size, upstream });
            }
            reservation.release();
            check();
          }),
        );
        over.abort();
        await evicting;
        expect(budget.usage).toMatchObject({ reservedBytes: 0, storedBlobs: blobs.length });
        relieveAll();
        expect(budget.shortage()).toBeUndefined();
      },
    ),
    { numRuns: 300 },
  );
});

describe('other limits', () => {
  it('hold at once: what is too much is to go, what was promised stays promised', async () => {
    const { budget, relieveAll } = budgetOf(storeLimits(1000), blobsOf(50, 10, 'quay.io'));
    const promised = await budget.reserve(100);
    await budget.configure(storeLimits(400, { maxBlobBytes: 200 }));
    expect(budget.usage).toMatchObject({ limitBytes: 400, storedBytes: 500, reservedBytes: 100 });
    expect(budget.canHold(201)).toBe(false);
    expect(budget.shortage()).toMatchObject({ isUrgent: false });
    relieveAll();
    expect(budget.usage.storedBytes + budget.usage.reservedBytes).toBeLessThanOrEqual(0.9 * 400);
    promised?.release();
    await budget.configure(storeLimits(2000));
    expect((await budget.reserve(1500))?.bytes).toBe(1500);
  });

  it('hold for a share of an upstream, too, which may have had none before', async () => {
    const { budget, relieveAll } = budgetOf(storeLimits(1000), blobsOf(10, 10, 'quay.io'));
    const upstreamBytes = new Map([
      ['quay.io', 50],
      ['new.example', 20],
    ]);
    await budget.configure(storeLimits(1000, { upstreamBytes }));
    expect(budget.shortage()).toMatchObject({ upstream: 'quay.io' });
    relieveAll();
    expect(budget.upstreams.get('quay.io')).toMatchObject({ storedBytes: 40, limitBytes: 50 });
    expect(budget.upstreams.get('new.example')).toMatchObject({ limitBytes: 20 });
    await budget.configure(storeLimits(1000));
    expect(budget.upstreams.get('quay.io')?.limitBytes).toBeUndefined();
    expect(await budget.reserve(500, 'quay.io')).toBeDefined();
  });

  it('hold for what is to stay free on the disk', async () => {
    const { budget } = budgetOf(storeLimits(1000), [], { free: 500 });
    await budget.look();
    expect(budget.usage.limitBytes).toBe(500);
    await budget.configure(storeLimits(1000, { minFreeBytes: 400 }));
    expect(budget.usage.limitBytes).toBe(100);
  });

  it('let those who wait have what fits now', async () => {
    const { budget } = budgetOf(storeLimits(100), blobsOf(10, 10));
    const claim = budget.reserve(50);
    await nextTurn();
    await budget.configure(storeLimits(1000));
    expect((await claim)?.bytes).toBe(50);
  });
});
