import { register as globalRegistry } from 'prom-client';
import { expect, test } from 'vitest';
import type { GaugeValues } from '../src/metrics-standing.ts';
import { createMetrics, type Metrics } from '../src/metrics.ts';
import { processorMs } from './support/processor-time.ts';

const UPSTREAMS = ['docker.io', 'quay.io'];

function metrics(): Metrics {
  return createMetrics({ version: '1.2.3', nodeVersion: 'v20.0.0', upstreams: UPSTREAMS });
}

/** The samples of `name`, with their labels as they are printed. */
async function samples(of: Metrics, name: string): Promise<Record<string, number>> {
  const { text } = await of.render();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return Object.fromEntries(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(name.length, space), Number(line.slice(space + 1))];
    }),
  );
}

async function seriesCount(of: Metrics): Promise<number> {
  return (await of.render()).text.split('\n').filter((line) => line.startsWith('entrepot_')).length;
}

const HIT = {
  upstream: 'docker.io',
  kind: 'blob',
  outcome: 'hit',
  code: 200,
  bytes: 1000,
  durationMs: 30,
} as const;

test('every metric of the contract is there from the start, with its help and type', async () => {
  const { text, contentType } = await metrics().render();
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  const types = Object.fromEntries(
    Array.from(text.matchAll(/^# TYPE (entrepot_\S+) (\S+)$/gm), ([, name, type]) => [name, type]),
  );
  expect(types).toEqual({
    entrepot_config_last_reload_successful: 'gauge',
    entrepot_config_reloads_total: 'counter',
    entrepot_connections_refused_total: 'counter',
    entrepot_tls_certificate_expiry_timestamp_seconds: 'gauge',
    entrepot_requests_total: 'counter',
    entrepot_response_bytes_total: 'counter',
    entrepot_request_duration_seconds: 'histogram',
    entrepot_time_to_first_byte_seconds: 'histogram',
    entrepot_upstream_requests_total: 'counter',
    entrepot_upstream_request_duration_seconds: 'histogram',
    entrepot_upstream_bytes_total: 'counter',
    entrepot_upstream_ratelimit_limit: 'gauge',
    entrepot_upstream_ratelimit_remaining: 'gauge',
    entrepot_upstream_up: 'gauge',
    entrepot_verified_bytes_total: 'counter',
    entrepot_mirror_up: 'gauge',
    entrepot_upstream_retries_total: 'counter',
    entrepot_fills_resumed_total: 'counter',
    entrepot_response_size_bytes: 'histogram',
    entrepot_saved_bytes_total: 'counter',
    entrepot_saved_pulls_total: 'counter',
    entrepot_requests_in_flight: 'gauge',
    entrepot_upstream_ratelimit_window_seconds: 'gauge',
    entrepot_upstream_ratelimit_reset_timestamp_seconds: 'gauge',
    entrepot_upstream_breaker_state: 'gauge',
    entrepot_upstream_paused_until_timestamp_seconds: 'gauge',
    entrepot_fills_total: 'counter',
    entrepot_fills_failed_total: 'counter',
    entrepot_fill_clients: 'histogram',
    entrepot_fill_oldest_age_seconds: 'gauge',
    entrepot_eviction_age_seconds: 'histogram',
    entrepot_store_max_bytes: 'gauge',
    entrepot_store_quarantined_bytes: 'gauge',
    entrepot_store_pinned_bytes: 'gauge',
    entrepot_store_disk_free_bytes: 'gauge',
    entrepot_store_oldest_use_timestamp_seconds: 'gauge',
    entrepot_store_upstream_bytes: 'gauge',
    entrepot_store_upstream_limit_bytes: 'gauge',
    entrepot_front_cpu_seconds_total: 'counter',
    entrepot_front_resident_memory_bytes: 'gauge',
    entrepot_front_restarts_total: 'counter',
    entrepot_fronts: 'gauge',
    entrepot_index_bytes: 'gauge',
    entrepot_index_wal_bytes: 'gauge',
    entrepot_warm_jobs: 'gauge',
    entrepot_evictions_total: 'counter',
    entrepot_evicted_bytes_total: 'counter',
    entrepot_integrity_failures_total: 'counter',
    entrepot_cache_errors_total: 'counter',
    entrepot_unexpected_errors_total: 'counter',
    entrepot_fills_in_flight: 'gauge',
    entrepot_fill_readers: 'gauge',
    entrepot_store_bytes: 'gauge',
    entrepot_store_limit_bytes: 'gauge',
    entrepot_store_reserved_bytes: 'gauge',
    entrepot_store_trouble: 'gauge',
    entrepot_store_blobs: 'gauge',
    entrepot_offline: 'gauge',
    entrepot_warm_runs_total: 'counter',
    entrepot_warm_running: 'gauge',
    entrepot_warm_next_run_timestamp_seconds: 'gauge',
    entrepot_warm_last_run_timestamp_seconds: 'gauge',
    entrepot_warm_last_success_timestamp_seconds: 'gauge',
    entrepot_warm_last_run_duration_seconds: 'gauge',
    entrepot_warm_failed_images: 'gauge',
    entrepot_warm_fetched_bytes_total: 'counter',
    entrepot_build_info: 'gauge',
  });
  for (const name of Object.keys(types)) expect(text).toMatch(new RegExp(`^# HELP ${name} \\S.*\\.$`, 'm'));
  expect(text).toContain('entrepot_build_info{version="1.2.3",node="v20.0.0"} 1');
  expect(text).toContain('process_cpu_seconds_total');
  expect(text).toContain('nodejs_eventloop_lag_seconds');
});

test('a finished request is counted with its bytes and its times', async () => {
  const subject = metrics();
  subject.requestFinished({ ...HIT, timeToFirstByteMs: 2 });
  subject.requestFinished({ ...HIT, code: 206, bytes: 1 });
  subject.requestFinished({ kind: 'base', outcome: 'none', code: 200, bytes: 2, durationMs: 0.5 });
  expect(await samples(subject, 'entrepot_requests_total')).toEqual({
    '{upstream="docker.io",kind="blob",outcome="hit",code="200"}': 1,
    '{upstream="docker.io",kind="blob",outcome="hit",code="206"}': 1,
    '{upstream="none",kind="base",outcome="none",code="200"}': 1,
  });
  expect(await samples(subject, 'entrepot_response_bytes_total')).toEqual({
    '{upstream="docker.io",kind="blob",outcome="hit"}': 1001,
    '{upstream="none",kind="base",outcome="none"}': 2,
  });
  const buckets = await samples(subject, 'entrepot_request_duration_seconds_bucket');
  expect(buckets['{le="0.025",kind="blob",outcome="hit"}']).toBe(0);
  expect(buckets['{le="0.05",kind="blob",outcome="hit"}']).toBe(2);
  expect(buckets['{le="600",kind="blob",outcome="hit"}']).toBe(2);
  expect(buckets['{le="+Inf",kind="blob",outcome="hit"}']).toBe(2);
  expect(await samples(subject, 'entrepot_request_duration_seconds_sum')).toMatchObject({
    '{kind="blob",outcome="hit"}': 0.06,
  });
  expect(await samples(subject, 'entrepot_time_to_first_byte_seconds_count')).toEqual({
    '{kind="blob",outcome="hit"}': 1,
    '{kind="base",outcome="none"}': 0,
  });
});

test('a duration on a bound counts below it, one beyond all bounds is only in +Inf', async () => {
  const subject = metrics();
  subject.requestFinished({ ...HIT, durationMs: 1 });
  subject.requestFinished({ ...HIT, durationMs: 600_001 });
  subject.requestFinished({ ...HIT, durationMs: Number.NaN });
  const buckets = await samples(subject, 'entrepot_request_duration_seconds_bucket');
  expect(buckets['{le="0.001",kind="blob",outcome="hit"}']).toBe(2);
  expect(buckets['{le="600",kind="blob",outcome="hit"}']).toBe(2);
  expect(buckets['{le="+Inf",kind="blob",outcome="hit"}']).toBe(3);
});

test('what an upstream answers, sends and limits is counted', async () => {
  const subject = metrics();
  subject.upstreams.requestFinished({
    upstream: 'quay.io',
    kind: 'blob',
    method: 'GET',
    code: 200,
    durationMs: 5,
  });
  subject.upstreams.requestFinished({ upstream: 'quay.io', kind: 'blob', method: 'GET', durationMs: 5 });
  subject.upstreams.bytes('quay.io', 10);
  subject.upstreams.bytes('quay.io', 20);
  subject.upstreams.retried('quay.io');
  subject.upstreams.up('quay.io', false);
  subject.upstreams.quota('docker.io', { limit: 100, remaining: 76, windowMs: 60_000, resetsAt: 5000 });
  subject.upstreams.quota('docker.io', { remaining: 75 });
  expect(await samples(subject, 'entrepot_upstream_requests_total')).toEqual({
    '{upstream="quay.io",kind="blob",method="GET",code="200"}': 1,
    '{upstream="quay.io",kind="blob",method="GET",code="none"}': 1,
  });
  expect(await samples(subject, 'entrepot_upstream_request_duration_seconds_count')).toEqual({
    '{upstream="quay.io",kind="blob"}': 2,
  });
  expect(await samples(subject, 'entrepot_upstream_bytes_total')).toMatchObject({
    '{upstream="quay.io"}': 30,
  });
  expect(await samples(subject, 'entrepot_upstream_retries_total')).toMatchObject({
    '{upstream="quay.io"}': 1,
  });
  expect(await samples(subject, 'entrepot_upstream_up')).toEqual({
    '{upstream="docker.io"}': 1,
    '{upstream="quay.io"}': 0,
  });
  const labels = '{upstream="docker.io",account="anonymous"}';
  expect(await samples(subject, 'entrepot_upstream_ratelimit_limit')).toEqual({ [labels]: 100 });
  expect(await samples(subject, 'entrepot_upstream_ratelimit_remaining')).toEqual({ [labels]: 75 });
  expect(await samples(subject, 'entrepot_upstream_ratelimit_window_seconds')).toEqual({ [labels]: 60 });
  expect(await samples(subject, 'entrepot_upstream_ratelimit_reset_timestamp_seconds')).toEqual({
    [labels]: 5,
  });
});

test('faults of the cache are counted where they happened', async () => {
  const subject = metrics();
  subject.integrityFailure('read');
  subject.cacheError('metadata');
  subject.fills.resumed();
  subject.store.evicted({ blobs: 2, bytes: 300, reason: 'limit', agesMs: [1000, 100_000_000] });
  subject.unexpectedError();
  expect(await samples(subject, 'entrepot_integrity_failures_total')).toEqual({
    '{where="fill"}': 0,
    '{where="open"}': 0,
    '{where="read"}': 1,
    '{where="reconcile"}': 0,
    '{where="scrub"}': 0,
    '{where="verify"}': 0,
    '{where="manifest"}': 0,
  });
  expect(await samples(subject, 'entrepot_cache_errors_total')).toMatchObject({ '{where="metadata"}': 1 });
  expect(await samples(subject, 'entrepot_fills_resumed_total')).toEqual({ '': 1 });
  const evictions = await samples(subject, 'entrepot_evictions_total');
  expect(evictions).toMatchObject({ '{reason="limit"}': 2, '{reason="age"}': 0, '{reason="disk"}': 0 });
  expect(await samples(subject, 'entrepot_evicted_bytes_total')).toMatchObject({ '{reason="limit"}': 300 });
  expect(await samples(subject, 'entrepot_eviction_age_seconds_bucket')).toMatchObject({
    '{le="60"}': 1,
    '{le="86400"}': 1,
    '{le="259200"}': 2,
  });
  expect(await samples(subject, 'entrepot_unexpected_errors_total')).toEqual({ '': 1 });
});

const STANDING: GaugeValues = {
  requestsInFlight: 0,
  fillsInFlight: 1,
  fillReaders: 2,
  oldestFillSeconds: 3,
  storeBytes: 7,
  storeLimitBytes: 9,
  storeMaxBytes: 10,
  storeReservedBytes: 3,
  storeBlobs: 4,
  storeQuarantinedBytes: 0,
  warmJobs: 0,
  byUpstream: [],
};

test('gauges are asked for at each scrape, and a source that fails does not fail the scrape', async () => {
  const subject = metrics();
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({});
  let storeBytes = 7;
  subject.gauges(async () => {
    if (storeBytes < 0) throw new Error('closed');
    return { ...STANDING, storeBytes };
  });
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 7 });
  storeBytes = 8;
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 8 });
  storeBytes = -1;
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 8 });
  expect(await samples(subject, 'entrepot_cache_errors_total')).toMatchObject({ '{where="scrape"}': 2 });
});

