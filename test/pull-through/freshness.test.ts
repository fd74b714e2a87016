import { describe, expect, it } from 'vitest';
import { ageOf, freshnessOf, mayServeStale } from '../../src/pull-through/freshness.ts';
import { PullThroughError } from '../../src/pull-through/pull-through-error.ts';
import { staleLimitsOf } from '../../src/pull-through/stale-policy.ts';
import { UpstreamError, type UpstreamErrorReason } from '../../src/upstream/upstream-error.ts';

const NOW = 1_000_000;
const online = { ttlMs: 1000, staleMs: staleLimitsOf(undefined, 5000), isOffline: false };

function heldFor(ageMs: number) {
  return { checkedAt: NOW - ageMs };
}

describe('an answer that is held', () => {
  it.each([
    [0, 'fresh'],
    [999, 'fresh'],
    [1000, 'ask'],
    [1_000_000, 'ask'],
    [-1, 'ask'],
  ])('for %i ms is %s', (ageMs, expected) => {
    expect(freshnessOf(heldFor(ageMs), online, NOW)).toBe(expected);
  });

  it.each([0, 999, 1000, 1e9, -1])('for %i ms is served without asking when offline', (ageMs) => {
    expect(freshnessOf(heldFor(ageMs), { ...online, isOffline: true }, NOW)).toBe('offline');
  });

  it.each([0, 1e12, -1e12])('for %i ms is fresh for ever when it never moves', (ageMs) => {
    expect(freshnessOf(heldFor(ageMs), { ...online, ttlMs: Infinity }, NOW)).toBe('fresh');
  });

  it('is never fresh when nothing is kept for any time', () => {
    expect(freshnessOf(heldFor(0), { ...online, ttlMs: 0 }, NOW)).toBe('ask');
  });

  it('is asked for when there is none, offline too', () => {
    expect(freshnessOf(undefined, online, NOW)).toBe('ask');
    expect(freshnessOf(undefined, { ...online, isOffline: true }, NOW)).toBe('ask');
  });

  it.each([
    [0, 0],
    [123, 123],
    [-50, 0],
  ])('checked %i ms ago says that it is %i ms old', (ageMs, expected) => {
    expect(ageOf(heldFor(ageMs), NOW)).toBe(expected);
  });
});

/** Could the upstream not say? Then what is held may be served; its own word stands. */
const MAY_SERVE: Readonly<Record<Exclude<UpstreamErrorReason, 'offline'>, boolean>> = {
  'not-found': false,
  denied: false,
  refused: false,
  'rate-limited': true,
  unavailable: true,
  timeout: true,
  protocol: true,
};

describe('after asking failed', () => {
  it('that could not be tried, since we are offline, what is held is served however old it is', () => {
    const error = new UpstreamError('offline', 'no');
    expect(mayServeStale(heldFor(1e12), error, online, NOW)).toBe(true);
  });

  it.each(Object.entries(MAY_SERVE))('with "%s", what is held may be served: %s', (reason, expected) => {
    const error = new UpstreamError(reason as UpstreamErrorReason, 'no');
    expect(mayServeStale(heldFor(10), error, online, NOW)).toBe(expected);
    expect(mayServeStale(heldFor(5000), error, online, NOW)).toBe(expected);
    expect(mayServeStale(heldFor(5001), error, online, NOW)).toBe(false);
    expect(mayServeStale(heldFor(-10), error, online, NOW)).toBe(expected);
  });

  it('for a reason of our own, nothing stale is served', () => {
    for (const error of [new PullThroughError('corrupt', 'x'), new Error('a bug'), undefined])
      expect(mayServeStale(heldFor(0), error, online, NOW)).toBe(false);
  });
});
