import { expect, it } from 'vitest';
import { createLog } from '../src/log.ts';
import { createMetrics } from '../src/metrics.ts';
import { pullThroughObserver, upkeepObserver } from '../src/observers.ts';
import { digestOf } from '../src/oci/digest.ts';
import { FakeClock } from './support/fake-clock.ts';

function start() {
  const lines: { level: string; msg: string }[] = [];
  const log = createLog({
    level: 'info',
    pretty: false,
    destination: { write: (line) => void lines.push(JSON.parse(line) as { level: string; msg: string }) },
  });
  const metrics = createMetrics({ version: '0.0.0', nodeVersion: 'v0', upstreams: [] });
  return {
    lines,
    metrics,
    cache: pullThroughObserver({ log, metrics, clock: new FakeClock() }),
    upkeep: upkeepObserver({ log, metrics }),
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