test('what is not known yet is not shown as zero, and shares of unknown upstreams are one', async () => {
  const subject = metrics();
  let pinned: number | undefined;
  subject.gauges(() => ({
    ...STANDING,
    storePinnedBytes: pinned,
    byUpstream: [
      { upstream: 'quay.io', bytes: 5, limitBytes: 50 },
      { upstream: 'gone.example', bytes: 1, limitBytes: 2 },
      { upstream: 'also-gone.example', bytes: 2 },
    ],
  }));
  expect(await samples(subject, 'entrepot_store_pinned_bytes')).toEqual({});
  pinned = 6;
  expect(await samples(subject, 'entrepot_store_pinned_bytes')).toEqual({ '': 6 });
  expect(await samples(subject, 'entrepot_store_upstream_bytes')).toEqual({
    '{upstream="quay.io"}': 5,
    '{upstream="other"}': 3,
  });
  expect(await samples(subject, 'entrepot_store_upstream_limit_bytes')).toEqual({
    '{upstream="quay.io"}': 50,
  });
});

test('what was spared is counted: bytes, and manifests given by GET', async () => {
  const subject = metrics();
  const pull = { ...HIT, kind: 'manifest', isPull: true, bytes: 10 } as const;
  subject.requestFinished(HIT);
  for (const outcome of ['hit', 'revalidated', 'stale', 'joined', 'miss', 'bypass'] as const)
    subject.requestFinished({ ...pull, outcome });
  subject.requestFinished({ ...pull, isPull: false, bytes: 0 });
  const none = { '{upstream="quay.io"}': 0 };
  expect(await samples(subject, 'entrepot_saved_bytes_total')).toEqual({
    '{upstream="docker.io"}': 1040,
    ...none,
  });
  expect(await samples(subject, 'entrepot_saved_pulls_total')).toEqual({
    '{upstream="docker.io"}': 4,
    ...none,
  });
});

