import { expect, onTestFinished, test } from 'vitest';
import { Rehearsals } from '../../src/pull-through/rehearsals.ts';
import { OfflineSwitch } from '../../src/upstream/offline-switch.ts';
import { FakeClock } from '../support/fake-clock.ts';

const BEGIN = Date.UTC(2030, 0, 1);
const REQUEST = { upstream: 'docker.io', repository: 'library/app', reference: 'v1', kind: 'manifest' };

function make(configured: Readonly<Record<string, boolean>> = { 'docker.io': false, 'quay.io': false }) {
  const clock = new FakeClock(BEGIN);
  const offline: OfflineSwitch = new OfflineSwitch({
    clock,
    upstreams: Object.entries(configured).map(([name, isOffline]) => ({ name, isOffline })),
    onChange: () => rehearsals.changed(offline.states),
  });
  onTestFinished(() => offline.close());
  const rehearsals = new Rehearsals(clock, offline.states);
  return { clock, offline, rehearsals };
}

test('a rehearsal lists what failed while it was on, each request once, and is kept when it is over', async () => {
  const { clock, offline, rehearsals } = make();
  rehearsals.failed(REQUEST);
  expect(rehearsals.report).toEqual({});
  offline.set({ isOffline: true, upstreams: ['docker.io'] });
  rehearsals.failed(REQUEST);
  await clock.advance(1000);
  offline.set({ isOffline: true });
  rehearsals.failed(REQUEST);
  rehearsals.failed({ upstream: 'quay.io', repository: 'org/app', reference: undefined, kind: 'tags' });
  const first = { ...REQUEST, count: 2, firstAt: BEGIN, lastAt: BEGIN + 1000 };
  const second = { upstream: 'quay.io', repository: 'org/app', kind: 'tags', count: 1 };
  const expected = {
    begunAt: BEGIN,
    upstreams: ['docker.io', 'quay.io'],
    isConfigured: false,
    requests: [first, { ...second, firstAt: BEGIN + 1000, lastAt: BEGIN + 1000 }],
    failures: 3,
    unlisted: 0,
  };
  expect(rehearsals.report).toEqual({ running: expected });
  await clock.advance(1000);
  offline.set({ isOffline: false });
  rehearsals.failed(REQUEST);
  expect(rehearsals.report).toEqual({ last: { ...expected, endedAt: BEGIN + 2000 } });
  offline.set({ isOffline: true });
  expect(rehearsals.report).toMatchObject({ running: { requests: [] }, last: { failures: 3 } });
});

test('what is offline by configuration is told of apart from a rehearsal', () => {
  const { offline, rehearsals } = make({ 'docker.io': true, 'quay.io': false });
  rehearsals.failed(REQUEST);
  expect(rehearsals.report).toMatchObject({
    running: { isConfigured: true, upstreams: ['docker.io'], failures: 1 },
  });
  offline.set({ isOffline: true });
  expect(rehearsals.report).toMatchObject({
    running: { isConfigured: false, upstreams: ['docker.io', 'quay.io'], failures: 0 },
    last: { isConfigured: true, failures: 1 },
  });
  offline.set({ isOffline: false, upstreams: ['quay.io'] });
  expect(rehearsals.report).toMatchObject({
    running: { isConfigured: true, upstreams: ['docker.io'], failures: 0 },
    last: { isConfigured: false },
  });
});

test('what clients make up takes no more than its bound, and the rest is counted', () => {
  const { offline, rehearsals } = make();
  offline.set({ isOffline: true });
  for (let at = 0; at < 6000; at += 1) rehearsals.failed({ ...REQUEST, reference: `v${at}` });
  rehearsals.failed({ ...REQUEST, reference: 'v0' });
  const { running } = rehearsals.report;
  expect(running?.requests).toHaveLength(5000);
  expect(running?.requests[0]).toMatchObject({ reference: 'v0', count: 2 });
  expect(running).toMatchObject({ failures: 6001, unlisted: 1000 });
});
