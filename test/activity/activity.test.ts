import { expect, it } from 'vitest';
import type { RequestRecord } from '../../src/activity/activity-events.ts';
import { Activity } from '../../src/activity/activity.ts';
import { nextRequestId } from '../../src/activity/request-id.ts';
import { RECENT_LIMIT } from '../../src/activity/recent-requests.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { liveRequest, requestRecord } from '../support/request-record.ts';

const MINUTE_MS = 60_000;

it('request ids are 16 hexadecimal digits, and never come twice', () => {
  const ids = Array.from({ length: 10_000 }, nextRequestId);
  expect(new Set(ids).size).toBe(10_000);
  expect(ids.filter((id) => !/^[0-9a-f]{16}$/.test(id))).toEqual([]);
});

it('keeps the thousand requests that ended last, the newest first', () => {
  const activity = new Activity(new FakeClock());
  for (let at = 0; at < RECENT_LIMIT + 5; at += 1)
    activity.finished(liveRequest(), requestRecord({ id: String(at) }));
  const all = activity.recent.list({ limit: RECENT_LIMIT });
  expect(all).toHaveLength(RECENT_LIMIT);
  expect([all[0]?.id, all.at(-1)?.id]).toEqual([String(RECENT_LIMIT + 4), '5']);
  expect(activity.recent.list({ limit: 2 }).map(({ id }) => id)).toEqual(['1004', '1003']);
});

it('finds recent requests of a client, an upstream and an outcome', () => {
  const activity = new Activity(new FakeClock());
  const other = { client: '192.0.2.2', upstream: 'quay.io', outcome: 'miss' };
  for (const facts of [{}, { client: other.client }, { upstream: other.upstream }, other])
    activity.finished(liveRequest(), requestRecord({ ...facts, id: JSON.stringify(facts) }));
  const found = activity.recent.list({ limit: 10, ...other });
  expect(found.map(({ id }) => id)).toEqual([JSON.stringify(other)]);
  expect(activity.recent.list({ limit: 10, client: other.client })).toHaveLength(2);
  expect(activity.recent.list({ limit: 10, outcome: 'stale' })).toEqual([]);
});

it('shows what is being answered, the oldest first, and how far it is', () => {
  const clock = new FakeClock(1_000_000);
  const activity = new Activity(clock);
  const first = { ...liveRequest({ id: 'a', startedAt: performance.now() - 5000, totalBytes: 10 }) };
  activity.began(first);
  activity.began(liveRequest({ id: 'b' }));
  Object.assign(first, { sentBytes: 7 });
  const { requests, requestCount } = activity.live();
  expect(requestCount).toBe(2);
  expect(requests.map(({ id }) => id)).toEqual(['a', 'b']);
  expect(requests[0]).toMatchObject({ sentBytes: 7, totalBytes: 10, kind: 'blob' });
  expect(Math.abs((requests[0]?.begunAt ?? 0) - 995_000)).toBeLessThan(1000);
  activity.finished(first, requestRecord());
  expect(activity.live().requests.map(({ id }) => id)).toEqual(['b']);
});

it('shows a bounded number of those that are being answered, and says how many there are', () => {
  const activity = new Activity(new FakeClock());
  for (let at = 0; at < 5000; at += 1) activity.began(liveRequest());
  const { requests, requestCount } = activity.live();
  expect([requests.length, requestCount]).toEqual([200, 5000]);
});

it('counts hits, pulls and bytes of each client, those with most bytes first', () => {
  const activity = new Activity(new FakeClock());
  activity.finished(liveRequest(), requestRecord({ at: 5 }));
  activity.finished(liveRequest(), requestRecord({ outcome: 'miss', bytes: 30, at: 9 }));
  activity.finished(liveRequest(), requestRecord({ client: '192.0.2.2', kind: 'blob', bytes: 1000 }));
  activity.finished(
    liveRequest(),
    requestRecord({ method: 'HEAD', bytes: 0, outcome: 'revalidated', at: 9 }),
  );
  expect(activity.clients.list()).toEqual([
    {
      client: '192.0.2.2',
      requests: 1,
      hits: 1,
      failures: 0,
      pulls: 0,
      bytes: 1000,
      hitBytes: 1000,
      lastAt: 0,
    },
    {
      client: '192.0.2.1',
      requests: 3,
      hits: 2,
      failures: 0,
      pulls: 2,
      bytes: 130,
      hitBytes: 100,
      lastAt: 9,
    },
  ]);
});

it('counts as failures what was broken off, 5xx and 429, and nothing that a client did wrong or left', () => {
  const activity = new Activity(new FakeClock());
  const answer = (facts: Partial<RequestRecord>) => activity.finished(liveRequest(), requestRecord(facts));
  for (const status of [500, 502, 503, 504, 429]) answer({ status, outcome: 'none', bytes: 50 });
  answer({ outcome: 'miss', kind: 'blob', isComplete: false });
  for (const status of [200, 206, 304, 307]) answer({ status });
  for (const status of [400, 401, 403, 404, 416]) answer({ status, outcome: 'none' });
  answer({ status: 499, outcome: 'none', isComplete: false });
  expect(activity.history.list(1)).toMatchObject([{ failures: 6, requests: 5 }]);
  expect(activity.clients.list()).toMatchObject([{ failures: 6, requests: 5 }]);
  expect(activity.sums.upstreams.get('docker.io')).toMatchObject({ failures: 6, requests: 5 });
});

