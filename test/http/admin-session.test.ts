import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AdminAnswer, askAdmin, formBody } from '../support/admin-request.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { startReloadable } from '../support/reloadable-app.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';
import { certificateAuthority as ca, serverCertificate } from '../upstream/certificates.ts';

const TOKEN = 'canary-admin-token';
const PIN = JSON.stringify({ pattern: 'docker.io/library/app' });
const JSON_TYPE = { 'content-type': 'application/json' };

async function start(options: Partial<RunningAppOptions> = {}): Promise<RunningApp> {
  const registry = closeAfterTest(await FakeRegistry.start());
  return startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...options });
}

async function signIn(
  adminUrl: string,
  { token = TOKEN, next = '' }: { readonly token?: string; readonly next?: string } = {},
): Promise<AdminAnswer> {
  return askAdmin(`${adminUrl}/login`, formBody({ token, next }));
}

/** As a browser sends it back. */
function cookieOf({ headers }: AdminAnswer): string {
  return headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}

function csrfTokenOf({ text }: AdminAnswer): string {
  return /<meta name="csrf-token" content="([^"]+)"/.exec(text)?.[1] ?? '';
}

async function pinsOf(app: RunningApp, headers: Record<string, string> = {}): Promise<unknown> {
  return JSON.parse((await askAdmin(`${app.adminUrl}/api/v1/pins`, { headers })).text);
}

describe('signing in', () => {
  it('is asked for once, and then everything can be seen', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const sent = await askAdmin(`${adminUrl}/store`);
    expect([sent.status, sent.headers.location]).toEqual([303, '/login?next=%2Fstore']);
    const form = await askAdmin(`${adminUrl}${sent.headers.location}`);
    expect(form.text).toContain('<input type="hidden" name="next" value="/store"');
    const answer = await signIn(adminUrl, { next: '/store' });
    expect([answer.status, answer.headers.location]).toEqual([303, '/store']);
    const headers = { cookie: cookieOf(answer) };
    for (const path of ['/store', '/metrics', '/api/v1/status'])
      expect((await askAdmin(adminUrl + path, { headers })).status, path).toBe(200);
    const again = await askAdmin(`${adminUrl}/login`, { headers });
    expect([again.status, again.headers.location]).toEqual([303, '/']);
  });

  it('gives a cookie that scripts and other sites never have', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const [cookie = ''] = (await signIn(adminUrl)).headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/^entrepot_session=[\w-]{43}; /);
    expect(cookie.split('; ').slice(1).toSorted()).toEqual([
      'HttpOnly',
      'Max-Age=43200',
      'Path=/',
      'SameSite=Strict',
    ]);
  });

  it('gives a cookie that goes over TLS alone where the listener speaks it', async () => {
    const dir = await tempDir();
    const { cert, key } = serverCertificate;
    const [certFile, keyFile] = [join(dir, 'tls.pem'), join(dir, 'tls-key.pem')];
    await Promise.all([writeFile(certFile, cert), writeFile(keyFile, key)]);
    const admin = { listen: '127.0.0.1:0', token: TOKEN, tls: { cert: certFile, key: keyFile } };
    const { app } = await startReloadable({ admin });
    const adminUrl = app.adminUrl.replace('http:', 'https:');
    const form = { ...formBody({ token: TOKEN, next: '' }), ca };
    const answer = await askAdmin(`${adminUrl}/login`, form);
    expect(answer.headers['set-cookie']?.[0]?.split('; ')).toContain('Secure');
    const headers = { cookie: cookieOf(answer) };
    expect((await askAdmin(`${adminUrl}/metrics`, { headers, ca })).status).toBe(200);
  });

  it('is refused with another token, and nothing can be seen then', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    for (const token of ['', 'x', TOKEN.toUpperCase(), `${TOKEN} `]) {
      const answer = await signIn(adminUrl, { token });
      expect(answer.status).toBe(401);
      expect(answer.headers['set-cookie']).toBeUndefined();
      expect(answer.text).toContain('That is not the token.');
    }
    const made = { cookie: `entrepot_session=${'A'.repeat(43)}` };
    expect((await askAdmin(`${adminUrl}/store`, { headers: made })).status).toBe(303);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers: made })).status).toBe(401);
    expect((await askAdmin(`${adminUrl}/api/v1/status`, { headers: made })).status).toBe(401);
  });

  it.each([
    'https://evil.example/',
    '//evil.example/',
    '/\\evil.example',
    '/nothing',
    'store',
    '/store\n',
    '',
  ])('leads to the first page, and never to %j', async (next) => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const { headers } = await signIn(adminUrl, { next });
    expect(headers.location).toMatch(/^\/(?:store)?$/);
  });

  it('can be tried in vain ten times in five minutes, and then not with the token either', async () => {
    const clock = new FakeClock();
    const { adminUrl } = await start({ adminToken: TOKEN, clock });
    for (let at = 0; at < 10; at += 1) expect((await signIn(adminUrl, { token: 'no' })).status).toBe(401);
    const refused = await signIn(adminUrl);
    expect([refused.status, refused.headers['set-cookie']]).toEqual([429, undefined]);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    // Programs that bring the token are none of it.
    const headers = { authorization: `Bearer ${TOKEN}` };
    expect((await askAdmin(`${adminUrl}/metrics`, { headers })).status).toBe(200);
    await clock.advance(5 * 60_000);
    expect((await signIn(adminUrl)).status).toBe(303);
  });

  it('takes no body without end', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    expect((await signIn(adminUrl, { token: 'a'.repeat(100_000) })).status).toBe(413);
  });

  it('takes no form of another site', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const form = formBody({ token: TOKEN, next: '' });
    for (const other of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
      const answer = await askAdmin(`${adminUrl}/login`, { ...form, headers: { ...form.headers, ...other } });
      expect([answer.status, answer.headers['set-cookie']]).toEqual([403, undefined]);
    }
  });
});

