import { html } from 'hono/html';
import type { UpstreamOperations, UpstreamStanding } from '../../../activity/upstream-standing.ts';
import type { OfflineOperations } from '../../../pull-through/offline-operations.ts';
import type { OfflineReport } from '../../../pull-through/offline-report.ts';
import { actionButton } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bar, bytes, type Content, type Html, percent, span, when } from '../formats.ts';
import { counted, printCount } from '../../../quantity-text.ts';
import { table } from '../table.ts';

/** Below it a quota is nearly used up. */
export const LOW_QUOTA_SHARE = 0.1;

export interface UpstreamsPageParts {
  readonly upstreams: UpstreamOperations;
  readonly offline: OfflineOperations;
}

type OfflineState = OfflineReport['upstreams'][number];

/** How each upstream is, and whether it is asked at all. */
export function upstreamsPage({ upstreams, offline }: UpstreamsPageParts): DashboardPage {
  return {
    path: '/upstreams',
    title: 'Upstreams',
    content: async ({ now, signal }) => {
      const states = (await offline.offline(signal)).upstreams;
      const standings = await upstreams.upstreams(signal);
      const byName = new Map(standings.map((standing) => [standing.upstream, standing]));
      return [
        switchOfAll(states),
        states.map((state) => upstreamCard(state, byName.get(state.upstream), now)),
      ];
    },
  };
}

function switchOfAll(states: readonly OfflineState[]): Html {
  const isOffline = states.every((state) => state.isOffline);
  const action = isOffline
    ? { label: 'Ask upstreams again', body: { offline: false }, done: 'Every upstream is asked again.' }
    : {
        label: 'Go offline',
        body: { offline: true },
        confirm:
          'No upstream is asked any more until this is turned off or entrepot restarts. What is cached is served; all else fails.',
        done: 'No upstream is asked any more.',
      };
  return html`<div class="head">
    <p class="hint">
      ${counted(states.length, 'upstream')}. Offline: only what is cached is served, whatever its age.
    </p>
    ${actionButton({ ...action, path: 'offline', kind: 'quiet' })}
  </div>`;
}

function upstreamCard(state: OfflineState, standing: UpstreamStanding | undefined, now: number): Html {
  const { upstream } = state;
  const id = `upstream-${upstream}`;
  return html`<section aria-labelledby="${id}">
    <div class="head">
      <h2 id="${id}">${upstream} ${stateBadge(state, standing)}</h2>
      ${offlineSwitch(state)}
    </div>
    ${state.isOffline ? html`<p class="hint">${offlineReason(state, now)}</p>` : ''}
    ${standing === undefined ? '' : details(standing, now)}
  </section>`;
}

function stateBadge({ isOffline }: OfflineState, standing: UpstreamStanding | undefined): Content {
  if (isOffline) return badge('offline', 'warn');
  if (standing === undefined) return '';
  if (standing.state === 'down') return badge('down', 'bad');
  return standing.state === 'up' ? badge('up', 'good') : badge('not asked yet', 'calm');
}

function offlineReason({ isConfigured, until }: OfflineState, now: number): Content {
  if (until !== undefined) return html`Offline by command; asked again ${when(until, now)}.`;
  return isConfigured
    ? 'Offline by configuration.'
    : 'Offline by command, until it is turned off or entrepot restarts.';
}

function offlineSwitch({ upstream, isOffline }: OfflineState): Html {
  return isOffline
    ? actionButton({
        label: 'Ask it again',
        subject: upstream,
        path: 'offline',
        body: { offline: false, upstreams: [upstream] },
        done: `${upstream} is asked again.`,
        kind: 'quiet',
      })
    : actionButton({
        label: 'Take offline',
        subject: upstream,
        path: 'offline',
        body: { offline: true, upstreams: [upstream] },
        confirm: `${upstream} is not asked any more until this is turned off or entrepot restarts. What is cached of it is served.`,
        done: `${upstream} is offline.`,
        kind: 'quiet',
      });
}

