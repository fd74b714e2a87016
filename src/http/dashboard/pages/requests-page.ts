import { html } from 'hono/html';
import type { ActivityOperations } from '../../../activity/activity-operations.ts';
import type { RequestRecord } from '../../../activity/activity-events.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { bytes, type Content, type Html, span, when } from '../formats.ts';
import { imageName, imageText } from '../image-name.ts';
import { outcomeBadge } from '../outcome.ts';
import { table } from '../table.ts';

const SHOWN_LIMIT = 200;
const OUTCOMES = ['hit', 'revalidated', 'stale', 'miss', 'joined', 'bypass', 'none'];

/** What was asked for lately, and why it was not in the cache where it was not. */
export function requestsPage(activity: ActivityOperations): DashboardPage {
  return {
    path: '/requests',
    title: 'Recent requests',
    content: async ({ query, now, signal }) => {
      const wanted = (name: string): string | undefined => query.get(name)?.trim() || undefined;
      const filter = { client: wanted('client'), upstream: wanted('upstream'), outcome: wanted('outcome') };
      const requests = await activity.recent({ limit: SHOWN_LIMIT, ...filter }, signal);
      const isFiltered = Object.values(filter).some((value) => value !== undefined);
      return [
        filters(filter),
        html`<section>
          ${table({
            caption: `The newest ${requests.length === SHOWN_LIMIT ? SHOWN_LIMIT : ''} requests`.replace(
              '  ',
              ' ',
            ),
            columns: [
              { label: 'What' },
              { label: 'Outcome' },
              { label: 'Why' },
              { label: 'Client' },
              { label: 'Sent', kind: 'number' },
              { label: 'Took', kind: 'number' },
              { label: 'When', kind: 'number' },
            ],
            rows: requests.map((request) => rowOf(request, now)),
            empty: isFiltered
              ? html`<strong>No request fits.</strong> The last 1,000 are kept.
                  <a href="/requests">Show all</a>`
              : html`<strong>Nothing was asked for yet.</strong>
                  <a href="/setup">Point a client at the cache</a>, and its pulls are shown here.`,
          })}
        </section>`,
      ];
    },
  };
}

function filters(chosen: {
  readonly client?: string | undefined;
  readonly upstream?: string | undefined;
  readonly outcome?: string | undefined;
}): Html {
  return html`<form class="filters" method="get" action="/requests">
    <label>Client address<input name="client" value="${chosen.client ?? ''}" /></label>
    <label>Upstream<input name="upstream" value="${chosen.upstream ?? ''}" /></label>
    <label
      >Outcome
      <select name="outcome">
        <option value="">any</option>
        ${OUTCOMES.map((outcome) => (outcome === chosen.outcome ? html`<option selected>${outcome}</option>` : html`<option>${outcome}</option>`))}
      </select>
    </label>
    <button class="quiet">Show</button>
  </form>`;
}

function rowOf(request: RequestRecord, now: number): readonly Content[] {
  const { at, client, agent, method, kind, status, outcome, reason, durationMs, firstByteMs, isComplete } =
    request;
  return [
    html`${request.repository === undefined ? kind : imageName(request)}<span class="hint"
        >${method} ${kind}${explainLink(request)}</span
      >`,
    outcomeBadge(outcome, status),
    html`${sentence(reason) ?? (status < 400 && outcome === 'hit' ? 'It was in the cache' : '–')}${isComplete ? '' : html`<span class="hint">broken off</span>`}`,
    html`<a href="/requests?client=${encodeURIComponent(client)}">${client}</a
      >${agent === undefined ? '' : html`<span class="hint">${agent}</span>`}`,
    bytes(request.bytes),
    html`${span(durationMs)}${firstByteMs === undefined ? '' : html`<span class="hint">first byte ${span(firstByteMs)}</span>`}`,
    html`${when(at, now)}<span class="hint mono">${request.id}</span>`,
  ];
}

function sentence(text: string | undefined): string | undefined {
  return text === undefined ? undefined : text.charAt(0).toUpperCase() + text.slice(1);
}

/** Only an image can be explained. */
function explainLink(request: RequestRecord): Content {
  if (request.kind !== 'manifest' || request.repository === undefined || request.reference === undefined)
    return '';
  return html` · <a href="/explain?image=${encodeURIComponent(imageText(request))}">explain</a>`;
}
