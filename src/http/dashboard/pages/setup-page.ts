import { html } from 'hono/html';
import type { ClientSetup, SetupRequest } from '../../../client-setup/client-setup.ts';
import { CLIENTS, findClient } from '../../../client-setup/clients.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import type { Html } from '../formats.ts';

/** What points each client at the cache, to copy. */
export function setupPage(requestOf: () => SetupRequest): DashboardPage {
  return {
    path: '/setup',
    title: 'Set up clients',
    content: async ({ query }) => {
      const request = requestOf();
      const client = findClient(query.get('client') ?? '') ?? CLIENTS[0];
      if (client === undefined) return '';
      const made = client.setup(request);
      return Promise.resolve([
        request.cache.warnings.map((warning) => html`<p class="trouble">${warning}</p>`),
        html`<form class="filters" method="get" action="/setup">
          <label
            >Client
            <select name="client">
              ${CLIENTS.map(({ id, title }) => option(id, title, id === client.id))}
            </select>
          </label>
          <button class="quiet">Show</button>
        </form>`,
        files(client.title, made),
        notes(made),
      ]);
    },
  };
}

function option(id: string, title: string, isChosen: boolean): Html {
  return isChosen
    ? html`<option value="${id}" selected>${title}</option>`
    : html`<option value="${id}">${title}</option>`;
}

function files(title: string, { files: made, steps }: ClientSetup): Html {
  return html`<section aria-labelledby="files">
    <h2 id="files">${title}</h2>
    ${made.map(
      ({ path, content, merge }, at) =>
        html`<h3><code>${path}</code></h3>
          ${merge ? html`<p class="hint">If the file is there already, add this to it.</p>` : ''}
          ${snippet(`file-${at}`, content, `Copy ${path}`)}`,
    )}
    <h3>${made.length === 0 ? 'Do this' : 'Then'}</h3>
    ${snippet('steps', `${steps.join('\n')}\n`, 'Copy the steps')}
  </section>`;
}

function notes({ limits }: ClientSetup): Html | string {
  if (limits.length === 0) return '';
  return html`<section aria-labelledby="limits">
    <h2 id="limits">Good to know</h2>
    <ul>
      ${limits.map((limit) => html`<li>${limit}</li>`)}
    </ul>
  </section>`;
}

/** Text with a button that copies it. What is inside `pre` is as it stands. */
export function snippet(id: string, text: string, name: string): Html {
  return html`<div class="snippet">
    <pre id="${id}" tabindex="0" role="group" aria-label="${name.replace(/^Copy /, '')}">${text}</pre>
    <button type="button" class="needs-script quiet" data-copy="${id}" aria-label="${name}">Copy</button>
  </div>`;
}
