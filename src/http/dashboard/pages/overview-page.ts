import { html } from 'hono/html';
import type { ActivityOperations } from '../../../activity/activity-operations.ts';
import type { TrafficStep } from '../../../activity/activity-events.ts';
import { beginningOf } from '../../../activity/traffic-history.ts';
import type { LiveView } from '../../../activity/live-view.ts';
import type { UpstreamOperations, UpstreamStanding } from '../../../activity/upstream-standing.ts';
import type { StoreStatus } from '../../../cache/store-events.ts';
import type { StoreOperations } from '../../../cache/store-operations.ts';
import type { SetupRequest } from '../../../client-setup/client-setup.ts';
import { findClient } from '../../../client-setup/clients.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { bar, bytes, type Content, digest, failedNote, type Html, percent, span, when } from '../formats.ts';
import { counted, printCount } from '../../../quantity-text.ts';
import { tile } from '../tile.ts';
import { imageName } from '../image-name.ts';
import { trafficChart } from '../traffic-chart.ts';
import { setupSnippets } from './setup-page.ts';
import { isLowQuota } from './upstreams-page.ts';

const DAY_MS = 24 * 3_600_000;
/** Of the limit: eviction keeps it below 95 % unless what is pinned or on its way lets it not. */
const FULL_SHARE = 0.98;

export interface OverviewParts {
  readonly operations: StoreOperations;
  readonly activity: ActivityOperations;
  readonly upstreams: UpstreamOperations;
  readonly setup: () => SetupRequest;
}

/** Is it well, what does it spare, and what goes on. */
export function overviewPage({ operations, activity, upstreams, setup }: OverviewParts): DashboardPage {
  return {
    path: '/',
    title: 'Overview',
    script: 'live.js',
    content: async ({ now, signal }) => {
      const [status, history, live, standings] = await Promise.all([
        operations.status(signal),
        activity.history({ sinceMs: DAY_MS }, signal),
        activity.live(signal),
        upstreams.upstreams(signal),
      ]);
      const isNew =
        status.blobs === 0 && history.every(({ requests, failures }) => requests + failures === 0);
      return [
        troubles(status, standings, now),
        isNew ? firstSteps(setup()) : [tiles(status, history), beginning(history, now), chart(history, now)],
        liveTables(live, now),
      ];
    },
  };
}

/** What an operator should know first; a sentence each. */
function troubles(status: StoreStatus, standings: readonly UpstreamStanding[], now: number): Content {
  const found: Content[] = [];
  const { condition, limitBytes, reservedBytes, pinned, scrub } = status;
  if (condition?.isSound === false)
    found.push(
      html`The store is in trouble: ${condition.reason ?? 'unknown'}. What is pulled is passed on without
        being kept. <a href="/store">Store</a>`,
    );
  if (limitBytes > 0 && (status.bytes + reservedBytes) / limitBytes > FULL_SHARE)
    found.push(
      html`The store is full: ${bytes(status.bytes + reservedBytes)} of ${bytes(limitBytes)}.
        <a href="/store">Store</a>`,
    );
  if (limitBytes > 0 && pinned.bytes / limitBytes > 0.8)
    found.push(
      html`Pinned images take ${percent(pinned.bytes, limitBytes)} of the limit, and are never given up.
        <a href="/images">Images</a>`,
    );
  if (scrub !== undefined && scrub.damaged > 0)
    found.push(
      html`The scrub found ${counted(scrub.damaged, 'damaged file')}: fetched again when wanted.
        <a href="/store">Store</a>`,
    );
  for (const standing of standings) {
    const { upstream, state, pausedUntil } = standing;
    if (state === 'down')
      found.push(
        html`${upstream} does not
          answer${standing.since === undefined ? '' : html`, since ${when(standing.since, now)}`}: what is
          cached is served. <a href="/upstreams">Upstreams</a>`,
      );
    if (state === 'offline')
      found.push(html`${upstream} is offline: it is not asked. <a href="/upstreams">Upstreams</a>`);
    if (pausedUntil !== undefined && pausedUntil > now)
      found.push(
        html`${upstream} is asked again ${when(pausedUntil, now)}: it said too many requests, or the
          configured pace did. <a href="/upstreams">Upstreams</a>`,
      );
    if (standing.quotas.some(isLowQuota))
      found.push(html`The pull quota of ${upstream} is nearly used up. <a href="/upstreams">Upstreams</a>`);
  }
  if (found.length === 0)
    return html`<p class="note good">All is well: the store is sound, and no upstream is in trouble.</p>`;
  return html`<div class="trouble">
    <ul>
      ${found.map((sentence) => html`<li>${sentence}</li>`)}
    </ul>
  </div>`;
}

/** For who has just installed it. */
function firstSteps(request: SetupRequest): Html {
  // What it pulls without any prefix is enough to begin with.
  const routes = request.routes.filter(({ isDefault }) => isDefault);
  const made = findClient('dockerd')?.setup(routes.length === 0 ? request : { ...request, routes });
  return html`<section aria-labelledby="first">
    <h2 id="first">Nothing was pulled yet: point Docker at it</h2>
    ${made === undefined ? '' : setupSnippets(made)}
    <p>Other clients (containerd, podman, Kubernetes, CI): <a href="/setup">Set up clients</a>.</p>
  </section>`;
}

