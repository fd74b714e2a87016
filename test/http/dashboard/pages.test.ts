import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/clock.ts';
import { type AdminAnswer, askAdmin, formBody } from '../../support/admin-request.ts';
import { closeAfterTest } from '../../support/close-after-test.ts';
import { FakeRegistry } from '../../support/fake-registry.ts';
import { get } from '../../support/http-get.ts';
import { startReloadable } from '../../support/reloadable-app.ts';
import { buildImage, pushTo } from '../../support/images.ts';
import { PAGE_PATHS } from '../../support/page-paths.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../../support/running-app.ts';
import { SOON } from '../../support/soon.ts';

const TOKEN = 'canary-admin-token';
const HOSTILE = `"'><script>alert(1)</script><img src=x onerror=alert(1)>`;

async function start(
  options: Partial<RunningAppOptions> = {},
): Promise<{ app: RunningApp; registry: FakeRegistry }> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...options });
  return { app, registry };
}

async function signedIn(adminUrl: string): Promise<Record<string, string>> {
  const { headers } = await askAdmin(`${adminUrl}/login`, formBody({ token: TOKEN, next: '' }));
  return { cookie: headers['set-cookie']?.[0]?.split(';')[0] ?? '' };
}

function expectGuarded({ headers }: AdminAnswer): void {
  const policy = String(headers['content-security-policy']).split('; ');
  expect(policy).toEqual([
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ]);
  expect(headers['x-content-type-options']).toBe('nosniff');
  expect(headers['referrer-policy']).toBe('same-origin');
  expect(headers['x-frame-options']).toBe('DENY');
}

