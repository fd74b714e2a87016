import { request } from 'node:http';
import { describe, expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { pullImage } from '../cache/store-operations-contract.ts';

const TOKEN = 'canary-admin-token';
const IMAGE = buildImage();

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** With any header at all, `Host` too. */
async function ask(adminUrl: string, path: string, { method, headers, body }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${adminUrl}/api/v1/${path}`,
      { method: method ?? (body === undefined ? 'GET' : 'POST'), headers: { ...headers }, agent: false },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }));
        answer.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

const JSON_TYPE = { 'content-type': 'application/json' };
const NDJSON = { accept: 'application/x-ndjson' };

async function start(options: { readonly adminToken?: string } = {}): Promise<RunningApp> {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...options });
  await pullImage(app, 'library/app', 'v1', IMAGE);
  const { adminToken } = options;
  const headers = adminToken === undefined ? {} : { authorization: `Bearer ${adminToken}` };
  await vi.waitFor(async () => expect(await blobsOf(app, headers)).toBe(IMAGE.blobs.length + 1), SOON);
  return app;
}

async function blobsOf({ adminUrl }: RunningApp, headers: Record<string, string> = {}): Promise<number> {
  const { text } = await ask(adminUrl, 'status', { headers });
  return (JSON.parse(text) as { readonly blobs: number }).blobs;
}

const PURGE = JSON.stringify({ upstream: 'docker.io' });

describe('the admin API', () => {
  it('gives nothing without the token, and takes nothing', async () => {
    const { adminUrl } = await start({ adminToken: TOKEN });
    for (const [path, body] of [
      ['status', undefined],
      ['images', undefined],
      ['pins', undefined],
      ['nothing', undefined],
      ['purge', PURGE],
      ['verify', '{}'],
      ['evict', '{"toBytes":0}'],
      ['pin', '{"pattern":"app"}'],
      ['unpin', '{"pattern":"app"}'],
    ] as const) {
      for (const authorization of ['', `Bearer ${TOKEN}x`]) {
        const headers = { ...JSON_TYPE, ...(authorization !== '' && { authorization }) };
        const answer = await ask(adminUrl, path, { headers, ...(body !== undefined && { body }) });
        expect([path, answer.status]).toEqual([path, 401]);
        expect(answer.text).not.toContain(TOKEN);
      }
    }
    const headers = { authorization: `Bearer ${TOKEN}`, host: 'cache.example.com' };
    expect((await ask(adminUrl, 'status', { headers })).status).toBe(200);
  });

  it.each([
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
    ['text', { 'content-type': 'text/plain' }, 415],
    ['no type at all', {}, 415],
    ['another site', { ...JSON_TYPE, 'sec-fetch-site': 'cross-site' }, 403],
    ['another port of the site', { ...JSON_TYPE, 'sec-fetch-site': 'same-site' }, 403],
    ['another origin', { ...JSON_TYPE, origin: 'https://evil.example' }, 403],
    ['an opaque origin', { ...JSON_TYPE, origin: 'null' }, 403],
    ['a name that leads here', { ...JSON_TYPE, host: 'evil.example:5001' }, 403],
    [
      'a name that leads here, as its own site',
      { ...JSON_TYPE, host: 'evil.example', 'sec-fetch-site': 'same-origin' },
      403,
    ],
  ])('takes no purge from a web page by %s', async (_, headers, status) => {
    const app = await start();
    const before = await blobsOf(app);
    const answer = await ask(app.adminUrl, 'purge', { headers, body: PURGE });
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(answer.text)).toMatchObject({
      type: 'about:blank',
      status,
      detail: expect.any(String),
    });
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    expect(await blobsOf(app)).toBe(before);
  });

  it('gives a web page of another site no leave to ask', async () => {
    const { adminUrl } = await start();
    const headers = {
      origin: 'https://evil.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'content-type',
    };
    const answer = await ask(adminUrl, 'purge', { method: 'OPTIONS', headers });
    expect(answer.status).not.toBe(200);
    expect(answer.headers['access-control-allow-origin']).toBeUndefined();
  });

  it.each([
    ['purge', '{', 'the body: accepted is JSON'],
    ['purge', '[]', 'the body'],
    ['purge', '{}', 'upstream: accepted is the name of an upstream'],
    ['purge', '{"upstream":"a/b"}', 'upstream: accepted is'],
    ['purge', '{"upstream":"docker.io","repository":"Nginx"}', 'repository: accepted is'],
    ['purge', '{"upstream":"docker.io","repository":"../x"}', 'repository: accepted is'],
    ['purge', '{"upstream":"docker.io","tag":"v1"}', 'repository: is missing'],
    ['purge', '{"upstream":"docker.io","repository":"a","tag":"a b"}', 'tag: accepted is'],
    ['purge', '{"upstream":"docker.io","repository":"a","digest":"sha256:1"}', 'digest: accepted is'],
    ['purge', '{"upstream":"docker.io","dryrun":true}', 'dryrun: unknown key'],
    ['purge', '{"upstream":"docker.io","dryRun":"yes"}', 'dryRun: accepted is true or false'],
    ['verify', '{"repository":"a"}', 'upstream: is missing'],
    ['evict', '{}', 'toBytes: accepted is a number of bytes'],
    ['evict', '{"toBytes":-1}', 'toBytes: accepted is'],
    ['evict', '{"toBytes":1.5}', 'toBytes: accepted is'],
    ['evict', '{"toBytes":"1GiB"}', 'toBytes: accepted is'],
    ['pin', '{"pattern":1}', 'pattern: accepted is'],
    ['pin', '{"pattern":"Nginx"}', 'Nginx: accepted is [upstream/]repository'],
    ['pin', '{"pattern":"gchr.io/a/b"}', 'gchr.io is not an upstream'],
  ])('%s refuses %s, and says what is accepted', async (path, body, sentence) => {
    const app = await start();
    const before = await blobsOf(app);
    const answer = await ask(app.adminUrl, path, { headers: JSON_TYPE, body });
    expect(answer.status).toBe(400);
    expect(answer.headers['content-type']).toBe('application/problem+json');
    expect(JSON.parse(answer.text)).toEqual({
      type: 'about:blank',
      title: 'Bad Request',
      status: 400,
      detail: expect.stringContaining(sentence),
      reason: 'invalid',
    });
    expect(await blobsOf(app)).toBe(before);
  });

  it('refuses bodies that are large, methods and paths that are none, and queries that mean nothing', async () => {
    const { adminUrl } = await start();
    const body = JSON.stringify({ pattern: 'a'.repeat(20_000) });
    expect((await ask(adminUrl, 'pin', { headers: JSON_TYPE, body })).status).toBe(413);
    expect((await ask(adminUrl, 'purge')).status).toBe(405);
    expect((await ask(adminUrl, 'status', { headers: JSON_TYPE, body: '{}' })).status).toBe(405);
    expect((await ask(adminUrl, 'images?repository=app')).status).toBe(400);
    expect((await ask(adminUrl, 'images?colour=red')).status).toBe(400);
    const missing = await ask(adminUrl, 'images?upstream=quay.io', { headers: NDJSON });
    expect(missing.status).toBe(404);
    expect(JSON.parse(missing.text)).toMatchObject({
      status: 404,
      reason: 'not-found',
      detail: 'nothing is cached of quay.io',
    });
  });

  it('streams a document a line, and says when it is done', async () => {
    const { adminUrl } = await start();
    const answer = await ask(adminUrl, 'images', { headers: NDJSON });
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    expect(answer.headers['cache-control']).toBe('no-store');
    const lines = answer.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).toEqual([expect.objectContaining({ tags: ['v1'] }), { end: true }]);
    const purged = await ask(adminUrl, 'purge', { headers: JSON_TYPE, body: PURGE });
    expect(purged.text.trim().split('\n').at(-1)).toBe('{"end":true}');
    expect(purged.text).toContain('"event":"done"');
  });

  it('is not kept busy by HEAD, nor by clients that leave', async () => {
    const { adminUrl } = await start();
    for (let at = 0; at < 6; at += 1)
      expect((await ask(adminUrl, 'images', { method: 'HEAD' })).status).toBe(405);
    for (let at = 0; at < 20; at += 1) {
      const leaving = request(`${adminUrl}/api/v1/images`, { agent: false, headers: NDJSON });
      leaving.on('error', () => undefined);
      leaving.end();
      await new Promise((resolve) => setTimeout(resolve, at % 5));
      leaving.destroy();
    }
    await vi.waitFor(
      async () => expect((await ask(adminUrl, 'images', { headers: NDJSON })).status).toBe(200),
      SOON,
    );
  });

  it('gives out so many bodies at the same time, however many ask together', async () => {
    const image = buildImage({ seed: 5, layerSizes: [16 * 1024 * 1024] });
    const registry = closeAfterTest(await FakeRegistry.start());
    pushTo(registry, { repository: 'library/app', tag: 'v1', image });
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
    await pullImage(app, 'library/app', 'v1', image);
    await vi.waitFor(async () => expect(await blobsOf(app)).toBe(image.blobs.length + 1), SOON);
    const large = image.blobs.find(({ size }) => size > 1024 * 1024)?.digest ?? image.root.digest;
    const left: (() => void)[] = [];
    /** Nobody reads it. */
    const begin = async (): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const sent = request(`${app.adminUrl}/api/v1/content/${large}`, { agent: false }, (answer) => {
          left.push(() => answer.destroy());
          resolve(answer.statusCode);
        });
        sent.on('error', reject);
        sent.end();
      });
    const statuses = await Promise.all(Array.from({ length: 40 }, begin));
    expect(statuses.filter((status) => status === 200)).toHaveLength(16);
    expect(statuses.filter((status) => status === 429)).toHaveLength(24);
    for (const leave of left) leave();
    await expect.poll(begin).toBe(200);
    for (const leave of left) leave();
  });

  it('is not there for clients of the registry', async () => {
    const { url } = await start();
    for (const path of ['/api/v1/status', '/api/v1/images'])
      expect((await fetch(url + path)).status).toBe(404);
  });
});
