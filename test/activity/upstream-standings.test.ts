import { expect, it } from 'vitest';
import { UpstreamStandings } from '../../src/activity/upstream-standings.ts';
import { upstreamStanding } from '../../src/activity/upstream-standing.ts';
import { GENERIC } from '../../src/config-profiles.ts';
import { systemClock } from '../../src/clock.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { UpstreamError } from '../../src/upstream/upstream-error.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import {
  accept,
  failure,
  latest,
  manifestText,
  never,
  repository,
  upstreamAt,
} from '../upstream/upstream-under-test.ts';

const HOUR_MS = 3_600_000;
const QUAY = { name: 'quay.io', url: 'https://quay.io' };

function fake(clock = new FakeClock()) {
  const standings = new UpstreamStandings(clock, [QUAY]);
  const observer = standings.observer('quay.io');
  const now = () => {
    const [standing] = standings.standings;
    if (standing === undefined) throw new Error('there is no standing');
    return upstreamStanding.parse(standing);
  };
  return { clock, standings, observer, now };
}

function answered(code: number | 'error', durationMs = 10) {
  return { kind: 'manifest', method: 'GET', code, durationMs } as const;
}

async function real(config: Parameters<FakeRegistry['configure']>[0] = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
  registry.configure(config);
  const standings = new UpstreamStandings(systemClock, [{ name: 'test.example', url: registry.url }]);
  const upstream = upstreamAt(registry.url, {}, { observer: standings.observer('test.example') });
  const ask = () => upstream.getManifest(repository, latest, { ...accept, patienceMs: 0 }, never());
  return { registry, standings, ask, now: () => standings.standings[0] };
}

it('an upstream that was not asked is unknown, and up since its first answer', async () => {
  const { clock, observer, now } = fake();
  expect(now()).toEqual({
    upstream: 'quay.io',
    url: 'https://quay.io',
    state: 'unknown',
    breaker: 'closed',
    requests: 0,
    failures: 0,
    bytes: 0,
    quotas: [],
    mirrors: [],
    lastErrors: [],
  });
  await clock.advance(5);
  observer.requestFinished(answered(200));
  observer.bytesReceived(7);
  await clock.advance(5);
  observer.requestFinished(answered(404));
  const since = clock.now() - 5;
  expect(now()).toMatchObject({ state: 'up', since, requests: 2, failures: 0, bytes: 7 });
});

it('counts as failures what had no answer and what was a 5xx, not what its asker gave up', () => {
  const { observer, now } = fake();
  const error = new UpstreamError('unavailable', 'the connection was reset');
  observer.requestFinished({ ...answered('error'), error });
  observer.requestFinished(answered('error'));
  observer.requestFinished(answered(503));
  observer.requestFinished(answered(429));
  expect(now()).toMatchObject({ requests: 4, failures: 2 });
});

it('tells the latency of the newest requests that were answered', () => {
  const { observer, now } = fake();
  for (let ms = 1; ms <= 1000; ms += 1) observer.requestFinished(answered(200, 10_000));
  for (let ms = 1; ms <= 512; ms += 1) observer.requestFinished(answered(200, ms));
  observer.requestFinished({ ...answered('error', 90_000) });
  expect(now().latencyMs).toEqual({ p50: 257, p99: 507, samples: 512 });
});

it('is down for what its breaker says, and offline whatever it is', async () => {
  const { clock, standings, observer, now } = fake();
  observer.breakerChanged('open');
  observer.availabilityChanged(new UpstreamError('timeout', 'no answer'));
  expect(now()).toMatchObject({ state: 'down', breaker: 'open', since: clock.now() });
  await clock.advance(1000);
  standings.offlineChanged([{ upstream: 'quay.io', isOffline: true }]);
  await clock.advance(1000);
  standings.offlineChanged([{ upstream: 'quay.io', isOffline: true }]);
  expect(now()).toMatchObject({ state: 'offline', since: clock.now() - 1000 });
  standings.offlineChanged([{ upstream: 'quay.io', isOffline: false }]);
  expect(now()).toMatchObject({ state: 'down', since: clock.now() - 2000 });
});

it('says until when it is paused, and nothing once that is over', async () => {
  const { clock, observer, now } = fake();
  observer.paused({ cause: 'rate-limited', forMs: 3000 });
  observer.paused({ cause: 'pace', forMs: 100 });
  expect(now().pausedUntil).toBe(clock.now() + 3000);
  expect(now().pauses).toBeUndefined();
  observer.paused({ cause: 'rate-limited', forMs: 2000, kind: 'manifest-get' });
  observer.paused({ cause: 'rate-limited', forMs: 1000, kind: 'manifest-get' });
  expect(now().pauses).toEqual([{ kind: 'manifest-get', until: clock.now() + 2000 }]);
  await clock.advance(3000);
  expect(now().pausedUntil).toBeUndefined();
  expect(now().pauses).toBeUndefined();
});

it('knows by when a quota is whole again: a window after less was left for the first time', async () => {
  const { clock, observer, now } = fake();
  const told = { limit: 100, windowMs: 6 * HOUR_MS, account: 'anonymous' };
  const began = clock.now();
  observer.rateLimit({ ...told, remaining: 99 });
  await clock.advance(HOUR_MS);
  observer.rateLimit({ ...told, remaining: 40 });
  expect(now().quotas).toEqual([
    {
      limit: 100,
      remaining: 40,
      windowMs: 6 * HOUR_MS,
      resetsAt: began + 6 * HOUR_MS,
      checkedAt: clock.now(),
    },
  ]);
  observer.rateLimit({ ...told, remaining: 100 });
  expect(now().quotas).toMatchObject([{ remaining: 100, resetsAt: clock.now() + 6 * HOUR_MS }]);
  await clock.advance(7 * HOUR_MS);
  observer.rateLimit({ ...told, remaining: 100 });
  expect(now().quotas).toMatchObject([{ resetsAt: clock.now() + 6 * HOUR_MS }]);
});

