import { expect, it } from 'vitest';
import { Activity } from '../src/activity/activity.ts';
import { createLog } from '../src/log-output.ts';
import { createMetrics } from '../src/metrics.ts';
import { pullThroughObserver, upkeepObserver, upstreamObserver } from '../src/observers.ts';
import { digestOf } from '../src/oci/digest.ts';
import { UpstreamError } from '../src/upstream/upstream-error.ts';
import { FakeClock } from './support/fake-clock.ts';

function start() {
  const lines: { level: string; msg: string }[] = [];
  const log = createLog({
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line) as { level: string; msg: string }) },
  });
  const metrics = createMetrics({ version: '0.0.0', nodeVersion: 'v0', upstreams: ['quay.io'] });
  const clock = new FakeClock();
  return {
    lines,
    metrics,
    cache: pullThroughObserver({ log, metrics, clock: new FakeClock() }),
    upkeep: upkeepObserver({ log, metrics }),
    upstream: () => upstreamObserver('quay.io', { log, metrics, activity: new Activity(clock), clock }),
  };
}

it('a million files that are gone are one line, and a count of a million', async () => {
  const { lines, metrics, cache, upkeep } = start();
  for (let n = 0; n < 1000; n += 1)
    cache.integrityFailure('reconcile', digestOf(Buffer.from(String(n))), new Error('the file is gone'));
  upkeep.reconcileEnded({
    phase: 'done',
    files: 0,
    adopted: 0,
    adoptedBytes: 0,
    quarantined: 0,
    unreadable: 0,
    strays: 0,
    dropped: 1000,
    unindexedBytes: 0,
  });
  expect(lines).toMatchObject([{ level: 'warn', msg: 'files and index agree', dropped: 1000 }]);
  const { text } = await metrics.render();
  expect(text).toContain('entrepot_integrity_failures_total{where="reconcile"} 1000');
});

it('wrong bytes that somebody asked for, or that the scrub found, are a line each', () => {
  const { lines, cache } = start();
  for (const where of ['open', 'read', 'scrub', 'verify'] as const)
    cache.integrityFailure(where, digestOf(Buffer.from('x')), new Error('other bytes'));
  expect(lines.map(({ level }) => level)).toEqual(['error', 'error', 'error', 'error']);
});

it('an upstream whose new client is asked stands as it does, not as the one before', async () => {
  const { metrics, upstream } = start();
  const cause = new UpstreamError('timeout', 'no answer');
  const before = upstream();
  before.breakerChanged('open');
  before.availabilityChanged(cause);
  before.mirrorAvailabilityChanged({ mirror: 'mirror.example', cause });
  const next = upstream();
  const stands = async (): Promise<readonly string[]> => {
    const { text } = await metrics.render();
    return text.match(/^entrepot_(?:upstream_up|mirror_up|upstream_breaker_state\S*"open").* \d$/gm) ?? [];
  };
  expect(await stands()).toEqual([
    'entrepot_upstream_up{upstream="quay.io"} 0',
    'entrepot_mirror_up{upstream="quay.io",mirror="mirror.example"} 0',
    'entrepot_upstream_breaker_state{upstream="quay.io",state="open"} 1',
  ]);
  next.requestStarted({ kind: 'blob', method: 'GET' });
  expect(await stands()).toEqual([
    'entrepot_upstream_up{upstream="quay.io"} 1',
    'entrepot_upstream_breaker_state{upstream="quay.io",state="open"} 0',
  ]);
});
