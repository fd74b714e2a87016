import { describe, expect, it } from 'vitest';
import type { TrafficStep } from '../../src/activity/activity-events.ts';
import { printShare } from '../../src/quantity-text.ts';
import { printActivity } from '../../src/commands/status-activity.ts';
import { percent } from '../../src/http/dashboard/formats.ts';

const MINUTE_MS = 60_000;

/** So many steps, with all of it in the last one. */
function minutes(count: number, facts: Partial<TrafficStep>): readonly TrafficStep[] {
  return Array.from({ length: count }, (_, number) =>
    step({ at: number * MINUTE_MS, ...(number === count - 1 && facts) }),
  );
}

function step(facts: Partial<TrafficStep> = {}): TrafficStep {
  return {
    at: 0,
    durationMs: MINUTE_MS,
    requests: 0,
    hits: 0,
    failures: 0,
    pulls: 0,
    bytes: 0,
    hitBytes: 0,
    upstreamBytes: 0,
    upstreamPulls: 0,
    ...facts,
  };
}

function printed(history: readonly TrafficStep[]): string {
  const live = { at: 0, requests: [], requestCount: 0, fills: [], fillCount: 0 };
  return printActivity({ upstreams: [], history, live });
}

/** What the rows of as much traffic are called. */
function rows(count: number): readonly (string | undefined)[] {
  return printed(minutes(count, { requests: 7 }))
    .split('\n')
    .filter((line) => / {2}7 /.test(line))
    .map((line) => line.split('  ', 1)[0]);
}

describe('the traffic that status shows', () => {
  it('has shares as the report and the page have them', () => {
    expect(printed(minutes(60, { requests: 12, hits: 5 }))).toMatch(/^last hour +12 +42 % /m);
    for (let part = 0; part <= 300; part += 1)
      expect(printShare(part, 300)).toBe(
        percent(part, 300)
          .replace(/\u00A0/u, ' ')
          .replace(/\u2009/u, ' '),
      );
    expect(printShare(0, 0)).toBe('-');
  });

  it('says how much failed, which is no part of the hits', () => {
    const text = printed(minutes(60, { requests: 4, hits: 4, failures: 1200 }));
    expect(text).toMatch(/^traffic +requests +hits +failed +sent /m);
    expect(text).toMatch(/^last hour +4 +100 % +1,200 /m);
  });

  it('is of the time since the start, where the server is younger than what is shown', () => {
    expect(rows(60)).toEqual(['last hour', 'last 5 minutes']);
    expect(rows(59)).toEqual(['since the start', 'last 5 minutes']);
    expect(rows(5)).toEqual(['since the start', 'last 5 minutes']);
    expect(rows(4)).toEqual(['since the start']);
    expect(rows(1)).toEqual(['since the start']);
  });
});
