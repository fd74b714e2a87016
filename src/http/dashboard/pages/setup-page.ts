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

function files(title: string, made: ClientSetup): Html {
  return html`<section aria-labelledby="files">
    <h2 id="files">${title}</h2>
    ${setupSnippets(made)}
  </section>`;
}

/** The files of a client, and what to do then. */
export function setupSnippets({ files: made, steps }: ClientSetup): Html {
  return html`${made.map(({ path, content, merge }, at) =>
    snippet(`file-${at}`, content, {
      name: path,
      hint: merge ? 'If it is there already, add this to it.' : '',
    }),
  )}
  ${snippet('steps', `${steps.join('\n')}\n`, { name: made.length === 0 ? 'Do this' : 'Then', hint: '' })}`;
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
function snippet(
  id: string,
  text: string,
  { name, hint }: { readonly name: string; readonly hint: string },
): Html {
  return html`<div class="snippet">
    <div class="head">
      <div>
        <h3 id="${id}-name">${name}</h3>
        ${hint === '' ? '' : html`<span class="hint">${hint}</span>`}
      </div>
      <button type="button" class="needs-script quiet" data-copy="${id}" aria-label="Copy: ${name}">
        Copy
      </button>
    </div>
    ${html`<pre id="${id}" tabindex="0" role="group" aria-labelledby="${id}-name">${text}</pre>`}
  </div>`;
}