describe('a session', () => {
  it('ends after 12 hours', async () => {
    const clock = new FakeClock();
    const { adminUrl } = await start({ adminToken: TOKEN, clock });
    const headers = { cookie: cookieOf(await signIn(adminUrl)) };
    await clock.advance(12 * 3_600_000 - 1000);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers })).status).toBe(200);
    await clock.advance(1000);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers })).status).toBe(401);
    expect((await askAdmin(`${adminUrl}/store`, { headers })).status).toBe(303);
  });

  it('ends when its user signs out, by a form of its own page alone', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const headers = { cookie: cookieOf(await signIn(adminUrl)) };
    const other = cookieOf(await signIn(adminUrl));
    const csrf = csrfTokenOf(await askAdmin(`${adminUrl}/store`, { headers: { cookie: other } }));
    for (const wrong of [formBody({}), formBody({ csrf })])
      expect(
        (await askAdmin(`${adminUrl}/logout`, { ...wrong, headers: { ...headers, ...wrong.headers } }))
          .status,
      ).toBe(403);
    const page = await askAdmin(`${adminUrl}/store`, { headers });
    const form = formBody({ csrf: csrfTokenOf(page) });
    const out = await askAdmin(`${adminUrl}/logout`, { ...form, headers: { ...headers, ...form.headers } });
    expect([out.status, out.headers.location]).toEqual([303, '/login']);
    expect(out.headers['set-cookie']?.[0]).toMatch(/^entrepot_session=; Max-Age=0/);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers })).status).toBe(401);
    // Nobody else's.
    expect((await askAdmin(`${adminUrl}/metrics`, { headers: { cookie: other } })).status).toBe(200);
  });

  it('is one of a hundred: the oldest ends for the next', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    const first = { cookie: cookieOf(await signIn(adminUrl)) };
    const second = { cookie: cookieOf(await signIn(adminUrl)) };
    for (let at = 0; at < 99; at += 1) await signIn(adminUrl);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers: first })).status).toBe(401);
    expect((await askAdmin(`${adminUrl}/metrics`, { headers: second })).status).toBe(200);
  });

  it('is not known after a restart', async () => {
    const app = await start({ adminToken: TOKEN });
    const headers = { cookie: cookieOf(await signIn(app.adminUrl)) };
    await app.close();
    const next = await start({ adminToken: TOKEN, dataDir: app.dataDir });
    expect((await askAdmin(`${next.adminUrl}/metrics`, { headers })).status).toBe(401);
  });
});

