import { expect, it } from 'vitest';
import { createLog } from '../src/log-output.ts';
import { EvictionLines, upstreamStateLines } from '../src/state-lines.ts';
import { FakeClock } from './support/fake-clock.ts';

const MINUTE_MS = 60_000;
const NOW = Date.UTC(2030, 0, 1);

function start() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog({
    level: 'info',
    destination: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  });
  const clock = new FakeClock(NOW);
  const messages = () => lines.map(({ msg }) => msg);
  return { lines, messages, clock, log };
}

it('eviction that goes on for long is a line when it begins, one a minute, and one when it ended', async () => {
  const { lines, messages, clock, log } = start();
  const evictions = new EvictionLines(log, clock);
  for (let step = 0; step < 150; step += 1) {
    evictions.evicted({ blobs: 10, bytes: 100, reason: step < 100 ? 'limit' : 'disk', agesMs: [] });
    await clock.advance(1000);
  }
  await clock.advance(5 * MINUTE_MS);
  expect(messages()).toEqual([
    'eviction began',
    'evicted to make room',
    'evicted to make room',
    'evicted to make room',
    'eviction ended',
  ]);
  expect(lines.slice(1, 4).map(({ blobs }) => blobs)).toEqual([600, 600, 300]);
  expect(lines[2]).toMatchObject({ level: 'info', bytes: 6000, reasons: ['limit', 'disk'], seconds: 60 });
  evictions.evicted({ blobs: 1, bytes: 1, reason: 'age', agesMs: [] });
  expect(lines.at(-1)).toMatchObject({ msg: 'eviction began', reason: 'age' });
});

it('a limited upstream is a line that says until when, and another when that is put off for long', async () => {
  const { lines, clock, log } = start();
  const { paused } = upstreamStateLines('docker.io', log, clock);
  for (let at = 0; at < 20; at += 1) paused({ cause: 'rate-limited', forMs: 5 * MINUTE_MS });
  paused({ cause: 'pace', forMs: 60 * MINUTE_MS });
  await clock.advance(MINUTE_MS / 2);
  paused({ cause: 'rate-limited', forMs: 5 * MINUTE_MS });
  expect(lines).toMatchObject([
    { level: 'warn', upstream: 'docker.io', until: '2030-01-01T00:05:00.000Z', seconds: 300 },
  ]);
  paused({ cause: 'rate-limited', forMs: 60 * MINUTE_MS });
  expect(lines.map(({ until }) => until)).toEqual(['2030-01-01T00:05:00.000Z', '2030-01-01T01:00:30.000Z']);
});

it('a breaker that looks again and again is one line when it opens, and one when it closes', () => {
  const { messages, clock, log } = start();
  const { breakerChanged } = upstreamStateLines('docker.io', log, clock);
  for (const phase of ['open', 'half-open', 'open', 'half-open', 'open', 'half-open', 'closed'] as const)
    breakerChanged(phase);
  expect(messages()).toEqual([
    'the breaker is open: what is not cached fails soon',
    'the breaker is closed: the upstream is asked as before',
  ]);
});