function details(standing: UpstreamStanding, now: number): Html {
  const { url, since, latencyMs, requests, failures, pausedUntil, mirrors } = standing;
  return html`<dl class="facts">
      <dt>Address</dt>
      <dd class="mono">${url}</dd>
      ${
        since === undefined
          ? ''
          : html`<dt>In this state since</dt>
              <dd>${when(since, now)}</dd>`
      }
      <dt>Answers after</dt>
      <dd>
        ${latencyMs === undefined ? 'not measured yet' : html`${span(latencyMs.p50)} in the median, ${span(latencyMs.p99)} for the slowest 1 % <span class="soft">(of ${printCount(latencyMs.samples)})</span>`}
      </dd>
      <dt>Requests</dt>
      <dd>
        ${printCount(requests)}, of which ${printCount(failures)}
        failed${requests === 0 ? '' : ` (${percent(failures, requests)})`}; ${bytes(standing.bytes)} fetched
      </dd>
      <dt>Circuit breaker</dt>
      <dd>${breaker(standing.breaker)}</dd>
      ${
        pausedUntil === undefined || pausedUntil <= now
          ? ''
          : html`<dt>Paused</dt>
              <dd>${badge('paused', 'warn')} asked again ${when(pausedUntil, now)}</dd>`
      }
      ${
        mirrors.length === 0
          ? ''
          : html`<dt>Mirrors</dt>
              <dd>
                ${mirrors.map(({ mirror, isUp }) => html`<div>${mirror} ${isUp ? badge('up', 'good') : badge('passed over', 'warn')}</div>`)}
              </dd>`
      }
      ${standing.quotas.map((quota) => quotaRow(quota, now))}
    </dl>
    ${lastErrors(standing, now)}`;
}

function breaker(state: UpstreamStanding['breaker']): Content {
  if (state === 'closed') return 'closed: it is asked as ever';
  if (state === 'open')
    return html`${badge('open', 'bad')} misses fail at once; it is tried again every few seconds`;
  return html`${badge('half open', 'warn')} one request looks whether it is back`;
}

function quotaRow(quota: UpstreamStanding['quotas'][number], now: number): Html {
  const { account = 'anonymous', limit, remaining, windowMs, resetsAt, checkedAt } = quota;
  const window = windowMs === undefined ? '' : ` in ${span(windowMs)}`;
  const isLow = isLowQuota(quota);
  const left = remaining === undefined ? 'unknown' : `${printCount(remaining)} left`;
  const of = limit === undefined ? '' : ` of ${printCount(limit)} pulls${window}`;
  return html`<dt>Pull quota (${account})</dt>
    <dd>
      ${left}${of}${isLow ? html` ${badge('nearly used up', 'warn')}` : ''}<span class="soft"
        >, as of
        ${when(checkedAt, now)}${resetsAt === undefined ? '' : html`, renewed ${when(resetsAt, now)}`}</span
      >
      ${limit === undefined || remaining === undefined || limit === 0 ? '' : bar(remaining / limit, `${percent(remaining, limit)} of the pulls are left`, isLow ? 'warn' : 'calm')}
    </dd>`;
}

/** Whether little is left of it. */
export function isLowQuota({ limit, remaining }: UpstreamStanding['quotas'][number]): boolean {
  return limit !== undefined && remaining !== undefined && limit > 0 && remaining / limit < LOW_QUOTA_SHARE;
}

function lastErrors({ upstream, lastErrors: errors }: UpstreamStanding, now: number): Content {
  if (errors.length === 0) return '';
  return html`<details>
    <summary>Last errors of ${upstream} (${errors.length})</summary>
    ${table({
      caption: `Last errors of ${upstream}`,
      isCaptionHidden: true,
      columns: [{ label: 'When' }, { label: 'Asked for' }, { label: 'What went wrong' }],
      rows: errors.map(({ at, kind, message }) => [when(at, now), kind ?? '–', message]),
      empty: '',
    })}
  </details>`;
}