it('keeps 10,000 clients, and forgets who was not seen for longest', () => {
  const activity = new Activity(new FakeClock());
  const seen = (client: number) =>
    activity.finished(liveRequest(), requestRecord({ client: String(client) }));
  seen(0);
  for (let client = 1; client <= 10_000; client += 1) {
    seen(client);
    if (client % 100 === 0) seen(0);
  }
  const clients = new Set(activity.clients.list().map(({ client }) => client));
  expect(clients.size).toBe(10_000);
  expect([clients.has('0'), clients.has('1'), clients.has('10000')]).toEqual([true, false, true]);
});

it('has a step for each minute since it began, also for those in which nothing happened', async () => {
  const clock = new FakeClock(Date.UTC(2030, 0, 1));
  const activity = new Activity(clock);
  activity.finished(liveRequest(), requestRecord());
  await clock.advance(3 * MINUTE_MS + 15_000);
  activity.finished(liveRequest(), requestRecord({ outcome: 'miss' }));
  activity.upstreamBytes('docker.io', 500);
  activity.upstreamPull('docker.io');
  const steps = activity.history.list(60 * MINUTE_MS);
  expect(steps.map(({ requests }) => requests)).toEqual([1, 0, 0, 1]);
  expect(steps.map(({ at }) => at - Date.UTC(2030, 0, 1))).toEqual([0, 1, 2, 3].map((at) => at * MINUTE_MS));
  expect(steps.map(({ durationMs }) => durationMs)).toEqual([MINUTE_MS, MINUTE_MS, MINUTE_MS, 15_000]);
  expect(steps[3]).toMatchObject({ hits: 0, upstreamBytes: 500, upstreamPulls: 1 });
  expect(activity.history.list(2 * MINUTE_MS)).toEqual(steps.slice(2));
});

it('keeps a day of minutes, and no more', async () => {
  const clock = new FakeClock();
  const activity = new Activity(clock);
  for (let minute = 0; minute < 1500; minute += 1) {
    activity.finished(liveRequest(), requestRecord({ bytes: minute }));
    await clock.advance(MINUTE_MS);
  }
  const steps = activity.history.list(7 * 24 * 60 * MINUTE_MS);
  expect(steps).toHaveLength(24 * 60);
  // The last one has only just begun.
  expect([steps[0]?.bytes, steps.at(-2)?.bytes, steps.at(-1)?.bytes]).toEqual([61, 1499, 0]);
});

it.each([
  ['back', -3_600_000],
  ['on', 3_600_000],
])('a wall clock that is set %s tears no hole into the minutes, and none comes twice', async (_, jumpMs) => {
  const clock = new FakeClock(Date.UTC(2030, 0, 1, 12));
  const activity = new Activity(clock);
  for (const jump of [0, jumpMs, 0]) {
    clock.setWall(clock.now() + jump);
    activity.finished(liveRequest(), requestRecord());
    await clock.advance(MINUTE_MS);
  }
  const steps = activity.history.list(3_600_000);
  expect(steps.map(({ requests }) => requests)).toEqual([1, 1, 1, 0]);
  const gaps = steps.slice(1).map(({ at }, index) => at - (steps[index]?.at ?? 0));
  expect(gaps).toEqual([MINUTE_MS, MINUTE_MS, MINUTE_MS]);
  expect(steps.at(-1)?.at).toBe(clock.now());
});

it('what is summed up has a bound however many names are made up, and no byte is lost', () => {
  const activity = new Activity(new FakeClock());
  for (let at = 0; at < 20_000; at += 1)
    activity.finished(liveRequest(), requestRecord({ client: `c${at}`, repository: `r${at}`, bytes: 1 }));
  const { upstreams, images, clients } = activity.sums;
  expect([images.get('docker.io')?.size, clients.size]).toEqual([10_001, 10_001]);
  expect(upstreams.get('docker.io')?.bytes).toBe(20_000);
  expect([sum(images.get('docker.io')?.values()), sum(clients.values())]).toEqual([20_000, 20_000]);
});

it('names that nothing was given for are no images', () => {
  const activity = new Activity(new FakeClock());
  activity.finished(liveRequest(), requestRecord({ status: 404, outcome: 'none' }));
  expect(activity.sums.images.size).toBe(0);
  expect(activity.sums.upstreams.get('docker.io')).toMatchObject({ requests: 0, pulls: 0 });
});

it('sums are taken once', () => {
  const activity = new Activity(new FakeClock());
  activity.finished(liveRequest(), requestRecord());
  expect(activity.takeSums().clients.size).toBe(1);
  expect(activity.sums.isEmpty).toBe(true);
});

function sum(rows: Iterable<{ readonly bytes: number }> = []): number {
  return [...rows].reduce((all, { bytes }) => all + bytes, 0);
}

it('pings and refusals do not count against the cache', () => {
  const activity = new Activity(new FakeClock());
  activity.finished(liveRequest(), requestRecord({ outcome: 'hit' }));
  for (let nth = 0; nth < 99; nth += 1)
    activity.finished(liveRequest(), requestRecord({ kind: 'base', outcome: 'none' }));
  expect(activity.history.list(60_000).at(-1)).toMatchObject({ requests: 1, hits: 1 });
});
