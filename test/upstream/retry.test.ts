import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RetryBudget, retryDelayMs } from '../../src/upstream/retry.ts';
import { UpstreamError } from '../../src/upstream/upstream-error.ts';
import { FakeClock } from '../support/fake-clock.ts';

const unavailable = new UpstreamError('unavailable', 'x', { status: 503 });

function spent(budget: RetryBudget, tries: number): number {
  return Array.from({ length: tries }, () => budget.spend()).filter(Boolean).length;
}

describe('retryDelayMs', () => {
  it('doubles its ceiling from 200 ms up to 4 s, and takes any part of it', () => {
    const ceilings = [0, 1, 2, 3, 4, 5, 50].map((attempt) =>
      retryDelayMs(unavailable, { attempt, remainingMs: 60_000, random: 1 }),
    );
    expect(ceilings).toEqual([200, 400, 800, 1_600, 3_200, 4_000, 4_000]);
    expect(retryDelayMs(unavailable, { attempt: 5, remainingMs: 60_000, random: 0 })).toBe(0);
  });

  it('never waits longer than there is patience, nor less than Retry-After', () => {
    const facts = fc.record({
      attempt: fc.nat(100),
      remainingMs: fc.nat(20_000),
      random: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(
        facts,
        fc.option(fc.nat(30_000), { nil: undefined }),
        fc.constantFrom(429, 500, 502, 503, 504),
        (about, retryAfterMs, status) => {
          const reason = status === 429 ? 'rate-limited' : 'unavailable';
          const delayMs = retryDelayMs(new UpstreamError(reason, 'x', { status, retryAfterMs }), about);
          if (delayMs === undefined) return;
          expect(delayMs).toBeLessThan(about.remainingMs);
          expect(delayMs).toBeGreaterThanOrEqual(retryAfterMs ?? 0);
        },
      ),
    );
  });

  it.each([
    new UpstreamError('not-found', 'x', { status: 404 }),
    new UpstreamError('denied', 'x', { status: 403 }),
    new UpstreamError('protocol', 'x'),
    new UpstreamError('refused', 'x'),
    new UpstreamError('rate-limited', 'x', { status: 429 }),
    new UpstreamError('unavailable', 'x', { status: 401 }),
    new UpstreamError('unavailable', 'x', {
      cause: Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' }),
    }),
  ])('gives none for %o', (error) => {
    expect(retryDelayMs(error, { attempt: 0, remainingMs: 10_000, random: 0.5 })).toBeUndefined();
  });
});

describe('RetryBudget', () => {
  it('allows a burst of ten, then one for each second', async () => {
    const clock = new FakeClock();
    const budget = new RetryBudget(clock);
    expect(spent(budget, 100)).toBe(10);
    await clock.advance(3_000);
    expect(spent(budget, 100)).toBe(3);
    await clock.advance(1_000_000);
    expect(spent(budget, 100)).toBe(10);
  });

  it('allows one for ten requests', () => {
    const budget = new RetryBudget(new FakeClock());
    spent(budget, 100);
    for (let request = 0; request < 51; request += 1) budget.earn();
    expect(spent(budget, 100)).toBe(5);
  });
});
