import { register as globalRegistry } from 'prom-client';
import { expect, test } from 'vitest';
import { createMetrics, type Metrics } from '../src/metrics.ts';

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
  subject.upstreamRequestFinished({
    upstream: 'quay.io',
    kind: 'blob',
    method: 'GET',
    code: 200,
    durationMs: 5,
  });
  subject.upstreamRequestFinished({ upstream: 'quay.io', kind: 'blob', method: 'GET', durationMs: 5 });
  subject.upstreamBytes('quay.io', 10);
  subject.upstreamBytes('quay.io', 20);
  subject.upstreamRetried('quay.io');
  subject.upstreamUp('quay.io', false);
  subject.rateLimit({ upstream: 'docker.io', limit: 100, remaining: 76 });
  subject.rateLimit({ upstream: 'docker.io', remaining: 75 });
  expect(await samples(subject, 'entrepot_upstream_requests_total')).toEqual({
    '{upstream="quay.io",kind="blob",method="GET",code="200"}': 1,
    '{upstream="quay.io",kind="blob",method="GET",code="none"}': 1,
  });
  expect(await samples(subject, 'entrepot_upstream_request_duration_seconds_count')).toEqual({
    '{upstream="quay.io",kind="blob"}': 2,
  });
  expect(await samples(subject, 'entrepot_upstream_bytes_total')).toEqual({ '{upstream="quay.io"}': 30 });
  expect(await samples(subject, 'entrepot_upstream_retries_total')).toMatchObject({
    '{upstream="quay.io"}': 1,
  });
  expect(await samples(subject, 'entrepot_upstream_up')).toEqual({ '{upstream="quay.io"}': 0 });
  const labels = '{upstream="docker.io",account="anonymous"}';
  expect(await samples(subject, 'entrepot_upstream_ratelimit_limit')).toEqual({ [labels]: 100 });
  expect(await samples(subject, 'entrepot_upstream_ratelimit_remaining')).toEqual({ [labels]: 75 });
});

test('faults of the cache are counted where they happened', async () => {
  const subject = metrics();
  subject.integrityFailure('read');
  subject.cacheError('metadata');
  subject.fillResumed();
  subject.evicted(2, 300);
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
  expect(await samples(subject, 'entrepot_evictions_total')).toEqual({ '': 2 });
  expect(await samples(subject, 'entrepot_evicted_bytes_total')).toEqual({ '': 300 });
  expect(await samples(subject, 'entrepot_unexpected_errors_total')).toEqual({ '': 1 });
});

test('gauges are asked for at each scrape, and a source that fails does not fail the scrape', async () => {
  const subject = metrics();
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 0 });
  let storeBytes = 7;
  subject.gauges(async () => {
    if (storeBytes < 0) throw new Error('closed');
    return {
      fillsInFlight: 1,
      fillReaders: 2,
      storeBytes,
      storeLimitBytes: 9,
      storeReservedBytes: 3,
      storeBlobs: 4,
    };
  });
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 7 });
  storeBytes = 8;
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 8 });
  storeBytes = -1;
  expect(await samples(subject, 'entrepot_store_bytes')).toEqual({ '': 8 });
  expect(await samples(subject, 'entrepot_cache_errors_total')).toMatchObject({ '{where="scrape"}': 2 });
});

test('names, accounts and statuses from outside make no series of their own', async () => {
  const subject = metrics();
  const attack = (index: number) => {
    const upstream = `evil-${index}.example`;
    subject.requestFinished({ ...HIT, upstream, code: 200 + index });
    subject.upstreamRequestFinished({
      upstream,
      kind: 'blob',
      method: 'GET',
      code: 520 + index,
      durationMs: 1,
    });
    subject.upstreamBytes(upstream, 1);
    subject.upstreamRetried(upstream);
    subject.upstreamUp(upstream, true);
    subject.rateLimit({ upstream, account: `account-${index}`, limit: 1, remaining: 1 });
  };
  for (let index = 0; index < 1000; index += 1) attack(index);
  const before = await seriesCount(subject);
  for (let index = 1000; index < 20_000; index += 1) attack(index);
  expect(await seriesCount(subject)).toBe(before);
  const requests = await samples(subject, 'entrepot_requests_total');
  expect(Object.keys(requests).every((labels) => labels.includes('upstream="other"'))).toBe(true);
  expect(Object.values(requests).reduce((sum, count) => sum + count, 0)).toBe(20_000);
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
  const round = () => {
    const start = performance.now();
    for (let index = 0; index < 50_000; index += 1) subject.requestFinished(request);
    return (performance.now() - start) / 50;
  };
  // The best of several rounds: the others measure the machine's other work.
  expect(Math.min(...Array.from({ length: 10 }, round))).toBeLessThan(2);
});
