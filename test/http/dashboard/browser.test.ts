import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { pullImage } from '../../cache/store-operations-contract.ts';
import { askAdmin } from '../../support/admin-request.ts';
import { DESKTOP, openBrowser, PHONE, Visitor, type VisitorOptions } from '../../support/browser.ts';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { FakeRegistry } from '../../support/fake-registry.ts';
import { Gate } from '../../support/gate.ts';
import { get, openGet } from '../../support/http-get.ts';
import { buildImage, pushTo } from '../../support/images.ts';
import { describeWith } from '../../support/programs.ts';
import { startReloadable } from '../../support/reloadable-app.ts';
import { PAGE_PATHS } from '../../support/page-paths.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../../support/running-app.ts';
import { SOON } from '../../support/soon.ts';

const TOKEN = 'canary-admin-token';
const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=1</script>';
const IMAGE = buildImage();
const OTHER = buildImage({ seed: 2, platforms: ['linux/amd64', 'linux/arm64'] });

interface Scene {
  readonly app: RunningApp;
  readonly registry: FakeRegistry;
  readonly visit: (options?: VisitorOptions) => Promise<Visitor>;
}

/** Where the navigation leads. */
async function pathsOf({ page }: Visitor): Promise<readonly string[]> {
  return page.evaluate<string[]>(
    '[...document.querySelectorAll("nav.pages a")].map((link) => link.getAttribute("href"))',
  );
}