function tiles(status: StoreStatus, history: readonly TrafficStep[]): Html {
  const sum = (of: (step: TrafficStep) => number): number =>
    history.reduce((total, step) => total + of(step), 0);
  const requests = sum((step) => step.requests);
  const hits = sum((step) => step.hits);
  const sent = sum((step) => step.bytes);
  const spared = Math.max(0, sent - sum((step) => step.upstreamBytes));
  const pulls = sum((step) => step.pulls);
  const sparedPulls = Math.max(0, pulls - sum((step) => step.upstreamPulls));
  const { limitBytes } = status;
  const used = limitBytes === 0 ? 0 : status.bytes / limitBytes;
  const isYoung = beginningOf(history, DAY_MS) !== undefined;
  const time = isYoung ? 'since the start' : 'in 24 h';
  return html`<dl class="tiles" aria-label="${isYoung ? 'Since the start' : 'The last 24 hours'}">
    ${tile('Hit ratio', percent(hits, requests), [`${printCount(hits)} of ${counted(requests, 'request')} ${time} `, failedNote(sum((step) => step.failures))])}
    ${tile('Not fetched again', bytes(spared), `of ${bytes(sent)} sent ${time}`)}
    ${tile('Upstream pulls spared', printCount(sparedPulls), `of ${counted(pulls, 'pull')} ${time}`)}
    ${tile(
      'Stored',
      bytes(status.bytes),
      html`${bar(used, `${percent(status.bytes, limitBytes)} of the limit`, used > FULL_SHARE ? 'warn' : 'calm')}${percent(status.bytes, limitBytes)}
      of ${bytes(limitBytes)}`,
    )}
  </dl>`;
}

/** A process knows only its own minutes; of days before it there is the report. */
function beginning(history: readonly TrafficStep[], now: number): Content {
  const begunAt = beginningOf(history, DAY_MS);
  if (begunAt === undefined) return '';
  return html`<p class="hint">
    Since the start, ${when(begunAt, now)}. By days, as far as they are kept:
    <a href="/report?days=1">savings report</a>.
  </p>`;
}

function chart(history: readonly TrafficStep[], now: number): Html {
  const time = beginningOf(history, DAY_MS) === undefined ? ', last 24 hours' : ' since the start';
  return html`<section aria-labelledby="traffic">
    <div class="head">
      <h2 id="traffic">Hit ratio${time}</h2>
      <a href="/report">Savings report</a>
    </div>
    ${trafficChart(history, { now, durationMs: DAY_MS })}
  </section>`;
}

function liveTables({ requests, requestCount, fills, fillCount }: LiveView, now: number): Html {
  return html`${liveTable({
      id: 'live-requests',
      title: 'Being answered',
      count: requestCount,
      labels: ['What', 'Client', 'Outcome', 'Sent', 'For'],
      rows: requests.map((request) => [
        request.repository === undefined ? request.kind : imageName(request),
        request.client,
        request.outcome ?? '–',
        progress(request.sentBytes, request.totalBytes),
        span(Math.max(0, now - request.begunAt)),
      ]),
      empty: 'Nobody is asking for anything.',
    })}
    ${liveTable({
      id: 'live-fills',
      title: 'Being fetched',
      count: fillCount,
      labels: ['Blob', 'From', 'Readers', 'Here', 'For'],
      rows: fills.map((fill) => [
        digest(fill.digest),
        fill.upstream,
        fill.readers,
        progress(fill.presentBytes, fill.totalBytes),
        span(Math.max(0, now - fill.begunAt)),
      ]),
      empty: 'Nothing is on its way from an upstream.',
    })}
    <p class="hint needs-script">
      Updates: <span id="live-state" role="status">not live: connecting</span>
    </p>`;
}

function progress(done: number, total: number | undefined): Content {
  if (total === undefined || total === 0) return bytes(done);
  return [`${bytes(done)} of ${bytes(total)}`, bar(done / total, `${percent(done, total)} done`)];
}

interface LiveTable {
  readonly id: string;
  readonly title: string;
  readonly count: number;
  readonly labels: readonly string[];
  readonly rows: readonly (readonly Content[])[];
  readonly empty: string;
}

/** Both the table and what stands in its place are there: the script shows one of them. */
function liveTable({ id, title, count, labels, rows, empty }: LiveTable): Html {
  const cellOf = (content: Content, at: number): Html =>
    at === 0
      ? html`<th role="rowheader" scope="row" data-label="${labels[at]}">${content}</th>`
      : html`<td role="cell" data-label="${labels[at]}"><div>${content}</div></td>`;
  const isEmpty = rows.length === 0;
  return html`<section id="${id}" aria-labelledby="${id}-title">
    <div class="head">
      <h2 id="${id}-title">${title}</h2>
      <span class="badge count">${count}</span>
    </div>
    <table role="table" aria-labelledby="${id}-title" ${isEmpty ? html` hidden` : ''}>
      <thead role="rowgroup">
        <tr role="row">
          ${labels.map((label) => html`<th role="columnheader" scope="col">${label}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(
          (cells) =>
            html`<tr role="row">
              ${cells.map(cellOf)}
            </tr>`,
        )}
      </tbody>
    </table>
    <p class="empty" ${isEmpty ? '' : html` hidden`}>${empty}</p>
  </section>`;
}
