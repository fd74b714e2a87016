import { html } from 'hono/html';
import type { Content, Html } from './formats.ts';

/** A number that matters, in a `<dl class="tiles">`. */
export function tile(name: string, value: string, hint: Content): Html {
  return html`<div class="tile">
    <dt>${name}</dt>
    <dd>
      <span class="value">${value}</span>
      <div class="hint">${hint}</div>
    </dd>
  </div>`;
}