describe('a change that a browser asks for', () => {
  it('needs the CSRF token of its session', async () => {
    const app = await start({ adminToken: TOKEN });
    const cookie = cookieOf(await signIn(app.adminUrl));
    const other = cookieOf(await signIn(app.adminUrl));
    const csrf = csrfTokenOf(await askAdmin(`${app.adminUrl}/store`, { headers: { cookie } }));
    const foreign = csrfTokenOf(await askAdmin(`${app.adminUrl}/store`, { headers: { cookie: other } }));
    const url = `${app.adminUrl}/api/v1/pin`;
    for (const wrong of [
      {},
      { 'x-csrf-token': '' },
      { 'x-csrf-token': foreign },
      { 'x-csrf-token': `${csrf}x` },
    ]) {
      const headers = { ...JSON_TYPE, cookie, ...(wrong as Record<string, string>) };
      const answer = await askAdmin(url, { headers, body: PIN });
      expect([answer.status, answer.headers['content-type']]).toEqual([403, 'application/problem+json']);
      expect(JSON.parse(answer.text)).toMatchObject({
        status: 403,
        detail: expect.stringContaining('X-CSRF-Token'),
      });
    }
    expect(await pinsOf(app, { cookie })).toEqual([]);
    const done = await askAdmin(url, { headers: { ...JSON_TYPE, cookie, 'x-csrf-token': csrf }, body: PIN });
    expect(done.status).toBe(200);
    expect(await pinsOf(app, { cookie })).toHaveLength(1);
  });

  it('needs it where nobody is asked for a token, too', async () => {
    const app = await start();
    const url = `${app.adminUrl}/api/v1/pin`;
    const csrf = csrfTokenOf(await askAdmin(`${app.adminUrl}/store`));
    const { host } = new URL(app.adminUrl);
    const marks: Record<string, string>[] = [
      { origin: `http://${host}` },
      { 'sec-fetch-site': 'same-origin' },
      { 'sec-fetch-site': 'none' },
      { cookie: 'theme=dark' },
    ];
    for (const mark of marks) {
      const without = await askAdmin(url, { headers: { ...JSON_TYPE, ...mark }, body: PIN });
      expect([mark, without.status]).toEqual([mark, 403]);
    }
    expect(await pinsOf(app)).toEqual([]);
    const headers = { ...JSON_TYPE, 'sec-fetch-site': 'same-origin', 'x-csrf-token': csrf };
    expect((await askAdmin(url, { headers, body: PIN })).status).toBe(200);
  });

  it('is not asked of programs: with the admin token, or where there is none', async () => {
    const open = await start();
    const url = `${open.adminUrl}/api/v1/pin`;
    expect((await askAdmin(url, { headers: JSON_TYPE, body: PIN })).status).toBe(200);
    // As Node's own fetch sends it.
    const fetched = { ...JSON_TYPE, 'sec-fetch-mode': 'cors' };
    expect((await askAdmin(url, { headers: fetched, body: PIN })).status).toBe(200);
    const closed = await start({ adminToken: TOKEN });
    const headers = { ...JSON_TYPE, authorization: `Bearer ${TOKEN}` };
    expect((await askAdmin(`${closed.adminUrl}/api/v1/pin`, { headers, body: PIN })).status).toBe(200);
  });
});