test('sizes of answers are told from 1 KiB to 10 GiB; an answer without a body has none', async () => {
  const subject = metrics();
  for (const bytes of [0, 1, 1024, 1025, 10 * 2 ** 30, 11 * 2 ** 30])
    subject.requestFinished({ ...HIT, bytes });
  const buckets = await samples(subject, 'entrepot_response_size_bytes_bucket');
  expect(buckets).toMatchObject({
    '{le="1024",kind="blob"}': 2,
    '{le="4096",kind="blob"}': 3,
    '{le="4294967296",kind="blob"}': 3,
    '{le="10737418240",kind="blob"}': 4,
    '{le="+Inf",kind="blob"}': 5,
  });
});

test('fills are counted by how they ended, by why they failed, and by how many they were for', async () => {
  const subject = metrics();
  subject.fills.ended({ outcome: 'stored', readers: 3 });
  subject.fills.ended({ outcome: 'failed', readers: 1 });
  subject.fills.failed('timeout');
  subject.fills.failed('a reason that nobody knows');
  subject.fills.failed(undefined);
  expect(await samples(subject, 'entrepot_fills_total')).toEqual({
    '{outcome="stored"}': 1,
    '{outcome="passed"}': 0,
    '{outcome="failed"}': 1,
    '{outcome="given-up"}': 0,
  });
  const failed = await samples(subject, 'entrepot_fills_failed_total');
  expect(failed).toMatchObject({ '{reason="timeout"}': 1, '{reason="other"}': 2, '{reason="corrupt"}': 0 });
  expect(await samples(subject, 'entrepot_fill_clients_bucket')).toMatchObject({
    '{le="1"}': 1,
    '{le="5"}': 2,
  });
  expect(await samples(subject, 'entrepot_fill_clients_sum')).toEqual({ '': 4 });
});

