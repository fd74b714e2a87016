import { html } from 'hono/html';
import type { Content, Html } from './formats.ts';

export interface Column {
  readonly label: string;
  /** `number` stands at the right; `actions` has buttons, and no head that is seen. */
  readonly kind?: 'number' | 'actions' | undefined;
  /** Where the table is sorted by it; absent: it cannot be. */
  readonly sort?: SortLink | undefined;
}

export interface SortLink {
  readonly href: string;
  /** How it is sorted by this column now. */
  readonly order?: 'ascending' | 'descending' | undefined;
}

export interface TableParts {
  /** Says what the table is; seen unless `isCaptionHidden`. */
  readonly caption: string;
  readonly isCaptionHidden?: boolean;
  readonly columns: readonly Column[];
  /** A cell for each column; the first one names the row. */
  readonly rows: readonly (readonly Content[])[];
  /** In place of a table without rows. */
  readonly empty: Content;
}

/**
 * A table that becomes a list of cards where the window is narrow. Roles are said outright: browsers forget those of
 * tables that are laid out as anything else.
 */
export function table({ caption, isCaptionHidden = false, columns, rows, empty }: TableParts): Html {
  const heading = isCaptionHidden ? '' : html`<h2>${caption}</h2>`;
  if (rows.length === 0)
    return html`${heading}
      <div class="empty">${empty}</div>`;
  return html`<table role="table">
    <caption class="${isCaptionHidden ? 'unseen' : ''}">
      ${caption}
    </caption>
    <thead role="rowgroup">
      <tr role="row">
        ${columns.map(head)}
      </tr>
    </thead>
    <tbody role="rowgroup">
      ${rows.map(
        (cells) =>
          html`<tr role="row">
            ${cells.map((cell, at) => cellOf(cell, columns[at], at === 0))}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function head({ label, kind, sort }: Column): Html {
  const name = kind ?? '';
  if (kind === 'actions')
    return html`<th role="columnheader" scope="col" class="actions">
      <span class="unseen">${label}</span>
    </th>`;
  if (sort === undefined) return html`<th role="columnheader" scope="col" class="${name}">${label}</th>`;
  const mark = sort.order === undefined ? '' : sort.order === 'ascending' ? '▲' : '▼';
  return html`<th role="columnheader" scope="col" class="${name}" aria-sort="${sort.order ?? 'none'}">
    <a href="${sort.href}">${label}<span class="order" aria-hidden="true">${mark}</span></a>
  </th>`;
}

function cellOf(content: Content, column: Column | undefined, isName: boolean): Html {
  const { label = '', kind } = column ?? {};
  if (isName) return html`<th role="rowheader" scope="row" data-label="${label}">${content}</th>`;
  // One thing in each cell: on a phone it stands beside the label.
  return html`<td role="cell" class="${kind ?? ''}" data-label="${label}">
    ${content === '' ? '' : html`<div>${content}</div>`}
  </td>`;
}
