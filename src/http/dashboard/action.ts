import { html } from 'hono/html';
import type { Content, Html } from './formats.ts';

/** A change that the page asks the admin API for. */
export interface Action {
  readonly label: string;
  /** What it is done to, where the label alone does not say: for who hears the page. */
  readonly subject?: string | undefined;
  /** Below /api/v1/. */
  readonly path: string;
  readonly body: object;
  /** Asked before. Absent: it is done at once. */
  readonly confirm?: string | undefined;
  /** Said when it is done, in place of what the API tells. */
  readonly done?: string | undefined;
  /** The page that is shown then. Absent: the same, as it is now. */
  readonly next?: string | undefined;
  readonly kind?: 'danger' | 'quiet' | undefined;
}

/** A button; without JavaScript there is none. */
export function actionButton({ label, subject, path, body, confirm, done, next, kind }: Action): Html {
  return html`<button
    type="button"
    class="needs-script ${kind ?? ''}"
    data-path="/api/v1/${path}"
    data-body="${JSON.stringify(body)}"
    ${confirm === undefined ? '' : html`data-confirm="${confirm}"`}
    ${done === undefined ? '' : html`data-done="${done}"`}
    ${next === undefined ? '' : html`data-next="${next}"`}
  >
    ${label}${subject === undefined ? '' : html`<span class="unseen"> ${subject}</span>`}
  </button>`;
}

/** A form whose fields are sent as JSON: names with `[]` as lists of lines, `?` as yes or no, `#` as numbers. */
export function actionForm(
  { label, path, done }: Pick<Action, 'label' | 'path' | 'done'>,
  fields: Content,
): Html {
  return html`<form
    class="action needs-script"
    data-path="/api/v1/${path}"
    ${done === undefined ? '' : html`data-done="${done}"`}
  >
    ${fields}
    <button type="submit">${label}</button>
  </form>`;
}
