import { html } from 'hono/html';
import type { ConfigDocument, ConfigSetting } from '../../../config-document.ts';
import type { ReloadOperations } from '../../../reload-operations.ts';
import { actionButton } from '../action.ts';
import type { DashboardPage } from '../dashboard-page.ts';
import { badge, type Content, type Html } from '../formats.ts';
import { counted } from '../../../quantity-text.ts';
import { table } from '../table.ts';

/** The configuration that holds, without its secrets; and taking it again. */
export function configurationPage(reload: ReloadOperations): DashboardPage {
  return {
    path: '/configuration',
    title: 'Configuration',
    content: async ({ signal }) => {
      const document = await reload.config(signal);
      const written = document.settings.filter(({ source }) => source !== 'default');
      const usual = document.settings.filter(({ source }) => source === 'default');
      return [head(document), writtenTable(written), usualTable(usual)];
    },
  };
}

function head({ file }: ConfigDocument): Html {
  return html`<div class="head">
    <p class="hint">
      What holds now.
      ${file === undefined ? 'There is no file: all is as by default, or of the environment.' : html`The file is <code>${file}</code>.`}
      Secrets are not shown.
    </p>
    ${actionButton({
      label: 'Read it again',
      path: 'reload',
      body: {},
      kind: 'quiet',
      confirm:
        'The configuration is read and checked as a whole, then all of it that can change without a restart holds. If anything is wrong, nothing changes.',
    })}
  </div>`;
}

function writtenTable(settings: readonly ConfigSetting[]): Html {
  return html`<section>
    ${table({
      caption: 'Set here',
      columns: [{ label: 'Key' }, { label: 'Value' }, { label: 'From' }, { label: 'A change holds' }],
      rows: settings.map((setting) => [
        html`<code>${setting.key}</code>`,
        valueOf(setting),
        setting.variable === undefined ? setting.source : html`<code>${setting.variable}</code>`,
        holds(setting),
      ]),
      empty: html`<strong>All is as by default.</strong> <code>config.example.yaml</code> has every key, and
        what it means.`,
    })}
  </section>`;
}

function usualTable(settings: readonly ConfigSetting[]): Html {
  return html`<section>
    <details>
      <summary>${counted(settings.length, 'setting')} as by default</summary>
      ${table({
        caption: 'As by default',
        isCaptionHidden: true,
        columns: [{ label: 'Key' }, { label: 'Value' }, { label: 'A change holds' }],
        rows: settings.map((setting) => [
          html`<code>${setting.key}</code>`,
          valueOf(setting),
          holds(setting),
        ]),
        empty: 'There is none.',
      })}
    </details>
  </section>`;
}

function valueOf({ value }: ConfigSetting): Content {
  if (!Array.isArray(value)) return html`<code>${String(value)}</code>`;
  if (value.length === 0) return html`<span class="soft">none</span>`;
  return html`<ul class="plain">
    ${value.map((one) => html`<li><code>${String(one)}</code></li>`)}
  </ul>`;
}

function holds({ needsRestart }: ConfigSetting): Content {
  return needsRestart ? badge('from a restart on', 'calm') : 'when it is read again';
}