test('a breaker is in one of its states, and a pause lasts until the latest time that was told', async () => {
  const subject = metrics();
  subject.upstreams.breaker('quay.io', 'open');
  const states = await samples(subject, 'entrepot_upstream_breaker_state');
  expect(states).toMatchObject({
    '{upstream="quay.io",state="open"}': 1,
    '{upstream="quay.io",state="closed"}': 0,
    '{upstream="docker.io",state="closed"}': 1,
  });
  for (const at of [5000, 9000, 7000]) subject.upstreams.figures('quay.io').pausedUntil(at);
  expect(await samples(subject, 'entrepot_upstream_paused_until_timestamp_seconds')).toEqual({
    '{upstream="docker.io"}': 0,
    '{upstream="quay.io"}': 9,
  });
});

test('upstreams that are configured later get names of their own, and those that are gone stand nowhere', async () => {
  const subject = metrics();
  subject.upstreams.quota('quay.io', { limit: 1 });
  subject.upstreams.mirrorUp('quay.io', 'mirror.example', true);
  subject.configured(['docker.io', 'ghcr.io']);
  subject.requestFinished({ ...HIT, upstream: 'ghcr.io' });
  subject.requestFinished({ ...HIT, upstream: 'quay.io' });
  subject.upstreams.up('docker.io', false);
  subject.configured(['docker.io', 'ghcr.io']);
  expect(await samples(subject, 'entrepot_upstream_up')).toEqual({
    '{upstream="docker.io"}': 0,
    '{upstream="ghcr.io"}': 1,
  });
  expect(await samples(subject, 'entrepot_upstream_ratelimit_limit')).toEqual({});
  expect(await samples(subject, 'entrepot_mirror_up')).toEqual({});
  const labels = Object.keys(await samples(subject, 'entrepot_requests_total'));
  expect(labels.map((label) => /upstream="([^"]*)"/.exec(label)?.[1])).toEqual(['ghcr.io', 'other']);
});

