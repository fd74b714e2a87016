import { html } from 'hono/html';
import type { CatalogueOperations, ImageOrder } from '../../../cache/catalogue-operations.ts';
import type { ImagePage, ImageSummary } from '../../../cache/image-events.ts';
import type { PinEntry } from '../../../cache/store-events.ts';
import type { StoreOperations } from '../../../cache/store-operations.ts';
import { actionButton, actionForm } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bytes, type Content, digest, type Html, when } from '../formats.ts';
import { counted, printCount } from '../../../quantity-text.ts';
import { imageText } from '../image-name.ts';
import { orderOf, sortLinks } from '../sorting.ts';
import { table } from '../table.ts';

const PAGE_COUNT = 50;
const COLUMNS = {
  name: 'ascending',
  size: 'descending',
  exclusive: 'descending',
  used: 'descending',
} as const satisfies Record<ImageOrder, string>;
const TITLES: Readonly<Record<ImageOrder, string>> = {
  name: 'name',
  size: 'size',
  exclusive: 'size of its own',
  used: 'last use',
};

export interface ImagesPageParts {
  readonly catalogue: CatalogueOperations;
  readonly operations: StoreOperations;
}

/** What is cached, to search and sort; and what is pinned. */
export function imagesPage({ catalogue, operations }: ImagesPageParts): DashboardPage {
  return {
    path: '/images',
    title: 'Images',
    content: async ({ query, now, signal }) => {
      const search = query.get('search')?.trim() ?? '';
      const chosen = orderOf(query, COLUMNS, 'used');
      const [page, pins] = await Promise.all([
        catalogue.images(
          {
            search,
            sort: chosen.by,
            order: chosen.order === 'ascending' ? 'asc' : 'desc',
            limit: PAGE_COUNT,
            after: query.get('after') ?? undefined,
          },
          signal,
        ),
        operations.pins(signal),
      ]);
      const links = sortLinks('/images', query, COLUMNS, chosen);
      return [
        filters(search, chosen.by),
        page.isWhole
          ? ''
          : html`<p class="note">
              Images are still being looked through; order and number are of those that were. Load the page
              again in a moment.
            </p>`,
        html`<section>
          ${table({
            caption:
              search === ''
                ? counted(page.total, 'image')
                : `${counted(page.total, 'image')} with “${search}”`,
            columns: [
              { label: 'Image', sort: links.name },
              { label: 'Tags' },
              { label: 'Size', kind: 'number', sort: links.size },
              { label: 'Of its own', kind: 'number', sort: links.exclusive },
              { label: 'Last used', kind: 'number', sort: links.used },
            ],
            rows: page.images.map((image) => rowOf(image, now)),
            empty: emptyText(search),
          })}
          ${paging(page, query)}
          <p class="hint">
            Size: all that is stored of an image. Of its own: what no other image here uses, and removing it
            would free.
          </p>
        </section>`,
        pinned(pins),
      ];
    },
  };
}

function filters(search: string, sort: ImageOrder): Html {
  return html`<form class="filters" method="get" action="/images" role="search">
    <label
      >Search<input
        type="search"
        name="search"
        value="${search}"
        placeholder="name, tag or digest"
        maxlength="255"
    /></label>
    <label
      >Sort by
      <select name="sort">
        ${(Object.keys(COLUMNS) as ImageOrder[]).map((name) => html`<option value="${name}" ${name === sort ? html`selected` : ''}>${TITLES[name]}</option>`)}
      </select>
    </label>
    <button class="quiet">Show</button>
  </form>`;
}

function emptyText(search: string): Html {
  return search === ''
    ? html`<strong>Nothing is cached yet.</strong> <a href="/setup">Point a client at the cache</a> and pull
        an image, or <a href="/warm">fetch some ahead</a>.`
    : html`<strong>No image fits “${search}”.</strong> <a href="/images">Show all</a>, or
        <a href="/explain?image=${encodeURIComponent(search)}">ask how it would be answered</a>.`;
}

function rowOf(image: ImageSummary, now: number): readonly Content[] {
  const { upstream, repository, tags, tagCount, usedAt, pinned: isPinned } = image;
  const name = imageText({ upstream, repository, reference: tags[0] ?? image.digest });
  const more = tagCount > tags.length ? ` and ${printCount(tagCount - tags.length)} more` : '';
  return [
    html`<a href="/image?image=${encodeURIComponent(name)}">${upstream}/${repository}</a
      ><span class="hint">${digest(image.digest)}</span>`,
    html`${tags.length === 0 ? html`<span class="soft">none</span>` : `${tags.join(', ')}${more}`}
    ${isPinned ? badge('pinned', 'calm') : ''}`,
    bytes(image.bytes),
    bytes(image.exclusiveBytes),
    when(usedAt, now),
  ];
}

function paging({ next }: ImagePage, query: URLSearchParams): Content {
  const isFirst = !query.has('after');
  if (isFirst && next === undefined) return '';
  const to = (after: string | undefined): string => {
    const target = new URLSearchParams(query);
    target.delete('after');
    if (after !== undefined) target.set('after', after);
    return `/images?${target.toString()}`;
  };
  return html`<nav class="paging" aria-label="More images">
    ${isFirst ? html`<span></span>` : html`<a class="button quiet" href="${to(undefined)}">First page</a>`}
    ${next === undefined ? '' : html`<a class="button quiet" href="${to(next)}" rel="next">Next page</a>`}
  </nav>`;
}

function pinned(pins: readonly PinEntry[]): Html {
  return html`<section>
    ${table({
      caption: 'Pinned',
      columns: [{ label: 'Pattern' }, { label: 'By' }, { label: 'Change', kind: 'actions' }],
      rows: pins.map(({ pattern, source }) => [
        html`<code>${pattern}</code>`,
        source === 'configuration' ? 'configuration' : 'command',
        source === 'configuration'
          ? ''
          : actionButton({
              label: 'Unpin',
              subject: pattern,
              path: 'unpin',
              body: { pattern },
              kind: 'quiet',
            }),
      ]),
      empty: html`<strong>Nothing is pinned.</strong> What is pinned is never given up for want of room or for
        its age.`,
    })}
    ${actionForm(
      { label: 'Pin', path: 'pin' },
      html`<label
        >Image, or a pattern with * and **<input
          name="pattern"
          required
          placeholder="docker.io/library/nginx:1.*"
      /></label>`,
    )}
  </section>`;
}
