import { html } from 'hono/html';
import { actionButton } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import type { Html } from '../formats.ts';

/** The configuration that holds, and taking it again. @param config without its secrets */
export function configurationPage(config: () => Readonly<Record<string, unknown>>): DashboardPage {
  return {
    path: '/configuration',
    title: 'Configuration',
    content: async () =>
      Promise.resolve([
        html`<div class="head">
          <p class="hint">What holds now. Secrets are not shown.</p>
          ${reloadButton()}
        </div>`,
        Object.entries(config()).map(([key, value]) => part(key, value)),
      ]),
  };
}

function reloadButton(): Html {
  return actionButton({
    label: 'Read the file again',
    path: 'reload',
    body: {},
    kind: 'quiet',
    confirm:
      'The configuration file is read and checked as a whole, then all of it that can change without a restart holds. If anything is wrong, nothing changes.',
  });
}

function part(key: string, value: unknown): Html {
  return html`<section aria-labelledby="key-${key}">
    <h2 id="key-${key}">${key}</h2>
    ${shown(value, key)}
  </section>`;
}

function shown(value: unknown, name: string): Html {
  if (typeof value !== 'object' || value === null) return html`<p class="mono">${JSON.stringify(value)}</p>`;
  return html`<pre tabindex="0" role="group" aria-labelledby="key-${name}">
${JSON.stringify(value, null, 2)}</pre>`;
}
