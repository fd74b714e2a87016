import { html } from 'hono/html';
import type { ActivityOperations } from '../../../activity/activity-operations.ts';
import type { SavingsReport } from '../../../activity/activity-events.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { bytes, failedNote, type Html, percent, span, when } from '../formats.ts';
import { counted, printCount } from '../../../quantity-text.ts';
import { table } from '../table.ts';
import { tile } from '../tile.ts';

const DAY_MS = 24 * 3_600_000;
const SPANS = [1, 7, 30, 90, 365];
const DEFAULT_DAYS = 30;
const TOP = 20;

/** What the cache spared over days. */
export function reportPage(activity: ActivityOperations): DashboardPage {
  return {
    path: '/report',
    title: 'Savings report',
    content: async ({ query, now, signal }) => {
      const asked = Number(query.get('days'));
      const days = SPANS.includes(asked) ? asked : DEFAULT_DAYS;
      const report = await activity.report({ sinceMs: days * DAY_MS, top: TOP }, signal);
      return [
        filters(days, report, now),
        tiles(report),
        byUpstream(report),
        lists(report),
        unused(report, now),
      ];
    },
  };
}

function filters(days: number, { keptSince }: SavingsReport, now: number): Html {
  return html`<form class="filters" method="get" action="/report">
      <label
        >Since
        <select name="days">
          ${SPANS.map((count) => html`<option value="${count}" ${count === days ? html` selected` : ''}>${counted(count, 'day')}</option>`)}
        </select>
      </label>
      <button class="quiet">Show</button>
    </form>
    ${keptSince === undefined ? '' : html`<p class="note">What is known begins ${when(keptSince, now)}.</p>`}`;
}

function tiles(report: SavingsReport): Html {
  const {
    pulls,
    bytes: sent,
    hits,
    requests,
    failures,
    bytesAvoided,
    pullsAvoided,
    timeSavedMs,
    timeSavedAssumption,
    sharedShare,
  } = report;
  return html`<dl class="tiles">
      ${tile('Not fetched again', bytes(bytesAvoided), `of ${bytes(sent)} sent`)}
      ${tile('Upstream pulls spared', printCount(pullsAvoided), `of ${counted(pulls, 'pull')}`)}
      ${tile('Hit ratio', percent(hits, requests), [`${printCount(hits)} of ${counted(requests, 'request')} `, failedNote(failures)])}
      ${tile('Time saved', span(timeSavedMs), 'an estimate, see below')}
      ${sharedShare === undefined ? '' : tile('Stored once for several', percent(sharedShare, 1), 'of the bytes of all images stored')}
    </dl>
    <p class="hint">Time saved is an estimate: ${timeSavedAssumption}.</p>`;
}

function byUpstream({ byUpstream: rows }: SavingsReport): Html {
  return html`<section>
    ${table({
      caption: 'By upstream',
      columns: [
        { label: 'Upstream' },
        { label: 'Requests', kind: 'number' },
        { label: 'Hit ratio', kind: 'number' },
        { label: 'Failed', kind: 'number' },
        { label: 'Sent', kind: 'number' },
        { label: 'Fetched', kind: 'number' },
        { label: 'Pulls', kind: 'number' },
        { label: 'Upstream pulls', kind: 'number' },
      ],
      rows: rows.map((row) => [
        row.upstream,
        printCount(row.requests),
        percent(row.hits, row.requests),
        printCount(row.failures),
        bytes(row.bytes),
        bytes(row.upstreamBytes),
        printCount(row.pulls),
        printCount(row.upstreamPulls),
      ]),
      empty: 'Nothing was asked for in this time.',
    })}
  </section>`;
}

/** Pulls, bytes and hit ratio. */
function numbers(
  row: SavingsReport['topClients'][number] | SavingsReport['topImages'][number],
): readonly string[] {
  return [printCount(row.pulls), bytes(row.bytes), percent(row.hits, row.requests)];
}

function lists({ topImages, topClients }: SavingsReport): Html {
  const columns = [
    { label: 'Pulls', kind: 'number' },
    { label: 'Sent', kind: 'number' },
    { label: 'Hit ratio', kind: 'number' },
  ] as const;
  return html`<div class="columns">
    <section>
      ${table({
        caption: 'Most pulled images',
        columns: [{ label: 'Image' }, ...columns],
        rows: topImages.map((row) => [row.image, ...numbers(row)]),
        empty: 'No image was pulled in this time.',
      })}
    </section>
    <section>
      ${table({
        caption: 'Clients that pulled most',
        columns: [{ label: 'Client' }, ...columns],
        rows: topClients.map((row) => [row.client, ...numbers(row)]),
        empty: 'No client pulled in this time.',
      })}
    </section>
  </div>`;
}

function unused({ unused: rows, unusedCount, unusedBytes }: SavingsReport, now: number): Html {
  return html`<section>
    ${table({
      caption: `Not used since (${printCount(unusedCount)}, ${bytes(unusedBytes)})`,
      columns: [
        { label: 'Image' },
        { label: 'Size', kind: 'number' },
        { label: 'Last used', kind: 'number' },
      ],
      rows: rows.map(({ image, bytes: size, usedAt }) => [image, bytes(size), when(usedAt, now)]),
      empty: 'Every image that is stored was used in this time.',
    })}
  </section>`;
}
