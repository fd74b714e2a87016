import { html } from 'hono/html';
import type { Explanation, ExplainOperations } from '../../../pull-through/explain-operations.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bytes, type Content, digest, type Html, span, when } from '../formats.ts';
import { counted } from '../../../quantity-text.ts';
import { outcomeBadge } from '../outcome.ts';
import { table } from '../table.ts';
import { presence } from '../presence.ts';

/** How an image would be answered now, and why. */
export function explainPage(explain: ExplainOperations): DashboardPage {
  return {
    path: '/explain',
    title: 'Explain an image',
    content: async ({ query, now, signal }) => {
      const image = query.get('image')?.trim() ?? '';
      if (image === '')
        return [
          form(image),
          html`<p class="empty">
            <strong>How would it be answered, and why?</strong> Give an image as you would pull it. No
            upstream is asked to find out.
          </p>`,
        ];
      const found = await explain.explain(image, signal);
      return [form(image), answer(found), how(found, now), platforms(found), asks(found)];
    },
  };
}

function form(image: string): Html {
  return html`<form class="filters" method="get" action="/explain" role="search">
    <label>Image<input name="image" value="${image}" placeholder="nginx:1.27" required /></label>
    <button class="quiet">Explain</button>
  </form>`;
}

function answer({ image, answer: { outcome, text }, quotaCost, ...found }: Explanation): Html {
  const { least, most } = quotaCost;
  const cost =
    most === 0
      ? 'no pull of the quota'
      : least === most
        ? counted(most, 'pull')
        : `${least} to ${counted(most, 'pull')}`;
  return html`<section aria-labelledby="answer">
    <h2 id="answer">${image} ${outcome === 'refused' ? badge('refused', 'bad') : outcomeBadge(outcome)}</h2>
    <p>${text}</p>
    <p class="hint">Pulling all of it now would cost ${cost} and fetch ${fetched(found)}.</p>
  </section>`;
}

function fetched({
  fetchBytes,
  isFetchComplete,
}: Pick<Explanation, 'fetchBytes' | 'isFetchComplete'>): Content {
  const known = fetchBytes === 0 ? 'nothing that is known of' : bytes(fetchBytes);
  if (isFetchComplete) return known;
  return html`${fetchBytes === 0 ? 'an amount that is not known' : html`at least ${known}`}, since manifests
  are not here that tell of blobs`;
}

function how(
  { upstream, repository, reference, namedBy, rule, tag, manifest }: Explanation,
  now: number,
): Html {
  return html`<section aria-labelledby="why">
    <h2 id="why">Why</h2>
    <dl class="facts">
      <dt>Upstream</dt>
      <dd>${upstream} <span class="soft">(named by: ${namedBy})</span></dd>
      <dt>Repository</dt>
      <dd>${repository}</dd>
      <dt>Reference</dt>
      <dd class="mono">${reference}</dd>
      <dt>Allowed</dt>
      <dd>
        ${rule.isAllowed ? 'yes' : badge('no', 'bad')}${rule.decidedBy === undefined ? '' : html` <span class="soft">by <code>${rule.decidedBy}</code></span>`}
      </dd>
      ${
        rule.patterns.length === 0
          ? ''
          : html`<dt>Rules that fit</dt>
              <dd>${rule.patterns.map((pattern) => html`<code>${pattern}</code> `)}</dd>`
      }
      <dt>Tags are believed for</dt>
      <dd>
        ${rule.isImmutable ? 'ever: it is one that never moves' : span(rule.tagTtlMs)}; up to
        ${span(rule.maxStaleMs)} when the upstream cannot be asked
      </dd>
      ${
        rule.isOffline
          ? html`<dt>Offline</dt>
              <dd>${badge('the upstream is not asked', 'warn')}</dd>`
          : ''
      }
      ${
        tag === undefined
          ? ''
          : html`<dt>The tag meant</dt>
              <dd>
                ${digest(tag.digest)}, asked ${when(tag.checkedAt, now)}:
                ${tag.isFresh ? badge('fresh', 'good') : badge('asked again', 'calm')}
              </dd>`
      }
      ${
        manifest === undefined
          ? ''
          : html`<dt>Manifest</dt>
              <dd>${manifestText(manifest)}</dd>`
      }
    </dl>
  </section>`;
}

function manifestText({
  digest: name,
  mediaType,
  sizeBytes,
  isStored,
  isHeld,
}: NonNullable<Explanation['manifest']>): Content {
  const state = !isStored
    ? badge('not stored', 'calm')
    : isHeld
      ? badge('stored', 'good')
      : badge('stored, not for this repository', 'warn');
  return html`${digest(name)}
  ${state}${sizeBytes === undefined ? '' : html` ${bytes(sizeBytes)}`}${mediaType === undefined ? '' : html`<div class="hint mono">${mediaType}</div>`}`;
}

function platforms({ platforms: rows }: Explanation): Html {
  return html`<section>${platformTable(rows)}</section>`;
}

/** What of each platform of an image is here. */
export function platformTable(rows: Explanation['platforms']): Html {
  return table({
    caption: 'Platforms',
    columns: [
      { label: 'Platform' },
      { label: 'Complete' },
      { label: 'Here', kind: 'number' },
      { label: 'Missing', kind: 'number' },
      { label: 'Manifest' },
    ],
    rows: rows.map((row) => [row.platform ?? 'any', ...presence(row), missing(row), digest(row.digest)]),
    empty: 'It is not known which platforms it is made for: its manifest is not here.',
  });
}

function missing({ isStored, blobs, missingBlobs }: Explanation['platforms'][number]): Content {
  if (!isStored) return 'its manifest';
  return missingBlobs.length === 0
    ? 'nothing'
    : `${missingBlobs.length} of ${counted(blobs ?? missingBlobs.length, 'blob')}`;
}

function asks({ asks: rows }: Explanation): Html {
  return html`<section>
    ${table({
      caption: 'What its upstream would be asked',
      columns: [{ label: 'What' }, { label: 'Method' }, { label: 'Counts as a pull' }],
      rows: rows.map(({ method, what, countsAsPull }) => [
        what,
        html`<code>${method}</code>`,
        countsAsPull ? 'yes' : 'no',
      ]),
      empty: 'Nobody would be asked.',
    })}
  </section>`;
}
