import type { TrafficStep } from '../activity/activity-events.ts';
import type { LiveView } from '../activity/live-view.ts';
import { beginningOf } from '../activity/traffic-history.ts';
import type { UpstreamStanding } from '../activity/upstream-standing.ts';
import { systemClock } from '../clock.ts';
import { shortDigest } from './images.ts';
import { counted, printAge, printBytes, printShare } from '../quantity-text.ts';
import { textTable } from './text-table.ts';

/** What a server that runs tells of what goes on. */
export interface FoundActivity {
  readonly upstreams: readonly UpstreamStanding[];
  /** Of `HISTORY_MS`, or since the server began; oldest first. */
  readonly history: readonly TrafficStep[];
  readonly live: LiveView;
}

/** So that all of it stays on one screen. */
const FILLS_SHOWN = 8;
/** How far back traffic is shown. */
export const HISTORY_MS = 3_600_000;
const SHORT_MS = 5 * 60_000;

export function printActivity({ upstreams, history, live }: FoundActivity): string {
  return [`\n${upstreamTable(upstreams)}`, `\n${trafficText(history)}`, liveText(live)].join('');
}

function upstreamTable(upstreams: readonly UpstreamStanding[]): string {
  const now = systemClock.now();
  const rows = upstreams.map((found) => [
    found.upstream,
    found.since === undefined ? found.state : `${found.state} since ${printAge(found.since, now)}`,
    found.breaker,
    found.latencyMs === undefined
      ? '-'
      : `${Math.round(found.latencyMs.p50)} / ${Math.round(found.latencyMs.p99)} ms`,
    failuresOf(found),
    quotaOf(found),
    remarkOf(found, now),
  ]);
  return textTable(['upstream', 'is', 'breaker', 'p50 / p99', 'failed', 'quota left', ''], rows);
}

function failuresOf({ requests, failures }: UpstreamStanding): string {
  return requests === 0 ? '-' : `${failures} of ${requests.toLocaleString('en-US')}`;
}

function quotaOf({ quotas }: UpstreamStanding): string {
  const texts = quotas.map(({ account, limit, remaining }) => {
    const left = `${remaining ?? '?'} of ${limit ?? '?'}`;
    return account === undefined ? left : `${left} (${account})`;
  });
  return texts.length === 0 ? '-' : texts.join(', ');
}

function remarkOf({ pausedUntil, mirrors, lastErrors }: UpstreamStanding, now: number): string {
  if (pausedUntil !== undefined && pausedUntil > now)
    return `paused until ${new Date(pausedUntil).toISOString()}`;
  const down = mirrors.filter(({ isUp }) => !isUp).map(({ mirror }) => mirror);
  if (down.length > 0) return `mirrors down: ${down.join(', ')}`;
  const [last] = lastErrors;
  return last === undefined ? '' : `${printAge(last.at, now)}: ${last.message.slice(0, 60)}`;
}

function trafficText(history: readonly TrafficStep[]): string {
  const since = (history.at(-1)?.at ?? 0) - SHORT_MS;
  const isYoung = (sinceMs: number): boolean => beginningOf(history, sinceMs) !== undefined;
  const rows: (readonly [string, readonly TrafficStep[]])[] = [
    [isYoung(HISTORY_MS) ? 'since the start' : 'last hour', history],
  ];
  if (!isYoung(SHORT_MS)) rows.push(['last 5 minutes', history.filter(({ at }) => at > since)]);
  return textTable(
    ['traffic', 'requests', 'hits', 'failed', 'sent', 'of it hits', 'fetched', 'pulls spared'],
    rows.map(([name, steps]) => trafficRow(name, steps)),
  );
}

function trafficRow(name: string, steps: readonly TrafficStep[]): readonly string[] {
  const sum = (
    key:
      'requests' | 'hits' | 'failures' | 'bytes' | 'hitBytes' | 'pulls' | 'upstreamBytes' | 'upstreamPulls',
  ) => steps.reduce((total, step) => total + step[key], 0);
  return [
    name,
    sum('requests').toLocaleString('en-US'),
    printShare(sum('hits'), sum('requests')),
    sum('failures').toLocaleString('en-US'),
    printBytes(sum('bytes')),
    printShare(sum('hitBytes'), sum('bytes')),
    printBytes(sum('upstreamBytes')),
    Math.max(0, sum('pulls') - sum('upstreamPulls')).toLocaleString('en-US'),
  ];
}

function liveText({ requestCount, fills, fillCount }: LiveView): string {
  const now = systemClock.now();
  const head = `\n${counted(requestCount, 'request')} being answered, ${counted(fillCount, 'blob')} being fetched\n`;
  const rows = fills
    .slice(0, FILLS_SHOWN)
    .map(({ upstream, digest, presentBytes, totalBytes, readers, begunAt }) => [
      shortDigest(digest),
      upstream,
      totalBytes === undefined
        ? printBytes(presentBytes)
        : `${printBytes(presentBytes)} of ${printBytes(totalBytes)} (${printShare(presentBytes, totalBytes)})`,
      counted(readers, 'reader'),
      `${Math.max(0, Math.round((now - begunAt) / 1000))} s`,
    ]);
  if (rows.length === 0) return head;
  const more = fillCount > rows.length ? `and ${fillCount - rows.length} more\n` : '';
  return `${head}${textTable(['fill', 'upstream', 'is here', 'for', 'since'], rows)}${more}`;
}
