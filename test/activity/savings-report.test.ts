import { expect, it } from 'vitest';
import { Activity } from '../../src/activity/activity.ts';
import { savingsReport as savings } from '../../src/activity/savings-report.ts';
import { UsageRows } from '../../src/activity/usage-rows.ts';
import type { RequestRecord } from '../../src/activity/activity-events.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { liveRequest, requestRecord } from '../support/request-record.ts';

const nothing = { unused: [], unusedCount: 0, unusedBytes: 0 };
const BLOB = { kind: 'blob', bytes: 1_000_000 } as const;

function reportOf(
  records: readonly Partial<RequestRecord>[],
  { top = 10, upstreamBytes = 0, upstreamPulls = 0 } = {},
) {
  const activity = new Activity(new FakeClock());
  for (const facts of records) activity.finished(liveRequest(), requestRecord(facts));
  activity.upstreamBytes('docker.io', upstreamBytes);
  for (let pull = 0; pull < upstreamPulls; pull += 1) activity.upstreamPull('docker.io');
  const rows = new UsageRows();
  rows.addSums(activity.sums);
  return savings({ since: 0, until: 1 }, rows, nothing, top);
}

it('avoided is what clients got and the upstreams did not send', () => {
  const report = reportOf([{ bytes: 100 }, { bytes: 100 }, { outcome: 'miss', bytes: 100 }], {
    upstreamBytes: 120,
    upstreamPulls: 1,
  });
  expect(report).toMatchObject({
    pulls: 3,
    pullsAvoided: 2,
    bytes: 300,
    bytesAvoided: 180,
    upstreamBytes: 120,
  });
  expect(report.byUpstream).toEqual([
    {
      upstream: 'docker.io',
      requests: 3,
      hits: 2,
      failures: 0,
      pulls: 3,
      bytes: 300,
      hitBytes: 200,
      upstreamBytes: 120,
      upstreamPulls: 1,
    },
  ]);
});

it('is never negative, though warming brought more than anybody pulled', () => {
  expect(reportOf([{}], { upstreamBytes: 5000, upstreamPulls: 9 })).toMatchObject({
    bytesAvoided: 0,
    pullsAvoided: 0,
  });
});

it('estimates saved time by the pace at which the same upstream answered, and says so', () => {
  const report = reportOf([
    // A second for each megabyte, half a second for a manifest.
    { ...BLOB, outcome: 'miss', durationMs: 1000 },
    { outcome: 'miss', durationMs: 500 },
    { ...BLOB, durationMs: 100 },
    { ...BLOB, durationMs: 100 },
    { durationMs: 10 },
  ]);
  expect(report.timeSavedMs).toBe(2 * 1000 - 200 + 500 - 10);
  expect(report.timeSavedAssumption).toContain('blobs at 1.0 MB/s, all else in 500 ms each on average');
});

it('takes the pace of all upstreams for one that was never waited for', () => {
  const report = reportOf([
    { ...BLOB, outcome: 'miss', durationMs: 1000, upstream: 'quay.io' },
    { ...BLOB, durationMs: 100 },
  ]);
  expect(report.timeSavedMs).toBe(900);
});

it('estimates nothing where nothing came from any upstream, and says why', () => {
  expect(reportOf([BLOB, {}])).toMatchObject({
    timeSavedMs: 0,
    timeSavedAssumption: 'nothing came from an upstream, so its pace is unknown',
  });
});

it('a transfer that was broken off and one that failed say nothing of a pace', () => {
  const report = reportOf([
    { ...BLOB, outcome: 'miss', durationMs: 60_000, isComplete: false },
    { ...BLOB, outcome: 'miss', durationMs: 60_000, status: 502 },
    BLOB,
  ]);
  expect(report.timeSavedMs).toBe(0);
});

it('lists the images and clients with most bytes, and what was counted together last', () => {
  const many = Array.from({ length: 11_000 }, (_, at) => ({
    repository: `r${at}`,
    client: `c${at}`,
    bytes: at,
  }));
  const report = reportOf([{ repository: 'big', bytes: 1_000_000 }, ...many], { top: 3 });
  expect(report.topImages.map(({ image }) => image)).toEqual([
    'docker.io/big',
    'docker.io/r9998',
    'docker.io/r9997',
    'docker.io/(others)',
  ]);
  expect(report.topClients.map(({ client }) => client)).toEqual(['192.0.2.1', 'c9998', 'c9997', '(others)']);
});
