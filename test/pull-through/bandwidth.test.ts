import { describe, expect, it } from 'vitest';
import { BandwidthLimit, Bandwidths } from '../../src/pull-through/bandwidth.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const never = new AbortController().signal;
const urgent = () => true;
const background = () => false;

/** Takes `total` bytes, slab by slab. @returns what it had, as it goes */
function taking(
  from: Pick<BandwidthLimit, 'grant'>,
  total: number,
  isUrgent: () => boolean = urgent,
): { readonly bytes: number } {
  const taker = { bytes: 0 };
  void (async () => {
    while (taker.bytes < total) taker.bytes += await from.grant(MIB, isUrgent, never);
  })();
  return taker;
}

async function pass(clock: FakeClock, ms: number): Promise<void> {
  for (let at = 0; at < ms; at += 10) await clock.advance(10);
}

describe('a limit on what comes in', () => {
  it('gives so many bytes a second, however many take them', async () => {
    const clock = new FakeClock();
    const limit = new BandwidthLimit(clock, { bytesPerSecond: 10 * MIB, hours: [] });
    const takers = [taking(limit, Infinity), taking(limit, Infinity), taking(limit, Infinity)];
    await pass(clock, 2_000);
    const total = takers.reduce((sum, { bytes }) => sum + bytes, 0);
    expect(total / MIB).toBeGreaterThan(19);
    expect(total / MIB).toBeLessThan(22);
    for (const { bytes } of takers) expect(bytes / total).toBeGreaterThan(0.25);
  });

  it('has what clients wait for go first, and the rest is not starved for ever', async () => {
    const clock = new FakeClock();
    const limit = new BandwidthLimit(clock, { bytesPerSecond: 10 * MIB, hours: [] });
    const warm = taking(limit, Infinity, background);
    await pass(clock, 200);
    const before = warm.bytes;
    const client = taking(limit, 10 * MIB);
    await pass(clock, 500);
    expect(warm.bytes - before).toBeLessThanOrEqual(MIB);
    await pass(clock, 1_500);
    expect(client.bytes).toBeGreaterThanOrEqual(10 * MIB);
    expect(warm.bytes - before).toBeGreaterThan(4 * MIB);
  });

  it('that is lifted or lowered holds at once for who waits', async () => {
    const clock = new FakeClock();
    const limit = new BandwidthLimit(clock, { bytesPerSecond: 64 * 1024, hours: [] });
    const taker = taking(limit, 20 * MIB);
    await pass(clock, 1_000);
    expect(taker.bytes).toBeLessThan(MIB);
    limit.change({ hours: [] });
    await pass(clock, 100);
    expect(taker.bytes).toBeGreaterThanOrEqual(20 * MIB);
  });

  it('lets go of who waits no longer', async () => {
    const clock = new FakeClock();
    const limit = new BandwidthLimit(clock, { bytesPerSecond: 64 * 1024, hours: [] });
    expect(await limit.grant(MIB, urgent, never)).toBeLessThan(MIB);
    const leaving = new AbortController();
    const waiting = limit.grant(MIB, urgent, leaving.signal);
    leaving.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    await expect(limit.grant(MIB, urgent, leaving.signal)).rejects.toThrow('gone');
  });
});

describe('limits of an upstream and of all together', () => {
  it('both hold, and what the total does not give is not lost to the upstream', async () => {
    const clock = new FakeClock();
    const limits = new Bandwidths(clock);
    limits.change(
      { bytesPerSecond: 10 * MIB, hours: [] },
      new Map([['slow', { bytesPerSecond: 4 * MIB, hours: [] }]]),
    );
    const slow = taking(limits.of('slow'), Infinity);
    const other = taking(limits.of('other'), Infinity);
    await pass(clock, 3_000);
    expect(slow.bytes / MIB).toBeGreaterThan(10.5);
    expect(slow.bytes / MIB).toBeLessThan(13);
    expect((slow.bytes + other.bytes) / MIB).toBeLessThan(33);
    expect((slow.bytes + other.bytes) / MIB).toBeGreaterThan(28);
    limits.change(undefined, new Map());
    expect(limits.of('slow').isLimited).toBe(false);
  });
});

it('a cold blob comes with what the configuration allows, whole and right', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [
      { name: 'docker.io', url: registry.url, limits: { bandwidth: { bytesPerSecond: 4 * MIB, hours: [] } } },
    ],
  });
  const digest = registry.addBlob('library/app', { size: 6 * MIB, seed: 1 });
  const url = `${app.url}/v2/library/app/blobs/${digest}`;
  const begun = performance.now();
  expect(await get(url, { digestOnly: true })).toMatchObject({ complete: true, digest });
  expect(performance.now() - begun).toBeGreaterThan(1_300);
  await expect.poll(async () => (await get(url, { digestOnly: true })).headers['x-cache']).toBe('HIT');
});
