import { Hono } from 'hono';
import type { Context } from 'hono';
import { html } from 'hono/html';
import { StoreOperationError, type StoreOperationReason } from '../../cache/store-operation-error.ts';
import type { Clock } from '../../clock.ts';
import { type AdminEnvironment, csrfTokenFor } from '../admin-access.ts';
import type { AdminSessions } from '../admin-session.ts';
import type { Assets } from './assets.ts';
import type { DashboardPage } from './dashboard-page.ts';
import type { Content } from './formats.ts';
import { bareLayout, layout } from './layout.ts';

/** Assets have a hash in their address. */
const FOR_EVER = 'public, max-age=31536000, immutable';
const STATUS: Readonly<Partial<Record<StoreOperationReason, 400 | 404 | 429 | 500 | 502>>> = {
  'not-found': 404,
  invalid: 400,
  busy: 429,
  unreachable: 502,
  refused: 502,
};

export interface DashboardParts {
  readonly assets: Assets;
  readonly pages: readonly DashboardPage[];
  readonly sessions: AdminSessions;
  readonly clock: Clock;
  readonly version: string;
}

/** The files of the pages: they tell nothing, and need no token. */
export function assetsApp(assets: Assets): Hono {
  const app = new Hono();
  app.get('*', (c) => {
    const asset = assets.find(c.req.path);
    if (asset === undefined) return c.text('there is nothing here\n', 404);
    return c.body(asset.body, 200, { 'Content-Type': asset.type, 'Cache-Control': FOR_EVER });
  });
  return app;
}

/** The pages, for who may see them. */
export function pagesApp({
  assets,
  pages,
  sessions,
  clock,
  version,
}: DashboardParts): Hono<AdminEnvironment> {
  const app = new Hono<AdminEnvironment>();
  const navigation = pages.filter(({ isHidden }) => isHidden !== true);
  for (const page of pages) {
    app.get(page.path, async (c) => {
      const caller = c.get('caller');
      const frame = {
        assets,
        version,
        navigation,
        csrfToken: csrfTokenFor(caller, sessions),
        isSignedIn: caller.kind === 'session',
      };
      const query = new URL(c.req.url).searchParams;
      const request = { query, now: clock.now(), signal: c.req.raw.signal };
      const title = page.titleOf?.(query) ?? page.title;
      const { content, status } = await contentOf(page, request);
      return c.html(layout(frame, { ...page, title, path: page.section ?? page.path, content }), status);
    });
  }
  return app;
}

async function contentOf(
  page: DashboardPage,
  request: Parameters<DashboardPage['content']>[0],
): Promise<{ content: Content; status: 200 | 400 | 404 | 429 | 500 | 502 }> {
  try {
    return { content: await page.content(request), status: 200 };
  } catch (error) {
    request.signal.throwIfAborted();
    const isKnown = error instanceof StoreOperationError;
    const sentence = isKnown ? error.message : 'an unexpected error';
    const status = (isKnown ? STATUS[error.reason] : undefined) ?? 500;
    return {
      content: html`<p class="trouble bad" role="alert">This cannot be shown: ${sentence}.</p>`,
      status,
    };
  }
}

/** The form that asks for the token. */
export function loginPage(
  c: Context,
  assets: Assets,
  { next, problem }: { readonly next: string; readonly problem?: string | undefined },
): ReturnType<Context['html']> {
  const content = html`${problem === undefined ? '' : html`<p class="trouble bad" role="alert">${problem}</p>`}
    <form method="post" action="/login">
      <input type="hidden" name="next" value="${next}" />
      <p>
        <label
          >The admin token<input
            type="password"
            name="token"
            required
            autocomplete="current-password"
            autofocus
        /></label>
      </p>
      <p><button>Sign in</button></p>
    </form>
    <p class="hint">
      It is what <code>admin.token</code> (or <code>admin.tokenFile</code>) in the configuration says. You
      stay signed in for 12 hours.
    </p>`;
  return c.html(bareLayout(assets, 'Sign in', content));
}
