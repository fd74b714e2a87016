import { html } from 'hono/html';
import type { CatalogueOperations } from '../../../cache/catalogue-operations.ts';
import type { ImageDetail } from '../../../cache/image-events.ts';
import type { PinEntry } from '../../../cache/store-events.ts';
import type { StoreOperations } from '../../../cache/store-operations.ts';
import { actionButton } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, bytes, type Content, digest, type Html, when } from '../formats.ts';
import { counted } from '../../../quantity-text.ts';
import { imageText } from '../image-name.ts';
import { table } from '../table.ts';
import { presence } from '../presence.ts';

/** A name with a digest of the longest kind fits. */
const TITLE_LIMIT = 600;

export interface ImagePageParts {
  readonly catalogue: CatalogueOperations;
  readonly operations: StoreOperations;
}

/** One image: tags and what they meant before, what of each platform is here; pin and purge. */
export function imagePage({ catalogue, operations }: ImagePageParts): DashboardPage {
  return {
    path: '/image',
    title: 'Image',
    titleOf: (query) => query.get('image')?.slice(0, TITLE_LIMIT) || undefined,
    isHidden: true,
    section: '/images',
    content: async ({ query, now, signal }) => {
      const [image, pins] = await Promise.all([
        catalogue.image(query.get('image') ?? '', signal),
        operations.pins(signal),
      ]);
      return [
        html`<p><a href="/images">All images</a></p>`,
        summary(image, now),
        tags(image, pins, now),
        platforms(image),
      ];
    },
  };
}

function summary(image: ImageDetail, now: number): Html {
  const { upstream, repository, mediaType, blobs, usedAt } = image;
  const name = imageText({ upstream, repository, reference: image.digest });
  return html`<section aria-labelledby="image">
    <div class="head">
      <h2 id="image">Image ${image.pinned ? badge('pinned', 'calm') : ''}</h2>
      <div class="row">
        <a class="button quiet" href="/explain?image=${encodeURIComponent(name)}">Explain</a>
        ${purgeButton(image)}
      </div>
    </div>
    <dl class="facts">
      <dt>Digest</dt>
      <dd class="mono">${image.digest}</dd>
      <dt>Type</dt>
      <dd class="mono">${mediaType}</dd>
      <dt>Stored</dt>
      <dd>
        ${bytes(image.bytes)} in ${counted(blobs, 'blob')}, of which ${bytes(image.exclusiveBytes)} no other
        image uses
      </dd>
      <dt>Last used</dt>
      <dd>${when(usedAt, now)}</dd>
    </dl>
  </section>`;
}

function purgeButton({ upstream, repository, digest: root, exclusiveBytes, tags: rows }: ImageDetail): Html {
  const names =
    rows.length === 0 ? '' : ` with ${rows.length === 1 ? 'its tag' : `all its ${rows.length} tags`}`;
  return actionButton({
    label: 'Purge',
    subject: `${upstream}/${repository}`,
    path: 'purge',
    body: { upstream, repository, digest: root },
    kind: 'danger',
    confirm: `Forget this image${names}, and remove what nothing else uses: ${bytes(exclusiveBytes)}? Who pulls it next brings it back.`,
    next: '/images',
  });
}

function tags(
  { upstream, repository, tags: rows }: ImageDetail,
  pins: readonly PinEntry[],
  now: number,
): Html {
  const pinned = new Set(pins.filter(({ source }) => source === 'command').map(({ pattern }) => pattern));
  return html`<section>
    ${table({
      caption: 'Tags',
      columns: [
        { label: 'Tag' },
        { label: 'Asked upstream' },
        { label: 'Meant before' },
        { label: 'Change', kind: 'actions' },
      ],
      rows: rows.map(({ tag, checkedAt, history }) => {
        const pattern = imageText({ upstream, repository, reference: tag });
        return [
          tag,
          when(checkedAt, now),
          history.length === 0
            ? html`<span class="soft">nothing else, since it is here</span>`
            : html`<ul class="plain">
                ${history.map((former) => html`<li>${digest(former.digest)} until ${when(former.until, now)}</li>`)}
              </ul>`,
          tagButtons({ upstream, repository, tag, pattern, isPinned: pinned.has(pattern) }),
        ];
      }),
      empty: 'It has no tag here: it was pulled by digest.',
    })}
  </section>`;
}

interface TagButtons {
  readonly upstream: string;
  readonly repository: string;
  readonly tag: string;
  readonly pattern: string;
  readonly isPinned: boolean;
}

function tagButtons({ upstream, repository, tag, pattern, isPinned }: TagButtons): Content {
  return html`<div class="row">
    ${actionButton({ label: isPinned ? 'Unpin' : 'Pin', subject: tag, path: isPinned ? 'unpin' : 'pin', body: { pattern }, kind: 'quiet' })}
    ${actionButton({
      label: 'Purge tag',
      subject: tag,
      path: 'purge',
      body: { upstream, repository, tag },
      kind: 'danger',
      confirm: `Forget ${pattern}, and remove what nothing else uses? Who pulls it next brings it back.`,
      next: '/images',
    })}
  </div>`;
}

function platforms({ platforms: rows }: ImageDetail): Html {
  return html`<section>
    ${table({
      caption: 'Platforms',
      columns: [
        { label: 'Platform' },
        { label: 'Complete' },
        { label: 'Here', kind: 'number' },
        { label: 'Blobs', kind: 'number' },
        { label: 'Manifest' },
      ],
      rows: rows.map((row) => [
        row.platform ?? 'any',
        ...presence(row),
        row.blobs === undefined ? '–' : `${row.presentBlobs} of ${row.blobs}`,
        digest(row.digest),
      ]),
      empty: 'It is not known which platforms it is made for.',
    })}
  </section>`;
}
