import { html } from 'hono/html';
import type { TrafficStep } from '../../activity/activity-events.ts';
import { beginningOf } from '../../activity/traffic-history.ts';
import { bytes, type Html, percent } from './formats.ts';
import { printCount } from '../../quantity-text.ts';
import { table } from './table.ts';

/** Points of the line over the whole time. */
const POINT_COUNT = 96;
const WIDTH = 960;
const HEIGHT = 220;
const HOUR_MS = 3_600_000;

interface Sum {
  readonly requests: number;
  readonly hits: number;
  readonly failures: number;
  readonly bytes: number;
  readonly hitBytes: number;
  readonly upstreamBytes: number;
}

/**
 * Which part of the requests were hits, over time, with what was sent below it; and the same as a table, by hours.
 * @param durationMs what it shows, up to `now`
 */
export function trafficChart(
  steps: readonly TrafficStep[],
  { now, durationMs }: { readonly now: number; readonly durationMs: number },
): Html {
  const since = now - durationMs;
  const points = sums(steps, since, durationMs / POINT_COUNT, POINT_COUNT);
  const total = sums(steps, since, durationMs, 1)[0];
  const hours = Math.round(durationMs / HOUR_MS);
  const most = Math.max(1, ...points.map((point) => point.bytes));
  const isYoung = beginningOf(steps, durationMs) !== undefined;
  const label = `Hit ratio ${isYoung ? 'since the start' : `of the last ${hours} hours`}: ${percent(total?.hits ?? 0, total?.requests ?? 0)} in all`;
  return html`<div class="plot">
      <div class="scale" aria-hidden="true"><span>100 %</span><span>50 %</span><span>0 %</span></div>
      <svg
        class="chart"
        viewBox="0 0 ${WIDTH} ${HEIGHT}"
        preserveAspectRatio="none"
        role="img"
        aria-label="${label}"
      >
        ${[0, 0.5, 1].map((at) => html`<line class="grid" x1="0" x2="${WIDTH}" y1="${at * HEIGHT}" y2="${at * HEIGHT}" />`)}
        ${points.map((point, at) => sentBar(point, at, most))} ${runs(points).map(runOf)}
      </svg>
      <div class="times" aria-hidden="true">
        <span>${hours} h ago</span><span>${hours / 2} h ago</span><span>now</span>
      </div>
    </div>
    <p class="legend">
      <span class="key line"></span>requests that were hits <span class="key sent"></span>bytes sent,
      ${bytes(most)} in ${Math.round(durationMs / POINT_COUNT / 60_000)} min at the most
    </p>
    <details>
      <summary>By the hour</summary>
      ${hourly(steps, { now, hours })}
    </details>`;
}

/** Steps put together; what is older than `since` is left out. */
function sums(steps: readonly TrafficStep[], since: number, lengthMs: number, count: number): readonly Sum[] {
  const made = Array.from({ length: count }, () => ({
    requests: 0,
    hits: 0,
    failures: 0,
    bytes: 0,
    hitBytes: 0,
    upstreamBytes: 0,
  }));
  for (const step of steps) {
    if (step.at + step.durationMs <= since) continue;
    const at = Math.min(count - 1, Math.max(0, Math.floor((step.at - since) / lengthMs)));
    const sum = made[at];
    if (sum === undefined) continue;
    sum.requests += step.requests;
    sum.hits += step.hits;
    sum.failures += step.failures;
    sum.bytes += step.bytes;
    sum.hitBytes += step.hitBytes;
    sum.upstreamBytes += step.upstreamBytes;
  }
  return made;
}

function sentBar({ bytes: sent }: Sum, at: number, most: number): Html | string {
  if (sent === 0) return '';
  // The lower third is theirs.
  const height = Math.max(1, (sent / most) * (HEIGHT / 3));
  const width = WIDTH / POINT_COUNT;
  return html`<rect
    class="sent"
    x="${(at * width + 1).toFixed(1)}"
    y="${(HEIGHT - height).toFixed(1)}"
    width="${(width - 2).toFixed(1)}"
    height="${height.toFixed(1)}"
  />`;
}

type Point = readonly [x: number, y: number];

/** Times in which something was asked for; where nothing was there is no ratio, and no line. */
function runs(points: readonly Sum[]): readonly (readonly Point[])[] {
  const made: Point[][] = [];
  let current: Point[] | undefined;
  points.forEach(({ requests, hits }, at) => {
    if (requests === 0) {
      current = undefined;
      return;
    }
    if (current === undefined) made.push((current = []));
    current.push([((at + 0.5) * WIDTH) / POINT_COUNT, HEIGHT * (1 - hits / requests)]);
  });
  return made;
}

function runOf(points: readonly Point[]): Html {
  const [first, last] = [points[0] ?? [0, 0], points.at(-1) ?? [0, 0]];
  const widened: readonly Point[] =
    points.length > 1
      ? points
      : [
          [first[0] - 4, first[1]],
          [first[0] + 4, first[1]],
        ];
  const line = widened.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(' ');
  return html`<polygon
      class="area"
      points="${first[0].toFixed(1)},${HEIGHT} ${line} ${last[0].toFixed(1)},${HEIGHT}"
    /><polyline class="line" points="${line}" />`;
}

function hourly(
  steps: readonly TrafficStep[],
  { now, hours }: { readonly now: number; readonly hours: number },
): Html {
  const since = now - hours * HOUR_MS;
  const rows = sums(steps, since, HOUR_MS, hours)
    .map((sum, at) => ({ sum, at: since + at * HOUR_MS }))
    .filter(({ sum }) => sum.requests + sum.failures > 0)
    .toReversed();
  return table({
    caption: 'Traffic by the hour, the newest first',
    isCaptionHidden: true,
    columns: [
      { label: 'Hour from (UTC)' },
      { label: 'Requests', kind: 'number' },
      { label: 'Hits', kind: 'number' },
      { label: 'Failed', kind: 'number' },
      { label: 'Sent', kind: 'number' },
      { label: 'From the cache', kind: 'number' },
      { label: 'Fetched', kind: 'number' },
    ],
    rows: rows.map(({ sum, at }) => [
      html`<time datetime="${new Date(at).toISOString()}">${new Date(at).toISOString().slice(11, 16)}</time>`,
      printCount(sum.requests),
      percent(sum.hits, sum.requests),
      printCount(sum.failures),
      bytes(sum.bytes),
      bytes(sum.hitBytes),
      bytes(sum.upstreamBytes),
    ]),
    empty: 'Nothing was asked for.',
  });
}