function ours(text: string): readonly string[] {
  return text.split('\n').filter((line) => line.startsWith('entrepot_'));
}

test('OpenMetrics says the same with its own names of families, and ends', async () => {
  const subject = metrics();
  subject.requestFinished({ ...HIT, timeToFirstByteMs: 2 });
  const plain = await subject.render();
  const open = await subject.render('openmetrics');
  const again = await subject.render();
  expect(open.contentType).toBe('application/openmetrics-text; version=1.0.0; charset=utf-8');
  expect(again.contentType).toBe(plain.contentType);
  const lines = open.text.split('\n');
  expect(lines.slice(-2)).toEqual(['# EOF', '']);
  expect(lines.slice(0, -1)).not.toContain('');
  expect(lines).toContain('# TYPE entrepot_requests counter');
  expect(open.text).toMatch(/^# HELP entrepot_requests Requests answered\.$/m);
  expect(open.text).not.toMatch(/^# (?:TYPE|HELP) (?:entrepot|process)\S+_total /m);
  expect(ours(open.text)).toEqual(ours(plain.text));
  expect(ours(again.text)).toEqual(ours(plain.text));
});

test('names, accounts and statuses from outside make no series of their own', async () => {
  const subject = metrics();
  const attack = (index: number) => {
    const upstream = `evil-${index}.example`;
    subject.requestFinished({ ...HIT, upstream, code: 200 + index });
    subject.upstreams.requestFinished({
      upstream,
      kind: 'blob',
      method: 'GET',
      code: 520 + index,
      durationMs: 1,
    });
    subject.upstreams.bytes(upstream, 1);
    subject.upstreams.retried(upstream);
    subject.upstreams.up(upstream, true);
    subject.upstreams.quota(upstream, { account: `account-${index}`, limit: 1, remaining: 1 });
  };
  for (let index = 0; index < 1000; index += 1) attack(index);
  const before = await seriesCount(subject);
  for (let index = 1000; index < 100_000; index += 1) attack(index);
  expect(await seriesCount(subject)).toBe(before);
  const requests = await samples(subject, 'entrepot_requests_total');
  expect(Object.keys(requests).every((labels) => labels.includes('upstream="other"'))).toBe(true);
  expect(Object.values(requests).reduce((sum, count) => sum + count, 0)).toBe(100_000);
});

test('two sets of metrics share nothing, and the global registry stays empty', async () => {
  const [one, other] = [metrics(), metrics()];
  one.requestFinished(HIT);
  expect(await samples(other, 'entrepot_requests_total')).toEqual({});
  expect(globalRegistry.getMetricsAsArray()).toEqual([]);
});

test('counting a request costs less than two microseconds', () => {
  const subject = metrics();
  const request = { ...HIT, timeToFirstByteMs: 1 };
  const round = () =>
    processorMs(() => {
      for (let index = 0; index < 50_000; index += 1) subject.requestFinished(request);
    }) / 50;
  // The best of several rounds: the others measure the machine's other work.
  expect(Math.min(...Array.from({ length: 10 }, round))).toBeLessThan(2);
});

test('a scrape costs less than ten milliseconds of processor time, though twenty upstreams were asked for everything', async () => {
  const upstreams = Array.from({ length: 20 }, (_, at) => `registry-${at}.example`);
  const subject = createMetrics({ version: '1.2.3', nodeVersion: 'v20.0.0', upstreams });
  const outcomes = ['hit', 'revalidated', 'stale', 'miss', 'joined', 'bypass', 'none'] as const;
  for (const upstream of upstreams)
    for (const kind of ['manifest', 'blob', 'tags'] as const)
      for (const code of [200, 206, 404]) {
        for (const outcome of outcomes)
          subject.requestFinished({ ...HIT, upstream, kind, outcome, code, timeToFirstByteMs: 1 });
        for (const method of ['GET', 'HEAD'] as const)
          subject.upstreams.requestFinished({ upstream, kind, method, code, durationMs: 1 });
      }
  const times: number[] = [];
  for (let round = 0; round < 40; round += 1) {
    const began = process.cpuUsage();
    await subject.render('openmetrics');
    const { user, system } = process.cpuUsage(began);
    times.push((user + system) / 1000);
  }
  expect(await seriesCount(subject)).toBeGreaterThan(4000);
  // The best of several: the others measure the machine's other work.
  expect(Math.min(...times)).toBeLessThan(10);
});

test('what stands is shown of configured upstreams alone, also while others finish what they began', async () => {
  const subject = metrics();
  const standing = async () =>
    (await subject.render()).text
      .split('\n')
      .filter((line) => /^entrepot_(?:upstream_(?:up|breaker|paused|ratelimit)|mirror|offline)/.test(line));
  const tell = (upstream: string) => {
    subject.upstreams.up(upstream, false);
    subject.upstreams.breaker(upstream, 'open');
    subject.upstreams.mirrorUp(upstream, 'mirror.example', false);
    subject.upstreams.quota(upstream, { limit: 1, remaining: 0, windowMs: 1, resetsAt: 1 });
    subject.upstreams.pausedUntil(upstream, 1000);
    subject.offline.set(upstream, true);
  };
  const before = await standing();
  tell('gone.example');
  expect(await standing()).toEqual(before);
  tell('quay.io');
  expect((await standing()).length).toBeGreaterThan(before.length);
  subject.configured(['docker.io']);
  subject.offline.gone('quay.io');
  tell('quay.io');
  expect(await standing()).toEqual(before.filter((line) => line.includes('docker.io')));
});