it('takes the word of a registry that says when its quota is whole again, account by account', () => {
  const { clock, observer, now } = fake();
  observer.rateLimit({ limit: 5, remaining: 1, resetInMs: 60_000, windowMs: HOUR_MS, account: 'acme' });
  observer.rateLimit({ limit: 9, remaining: 2, account: 'anonymous' });
  expect(now().quotas).toEqual([
    expect.objectContaining({ account: 'acme', resetsAt: clock.now() + 60_000 }),
    { limit: 9, remaining: 2, checkedAt: clock.now() },
  ]);
});

it('keeps a few errors, the newest first, and the same one once', async () => {
  const { clock, observer, now } = fake();
  const fails = (message: string) =>
    observer.tryFailed({ kind: 'blob', error: new UpstreamError('unavailable', message) });
  for (let n = 0; n < 100; n += 1) fails(`trouble ${n}`);
  fails('x'.repeat(100_000));
  await clock.advance(10);
  fails('trouble 99');
  const { lastErrors } = now();
  expect(lastErrors).toHaveLength(10);
  expect(lastErrors[0]).toEqual({ at: clock.now(), kind: 'blob', message: 'trouble 99' });
  expect(lastErrors[1]?.message.length).toBeLessThan(310);
  expect(lastErrors.filter(({ message }) => message === 'trouble 99')).toHaveLength(1);
});

it('has a bound for accounts', () => {
  const { observer, now } = fake();
  for (let n = 0; n < 1000; n += 1) observer.rateLimit({ limit: 1, remaining: 1, account: `account ${n}` });
  expect(now().quotas).toHaveLength(100);
});

it('tells mirrors, in their order, by host', () => {
  const standings = new UpstreamStandings(new FakeClock(), [
    { ...QUAY, mirrors: ['https://one.example:8443/x', 'http://two.example'].map(mirrorAt) },
  ]);
  const cause = new UpstreamError('timeout', 'no answer');
  standings.observer('quay.io').mirrorAvailabilityChanged({ mirror: 'one.example:8443', cause });
  expect(standings.standings[0]?.mirrors).toEqual([
    { mirror: 'one.example:8443', isUp: false },
    { mirror: 'two.example', isUp: true },
  ]);
});

it('begins anew with a new client once that holds, and forgets what is not configured any more', () => {
  const { standings, observer, now } = fake();
  observer.requestFinished(answered(200));
  standings.offlineChanged([{ upstream: 'quay.io', isOffline: true }]);
  const coming = standings.observer('quay.io');
  standings.configured([QUAY], ['quay.io']);
  coming.bytesReceived(3);
  observer.bytesReceived(1000);
  expect(now()).toMatchObject({ state: 'offline', requests: 0, bytes: 3 });
  standings.configured([{ name: 'ghcr.io', url: 'https://ghcr.io' }], ['ghcr.io']);
  expect(standings.standings.map(({ upstream }) => upstream)).toEqual(['ghcr.io']);
  standings.configured([QUAY], ['quay.io']);
  expect(now()).toMatchObject({ state: 'unknown', bytes: 0 });
});

it('goes on hearing the client that holds while others are opened that never will', () => {
  const { standings, observer, now } = fake();
  standings.observer('ghcr.io').bytesReceived(9);
  standings.observer('quay.io').bytesReceived(9);
  observer.breakerChanged('open');
  observer.bytesReceived(1);
  expect(now()).toMatchObject({ breaker: 'open', bytes: 1 });
  // Nor does a client hold that is left from a configuration that was refused.
  const ghcr = { name: 'ghcr.io', url: 'https://ghcr.io' };
  const coming = standings.observer('ghcr.io');
  standings.configured([QUAY, ghcr], ['ghcr.io']);
  coming.bytesReceived(2);
  observer.bytesReceived(1);
  expect(standings.standings.map(({ bytes }) => bytes)).toEqual([2, 2]);
});

it('a real client tells its quota with the window, its pause, and what failed', async () => {
  const { ask, now } = await real({ pullLimit: { limit: 100, remaining: 1 } });
  await ask();
  expect(now()).toMatchObject({
    state: 'up',
    requests: 1,
    quotas: [{ limit: 100, remaining: 0, windowMs: 6 * HOUR_MS }],
    lastErrors: [],
  });
  expect(now()?.pausedUntil).toBeUndefined();
  await failure(ask());
  expect(now()?.pausedUntil).toBeGreaterThan(systemClock.now());
  expect(now()?.lastErrors).toMatchObject([{ kind: 'manifest' }]);
  expect(now()?.failures).toBe(0);
});

it("a real client's breaker opens, is tried out, and closes; its asker's leaving is no failure", async () => {
  const { registry, ask, now } = await real();
  const down = registry.faults.add({ action: { drop: 'reset' } });
  for (let n = 0; n < 3; n += 1) await failure(ask());
  expect(now()).toMatchObject({ state: 'down', breaker: 'open', failures: 3, requests: 3 });
  expect(now()?.lastErrors).toHaveLength(1);
  down.remove();
  await expect
    .poll(() =>
      ask().then(
        () => 'answered',
        () => 'refused',
      ),
    )
    .toBe('answered');
  expect(now()).toMatchObject({ state: 'up', breaker: 'closed' });
});

function mirrorAt(url: string) {
  return { url, trustedHosts: [], profile: GENERIC };
}
