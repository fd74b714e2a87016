import { html, raw } from 'hono/html';
import type { AssetName, Assets } from './assets.ts';
import type { Content, Html } from './formats.ts';

/** A link of the navigation. */
export interface NavigationEntry {
  readonly path: string;
  readonly title: string;
}

/** What stands around every page. */
export interface Frame {
  readonly assets: Assets;
  readonly version: string;
  /** Sent with every change. */
  readonly csrfToken: string;
  /** There is somebody to sign out. */
  readonly isSignedIn: boolean;
  readonly navigation: readonly NavigationEntry[];
}

export interface PageParts {
  readonly title: string;
  /** Of the navigation's entry that is shown as the one where one is. */
  readonly path: string;
  /** Name of a script that it needs besides. */
  readonly script?: AssetName | undefined;
  readonly content: Content;
}

/** A whole page. */
export function layout(frame: Frame, { title, path, script, content }: PageParts): Html {
  const { assets, version, csrfToken, isSignedIn, navigation } = frame;
  return html`${raw('<!doctype html>')}
    <html lang="en">
      <head>
        ${headOf(assets, title)}
        <meta name="csrf-token" content="${csrfToken}" />
        <script type="module" src="${assets.pathOf('page.js')}"></script>
        ${script === undefined ? '' : html`<script type="module" src="${assets.pathOf(script)}"></script>`}
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header class="top">
          <a class="mark" href="/"
            ><img src="${assets.pathOf('mark.svg')}" alt="" width="28" height="28" />entrepot</a
          >
          ${isSignedIn ? signOut(csrfToken) : ''}
        </header>
        <nav class="pages" aria-label="Pages">
          <ul>
            ${navigation.map((entry) => navigationLink(entry, entry.path === path))}
          </ul>
        </nav>
        <main id="main" tabindex="-1">
          <h1>${title}</h1>
          <noscript
            ><p class="note">
              Everything can be read without JavaScript. Changes need it, or the
              <code>entrepot</code> command.
            </p></noscript
          >
          ${content}
        </main>
        <footer>
          entrepot ${version} · <a href="/metrics">metrics</a> · <a href="/api/v1/openapi.json">API</a>
        </footer>
        <div id="notices" role="status" aria-live="polite"></div>
      </body>
    </html>`;
}

/** A page with nothing around it, for who is not signed in. */
export function bareLayout(assets: Assets, title: string, content: Content): Html {
  return html`${raw('<!doctype html>')}
    <html lang="en">
      <head>
        ${headOf(assets, title)}
      </head>
      <body class="bare">
        <main id="main">
          <p class="mark"><img src="${assets.pathOf('mark.svg')}" alt="" width="40" height="40" />entrepot</p>
          <h1>${title}</h1>
          ${content}
        </main>
      </body>
    </html>`;
}

function headOf(assets: Assets, title: string): Html {
  return html`<meta charset="utf-8" />
    <title>${title} · entrepot</title>
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <link rel="icon" href="${assets.pathOf('mark.svg')}" type="image/svg+xml" />
    <link rel="stylesheet" href="${assets.pathOf('style.css')}" />`;
}

function navigationLink({ path, title }: NavigationEntry, isCurrent: boolean): Html {
  return isCurrent
    ? html`<li><a href="${path}" aria-current="page">${title}</a></li>`
    : html`<li><a href="${path}">${title}</a></li>`;
}

function signOut(csrfToken: string): Html {
  return html`<form method="post" action="/logout">
    <input type="hidden" name="csrf" value="${csrfToken}" /><button class="quiet">Sign out</button>
  </form>`;
}