describeWith({ programs: ['chromium'] }, 'the page, in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(async () => browser.close());

  async function scene(options: Partial<RunningAppOptions> = {}): Promise<Scene> {
    const registry = closeAfterTest(await FakeRegistry.start());
    pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
    pushTo(registry, { repository: 'library/other', tag: 'v2', image: OTHER });
    const app = await startApp({
      upstreams: [
        { name: 'docker.io', url: registry.url },
        { name: 'quay.io', url: 'http://127.0.0.1:9' },
      ],
      ...options,
    });
    return {
      app,
      registry,
      visit: async (visited) => {
        const visitor = await Visitor.at(browser, app.adminUrl, visited);
        onTestFinished(async () => {
          expect(visitor.problems).toEqual([]);
          await visitor.leave();
        });
        return visitor;
      },
    };
  }

  /** With an image, and requests of all kinds. */
  async function usedScene(options: Partial<RunningAppOptions> = {}): Promise<Scene> {
    const made = await scene(options);
    const { url } = made.app;
    await pullImage(made.app, 'library/app', 'v1', IMAGE);
    await pullImage(made.app, 'library/app', 'v1', IMAGE);
    await get(`${url}/v2/app/manifests/none`, { headers: { 'user-agent': HOSTILE } });
    await vi.waitFor(async () => {
      const headers =
        options.adminToken === undefined ? {} : { authorization: `Bearer ${options.adminToken}` };
      const { body } = await get(`${made.app.adminUrl}/api/v1/status`, { headers });
      expect(JSON.parse(body.toString())).toMatchObject({ blobs: IMAGE.blobs.length + 1, reservedBytes: 0 });
    }, SOON);
    return made;
  }

  it.each([
    ['a phone', 'dark', PHONE],
    ['a desktop', 'light', DESKTOP],
  ] as const)(
    'has no fault that axe-core finds, and fits, on %s in %s colours: each page',
    async (_, scheme, size) => {
      const { visit } = await usedScene();
      const visitor = await visit({ scheme, size });
      const { page } = visitor;
      await page.goto('/store');
      const paths = await pathsOf(visitor);
      expect(paths).toEqual(expect.arrayContaining(PAGE_PATHS));
      for (const path of [...paths, '/image?image=app:v1', '/explain?image=app:v1', '/image?image=gone']) {
        await page.goto(path);
        await page.evaluate('for (const part of document.querySelectorAll("details")) part.open = true');
        expect(await visitor.accessibilityFaults(), path).toEqual([]);
        expect(await visitor.overflow(), path).toBe(0);
        expect(await page.title()).toMatch(/ · entrepot$/);
      }
      expect(visitor.problems.splice(0)).toEqual([expect.stringContaining('404')]);
    },
  );

  it('fits windows of any width, whatever names and agents are like', async () => {
    const { visit, app } = await usedScene();
    const long = 'a'.repeat(120);
    const agent = { 'user-agent': `${long}/1` };
    await get(`${app.url}/v2/${long}/${long}/manifests/${long}`, { headers: agent });
    await get(`${app.url}/v2/app/blobs/sha512:${'0'.repeat(128)}`, { headers: agent });
    await askAdmin(`${app.adminUrl}/api/v1/pin`, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ pattern: `docker.io/${long}/${long}:${long}` }),
    });
    const visitor = await visit();
    const { page } = visitor;
    for (const path of [
      '/',
      '/images',
      '/requests',
      '/clients',
      '/report',
      `/explain?image=${long}/${long}:${long}`,
    ]) {
      await page.goto(path);
      for (const width of [320, 390, 768, 1021, 1280]) {
        await page.setViewportSize({ width, height: 800 });
        expect([path, width, await visitor.overflow()]).toEqual([path, width, 0]);
      }
    }
  });

  it('asks for the token once, leads on to what was asked for, and signs out', async () => {
    const { visit } = await scene({ adminToken: TOKEN });
    const visitor = await visit({ size: PHONE });
    const { page } = visitor;
    await page.goto('/upstreams');
    expect(new URL(page.url()).pathname).toBe('/login');
    expect(await visitor.accessibilityFaults()).toEqual([]);
    await page.getByLabel('The admin token').fill(TOKEN);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/upstreams');
    expect(await page.content()).not.toContain(TOKEN);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL('**/login');
    await page.goto('/store');
    expect(new URL(page.url()).pathname).toBe('/login');
  });

  it('says that a token is wrong', async () => {
    const { visit } = await scene({ adminToken: TOKEN });
    const { page, problems } = await visit();
    await page.goto('/login');
    await page.getByLabel('The admin token').fill('guess');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('That is not the token.').waitFor();
    // Browsers tell of every 401.
    expect(problems.splice(0)).toEqual([expect.stringContaining('401')]);
  });

  it('takes an upstream offline when that is confirmed, and asks it again', async () => {
    const { visit } = await usedScene();
    const { page } = await visit();
    await page.goto('/upstreams');
    const upstream = page.getByRole('region', { name: /^quay\.io/ });
    await upstream.getByRole('button', { name: 'Take offline' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    expect(await page.getByRole('dialog').count()).toBe(0);
    expect(await upstream.getByText('offline', { exact: true }).count()).toBe(0);
    await upstream.getByRole('button', { name: 'Take offline' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Take offline' }).click();
    await page.getByText('quay.io is offline.').waitFor();
    await upstream.getByText('offline', { exact: true }).waitFor();
    await upstream.getByRole('button', { name: 'Ask it again' }).click();
    await page.getByText('quay.io is asked again.').waitFor();
    await page.getByRole('button', { name: 'Go offline' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Go offline' }).click();
    await page.getByText('No upstream is asked any more.').waitFor();
    await page.getByRole('button', { name: 'Ask upstreams again' }).click();
    await page.getByText('Every upstream is asked again.').waitFor();
  });

  it('verifies the store, and tells what came of it', async () => {
    const { visit } = await usedScene();
    const { page } = await visit({ size: PHONE });
    await page.goto('/store');
    await page.getByRole('button', { name: 'Verify everything now' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Verify everything now' }).click();
    await page.getByText(`Checked ${IMAGE.blobs.length + 1} blobs`).waitFor();
  });

  it('says the sentence of the API when a change is refused, and that nobody is signed in any more', async () => {
    const { visit, app } = await scene({ adminToken: TOKEN });
    const { page, problems } = await visit();
    await page.goto('/upstreams');
    await page.getByLabel('The admin token').fill(TOKEN);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL('**/upstreams');
    const button = page.getByRole('button', { name: 'Take offline' }).first();
    const press = async (): Promise<void> => {
      await button.click();
      await page.getByRole('dialog').getByRole('button', { name: 'Take offline' }).click();
    };
    // As if it had been taken out of the configuration since the page was loaded.
    const postData = JSON.stringify({ offline: true, upstreams: ['gone.example'] });
    await page.route('**/api/v1/offline', (route) => route.continue({ postData }), { times: 1 });
    await press();
    await page.getByText('upstream gone.example: not configured; there are docker.io, quay.io').waitFor();
    await page.context().clearCookies();
    await press();
    await page.getByText('You are not signed in any more: load the page again.').waitFor();
    expect(problems.splice(0)).toEqual([expect.stringContaining('400'), expect.stringContaining('401')]);
    await app.close();
    await press();
    await page.getByText('entrepot cannot be reached.').waitFor();
    expect(problems.splice(0)).toEqual([expect.stringContaining('ERR_CONNECTION')]);
  });

  it('shows how to set up any client, to copy', async () => {
    const { visit } = await scene();
    const { page } = await visit({ size: PHONE });
    await page.goto('/setup');
    await page.getByText('"registry-mirrors"').waitFor();
    await page.getByLabel('Client').selectOption('podman');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText('[[registry]]').first().waitFor();
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page
      .getByRole('button', { name: /^Copy: .*registries\.conf/ })
      .first()
      .click();
    await page.getByText('Copied.').waitFor();
    expect(await page.evaluate<string>('navigator.clipboard.readText()')).toContain('[[registry]]');
  });

  it('is used by keyboard alone', async () => {
    const { visit } = await usedScene();
    const { page } = await visit();
    await page.goto('/upstreams');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to content');
    await page.keyboard.press('Enter');
    expect(await page.evaluate('document.activeElement.id')).toBe('main');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    expect(await page.evaluate('document.activeElement.closest("dialog") !== null')).toBe(true);
    await page.keyboard.press('Escape');
    await page.waitForFunction('document.activeElement.textContent.includes("Go offline")');
    expect(await page.getByRole('dialog').count()).toBe(0);
  });

  it('can be read without JavaScript, and has no button that would do nothing', async () => {
    const { visit } = await usedScene();
    const visitor = await visit({ scripts: false });
    const { page } = visitor;
    await page.goto('/store');
    // Not by its text: Playwright looks past what is in noscript.
    await page.locator('noscript p').waitFor();
    expect(await page.getByRole('row', { name: /docker\.io/ }).count()).toBeGreaterThan(0);
    const links = await page.getByRole('navigation').getByRole('link').all();
    const paths = await Promise.all(links.map((link) => link.getAttribute('href')));
    for (const path of paths) {
      await page.goto(path ?? '');
      expect(
        await page.locator('main button[data-path]:visible, main [data-copy]:visible').count(),
        path ?? '',
      ).toBe(0);
    }
    await page.goto('/setup');
    await page.getByLabel('Client').selectOption('podman');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByText('[[registry]]').first().waitFor();
  });

  it('shows what goes on as it goes on, and what was asked for, with the reason', async () => {
    const { visit, app, registry } = await usedScene();
    const { page } = await visit({ size: PHONE });
    await page.goto('/');
    await page.getByText('Updates: live').waitFor();
    const digest = registry.addBlob('library/app', { size: 300_000, seed: 7 });
    const gate = new Gate();
    registry.faults.add({ match: { path: /blobs/ }, action: { stallAfter: { bytes: 200_000, gate } } });
    const reader = await openGet(`${app.url}/v2/app/blobs/${digest}`);
    const fills = page.getByRole('region', { name: 'Being fetched' });
    await fills.getByText(digest.slice(0, 19)).waitFor();
    await fills.getByText('195 KiB of 293 KiB').waitFor();
    const requests = page.getByRole('region', { name: 'Being answered' });
    await requests.getByText('miss').waitFor();
    gate.open();
    await reader.finished();
    await fills.getByText('Nothing is on its way from an upstream.').waitFor();
    await requests.getByText('Nobody is asking for anything.').waitFor();
    await page.getByRole('link', { name: 'Recent requests' }).click();
    await page.getByText('It was not in the cache').first().waitFor();
    await page.getByText(HOSTILE).first().waitFor();
    await page.getByLabel('Outcome').selectOption('miss');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.waitForURL('**outcome=miss**');
    await page.getByRole('link', { name: 'explain', exact: true }).first().click();
    await page.getByRole('heading', { name: /library\/app/ }).waitFor();
    expect(await page.title()).toBe('Explain an image · entrepot');
  });

  it('tells who is new here what to do next', async () => {
    const { visit } = await scene();
    const visitor = await visit();
    const { page } = visitor;
    await page.goto('/');
    await page.getByText('Nothing was pulled yet: point Docker at it').waitFor();
    await page.getByText('"registry-mirrors"').waitFor();
    for (const path of ['/', '/images', '/requests']) {
      await page.goto(path);
      expect(await visitor.accessibilityFaults(), path).toEqual([]);
    }
  });

  it('finds, sorts, pins and purges images', async () => {
    const { visit, app } = await usedScene();
    await pullImage(app, 'library/other', 'v2', OTHER);
    const { page } = await visit({ size: PHONE });
    await page.goto('/images');
    await page.getByLabel('Search').fill('other');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.waitForURL('**search=other**');
    expect(await page.getByRole('link', { name: 'docker.io/library/app' }).count()).toBe(0);
    await page.getByRole('link', { name: 'docker.io/library/other' }).click();
    await page.getByRole('heading', { name: 'docker.io/library/other:v2' }).waitFor();
    await page.getByRole('row', { name: /^linux\/amd64 .*complete/ }).waitFor();
    await page.getByRole('row', { name: /^linux\/arm64 .*complete/ }).waitFor();
    await page.getByRole('button', { name: 'Pin v2', exact: true }).click();
    await page.getByText('Done: docker.io/library/other:v2, 1 image.').waitFor();
    await page.getByRole('button', { name: 'Unpin v2' }).waitFor();
    await page.getByRole('button', { name: 'Purge docker.io/library/other' }).click();
    await page
      .getByRole('dialog')
      .getByText(/Forget this image with its tag/)
      .waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Purge docker.io/library/other' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
    await page.waitForURL('**/images');
    await page.getByText(/^Done: \d blobs, .* removed\.$/).waitFor();
    expect(await page.getByRole('link', { name: 'docker.io/library/other' }).count()).toBe(0);
    expect(await page.getByRole('link', { name: 'docker.io/library/app' }).count()).toBe(1);
    await page.getByRole('button', { name: 'Unpin docker.io/library/other:v2' }).click();
    await page.getByText('Nothing is pinned.').waitFor();
    await page.getByLabel('Image, or a pattern with * and **').fill('quay.io/org/**');
    await page.getByRole('button', { name: 'Pin', exact: true }).click();
    await page.getByText('Done: quay.io/org/**, 0 images.').waitFor();
    await page.getByRole('cell', { name: 'command' }).waitFor();
  });

  it('sorts and pages images without JavaScript', async () => {
    const { visit, app } = await usedScene();
    await pullImage(app, 'library/other', 'v2', OTHER);
    const { page } = await visit({ scripts: false });
    await page.goto('/images');
    const names = async (): Promise<readonly string[]> =>
      page.getByRole('link', { name: /^docker\.io\/library/ }).allTextContents();
    await page.getByRole('columnheader', { name: 'Image' }).getByRole('link').click();
    expect(await names()).toEqual(['docker.io/library/app', 'docker.io/library/other']);
    expect(await page.getByRole('columnheader', { name: 'Image' }).getAttribute('aria-sort')).toBe(
      'ascending',
    );
    await page.getByRole('columnheader', { name: 'Image' }).getByRole('link').click();
    expect(await names()).toEqual(['docker.io/library/other', 'docker.io/library/app']);
    await page.goto('/images?search=nothing');
    await page.getByText('No image fits “nothing”.').waitFor();
  });

  it('fetches images ahead, shows how far it is, and cancels', async () => {
    const { visit, registry } = await scene();
    const { page, problems } = await visit();
    await page.goto('/warm');
    await page.getByLabel('Images, as you would pull them').fill('nginx:');
    await page.getByRole('button', { name: 'Fetch', exact: true }).click();
    await page.getByText(/^images\.0: /).waitFor();
    expect(problems.splice(0)).toEqual([expect.stringContaining('400')]);
    await page.getByLabel('Images, as you would pull them').fill('app:v1');
    await page.getByRole('button', { name: 'Fetch', exact: true }).click();
    await page.getByText('Begun.').waitFor();
    await page.getByText('1 of 1 image').waitFor();
    await page.getByText('done', { exact: true }).waitFor();
    const gate = new Gate();
    registry.faults.add({ match: { path: /other\/blobs/ }, action: { stallAfter: { bytes: 100, gate } } });
    await page.getByLabel('Images, as you would pull them').fill('other:v2');
    await page.getByRole('button', { name: 'Fetch', exact: true }).click();
    await page.getByText('0 of 1 image').waitFor();
    await page.getByRole('button', { name: /^Cancel docker/ }).click();
    await page.getByText('Cancelled; what was fetched is kept.').waitFor();
    await page.getByText('cancelled', { exact: true }).waitFor();
    gate.open();
  });

  it('reads the configuration again when that is confirmed, and says what is wrong with it', async () => {
    const settings = { upstreams: { 'docker.io': { url: 'http://127.0.0.1:9' } } };
    const { app, write, writeText } = await startReloadable(settings);
    const visitor = await Visitor.at(browser, app.adminUrl);
    onTestFinished(() => visitor.leave());
    const { page, problems } = visitor;
    const reload = async (): Promise<void> => {
      await page.getByRole('button', { name: 'Read it again' }).click();
      await page.getByRole('dialog').getByRole('button', { name: 'Read it again' }).click();
    };
    await page.goto('/configuration');
    await write({ ...settings, log: { level: 'debug', access: 'none' } });
    await reload();
    await page.getByText('Read again. These hold now: log.access.').waitFor();
    await page.getByRole('row', { name: /^log\.access none/ }).waitFor();
    expect(problems).toEqual([]);
    await writeText('colour: red');
    await reload();
    await page.locator('#notices .bad').getByText('colour').waitFor();
    expect(problems).toEqual([expect.stringContaining('400')]);
  });
});