describe('every page', () => {
  it('has a policy that lets nothing in from elsewhere, is not kept, and has no secret in it', async () => {
    const { app } = await start({ adminToken: TOKEN });
    const headers = await signedIn(app.adminUrl);
    for (const path of PAGE_PATHS) {
      const answer = await askAdmin(app.adminUrl + path, { headers });
      expect([path, answer.status, answer.headers['cache-control']]).toEqual([path, 200, 'no-store']);
      expect(answer.headers['content-type']).toMatch(/^text\/html; charset=utf-8$/i);
      expectGuarded(answer);
      expect(answer.text).not.toContain(TOKEN);
      expect(answer.text).not.toContain(headers['cookie']?.split('=')[1]);
      // No script, style or handler in the page itself: the policy would refuse it.
      expect(answer.text).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=/i);
      for (const [, address] of answer.text.matchAll(/(?:src|href|action)="([^"]*)"/g))
        expect(address, path).toMatch(/^(?:\/(?!\/)|#)/);
    }
    const form = await askAdmin(`${app.adminUrl}/login`);
    expectGuarded(form);
    expect(form.headers['cache-control']).toBe('no-store');
  });

  it('is for who signed in alone', async () => {
    const { app } = await start({ adminToken: TOKEN });
    for (const path of [...PAGE_PATHS, '/image?image=app']) {
      const answer = await askAdmin(app.adminUrl + path);
      expect([path, answer.status]).toEqual([path, 303]);
      expect(answer.headers.location).toMatch(/^\/login/);
      const headers = { authorization: 'Bearer wrong' };
      expect((await askAdmin(app.adminUrl + path, { headers })).status).toBe(401);
    }
  });

  it('is shown under no name that somebody else may have given this machine', async () => {
    const { app } = await start();
    const headers = { host: 'evil.example:5001' };
    for (const path of [...PAGE_PATHS, '/login']) {
      const answer = await askAdmin(app.adminUrl + path, { headers });
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.text).not.toContain('csrf');
    }
  });

  it('shows what others wrote as text', async () => {
    const { app } = await start();
    await get(`${app.url}/v2/app/manifests/none`, { headers: { 'user-agent': HOSTILE } });
    const encoded = encodeURIComponent(HOSTILE);
    const pages = [
      '/requests',
      `/requests?client=${encoded}&upstream=${encoded}&outcome=${encoded}`,
      `/images?search=${encoded}`,
      `/images?sort=${encoded}&order=${encoded}`,
      `/image?image=${encoded}`,
      `/explain?image=${encoded}`,
      `/setup?client=${encoded}`,
      `/report?days=${encoded}`,
      `/clients?sort=${encoded}`,
    ];
    for (const path of pages) {
      const { text, status } = await askAdmin(app.adminUrl + path);
      expect(status, path).toBeLessThan(500);
      expect(text, path).not.toMatch(/<script>|<img src=x|"'>/);
    }
    expect((await askAdmin(`${app.adminUrl}/requests`)).text).toContain(
      '&lt;script&gt;alert(1)&lt;/script&gt;',
    );
    const { adminUrl } = (await start({ adminToken: TOKEN })).app;
    expect((await askAdmin(`${adminUrl}/login?next=${encoded}`)).text).not.toContain('<script>');
    expect((await askAdmin(`${adminUrl}/images?search=${encoded}`)).headers.location).toMatch(
      /^\/login\?next=[\w%.~()'*!-]+$/,
    );
  });

  it('says in a sentence what cannot be shown', async () => {
    const { app } = await start();
    const missing = await askAdmin(`${app.adminUrl}/image?image=app:v1`);
    expect([missing.status, missing.headers['content-type']]).toEqual([
      404,
      expect.stringContaining('text/html'),
    ]);
    expect(missing.text).toMatch(
      /role="alert">\s*This cannot be shown: nothing is cached of docker\.io\/library\/app:v1/,
    );
    expect((await askAdmin(`${app.adminUrl}/image`)).status).toBe(400);
    expect((await askAdmin(`${app.adminUrl}/explain?image=%20%20`)).status).toBe(200);
    expect((await askAdmin(`${app.adminUrl}/images?after=nonsense`)).status).toBe(400);
  });
});

describe('the configuration', () => {
  it('is shown with its sources, and without its secrets', async () => {
    const { app } = await startReloadable(
      { upstreams: { 'docker.io': { auth: { username: 'me', password: 'canary-password' } } } },
      { environment: { ENTREPOT_OFFLINE: 'true' } },
    );
    const { text } = await askAdmin(`${app.adminUrl}/configuration`);
    expect(text).toContain('<code>upstreams.docker.io.auth.password</code>');
    expect(text).toContain('<code>***</code>');
    expect(text).toContain('<code>ENTREPOT_OFFLINE</code>');
    expect(text).not.toContain('canary');
  });
});

describe('assets', () => {
  it('need no token, have their content in their address, and are kept for ever', async () => {
    const { app } = await start({ adminToken: TOKEN });
    const headers = await signedIn(app.adminUrl);
    const { text } = await askAdmin(`${app.adminUrl}/`, { headers });
    const paths = new Set([...text.matchAll(/"(\/assets\/[^"]+)"/g)].map(([, path = '']) => path));
    expect([...paths].map((path) => path.split('/').at(-1) ?? '').toSorted()).toEqual([
      'live.js',
      'mark.svg',
      'page.js',
      'style.css',
    ]);
    for (const path of [...paths, [...paths][0]?.replace(/[^/]+$/, 'quantities.js') ?? '']) {
      const asset = await askAdmin(app.adminUrl + path);
      expect([path, asset.status]).toEqual([path, 200]);
      expect(asset.headers['cache-control']).toBe('public, max-age=31536000, immutable');
      expect(asset.headers['x-content-type-options']).toBe('nosniff');
    }
    for (const path of [
      '/assets/',
      '/assets/style.css',
      '/assets/../package.json',
      '/assets/%2e%2e/%2e%2e/package.json',
    ])
      expect((await askAdmin(app.adminUrl + path)).status, path).toBeGreaterThanOrEqual(400);
  });
});

describe('what failed', () => {
  it('is told beside the hit ratio, of each client, and in the report', async () => {
    const { app, registry } = await start();
    const overview = async () => (await askAdmin(`${app.adminUrl}/`)).text;
    expect(await overview()).not.toContain('failed</span>');
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '600' } } } });
    for (let round = 0; round < 2; round += 1)
      expect((await get(`${app.url}/v2/library/app/manifests/v1`)).status).toBeGreaterThan(428);
    await vi.waitFor(
      async () =>
        expect(await overview()).toMatch(/Hit ratio<[\s\S]{1,300}<span class="badge warn">2 failed<\/span>/),
      SOON,
    );
    const rows = async (path: string) => (await askAdmin(app.adminUrl + path)).text;
    expect(await rows('/clients')).toMatch(/data-label="Failed"[^>]*>\s*(?:<div>)?2</);
    const report = await rows('/report');
    expect(report).toMatch(/Hit ratio<[\s\S]{1,300}<span class="badge warn">2 failed<\/span>/);
    expect(report).toMatch(/data-label="Failed"[^>]*>\s*(?:<div>)?2</);
  });
});

describe('the overview', () => {
  it('says since when it counts until it has counted for a day', async () => {
    let passed = 0;
    const now = () => systemClock.now() + passed;
    const monotonic = () => systemClock.monotonic() + passed;
    const { app, registry } = await start({ clock: { ...systemClock, now, monotonic } });
    pushTo(registry, { repository: 'library/app', tag: 'v1', image: buildImage() });
    const pull = async () => expect((await get(`${app.url}/v2/library/app/manifests/v1`)).status).toBe(200);
    await pull();
    const overview = async () => (await askAdmin(`${app.adminUrl}/`)).text;
    const young = /Since the start, <time [^>]*>3\smin ago<\/time>[^<]*<a href="\/report\?days=1">/;
    passed = 3.5 * 60_000;
    await vi.waitFor(async () => expect(await overview()).toMatch(young), SOON);
    expect(await overview()).toMatch(/<h2 id="traffic">Hit ratio since the start<\/h2>/);
    expect(await overview()).not.toMatch(/in 24 h|last 24 hours/i);
    passed = 25 * 3_600_000;
    await pull();
    await vi.waitFor(
      async () => expect(await overview()).toMatch(/<h2 id="traffic">Hit ratio, last 24 hours<\/h2>/),
      SOON,
    );
    expect(await overview()).toMatch(/ in 24 h/);
    expect(await overview()).not.toMatch(/since the start/i);
  });
});
