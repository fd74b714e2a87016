import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import type { FakeAuth } from '../support/fake-registry-auth.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

const PASSWORD = 'canary-password-7f3a';
const ADMIN_TOKEN = 'canary-admin-token-91bc';
const CLIENT_SECRET = 'canary-client-secret-55de';
const BASIC = Buffer.from(`robot:${PASSWORD}`).toString('base64');
const CLIENT_BASIC = Buffer.from(`user:${CLIENT_SECRET}`).toString('base64');

const CREDENTIALS = [{ username: 'robot', password: PASSWORD }];
const OTHERS = [{ username: 'robot', password: 'another' }];

test.each<[string, FakeAuth, number]>([
  ['accepted by bearer', { mode: 'bearer', credentials: CREDENTIALS }, 200],
  ['accepted by basic', { mode: 'basic', credentials: CREDENTIALS }, 200],
  ['refused by bearer', { mode: 'bearer', credentials: OTHERS }, 403],
  ['refused by basic', { mode: 'basic', credentials: OTHERS }, 403],
])(
  'credentials that are %s appear in no log line, metric, response or file',
  async (_, auth, expectedStatus) => {
    const registry = closeAfterTest(await FakeRegistry.start({ auth }));
    const image = buildImage();
    pushTo(registry, { repository: 'library/app', tag: 'v1', image });
    const directory = await tempDir();
    await writeFile(join(directory, 'password'), `${PASSWORD}\n`);
    const upstream = {
      url: registry.url,
      default: true,
      auth: { username: 'robot', passwordFile: join(directory, 'password') },
    };
    const entrepot = await EntrepotProcess.start({
      config: {
        admin: { listen: '127.0.0.1:0', token: ADMIN_TOKEN },
        log: { level: 'debug' },
        upstreams: { 'docker.io': upstream },
      },
    });

    const said: string[] = [];
    const ask = async (url: string, headers: Record<string, string> = {}): Promise<number> => {
      const { status, rawHeaders, body } = await get(url, { headers });
      said.push(rawHeaders.join('\n'), body.toString('latin1'));
      return status;
    };
    const base = `${entrepot.url}/v2/library/app`;
    const client = { authorization: `Basic ${CLIENT_BASIC}` };
    expect(await ask(`${base}/manifests/v1?token=${CLIENT_SECRET}`, client)).toBe(expectedStatus);
    for (const { digest } of image.blobs) {
      expect(await ask(`${base}/blobs/${digest}?sig=${CLIENT_SECRET}`, client)).toBe(expectedStatus);
    }
    await ask(`${base}/tags/list?n=${CLIENT_SECRET}`, client);
    await ask(`${base}/manifests/%2e%2e${CLIENT_SECRET}?x=${CLIENT_SECRET}`, client);
    expect(await ask(`${entrepot.adminUrl}/metrics`)).toBe(401);
    expect(await ask(`${entrepot.adminUrl}/metrics`, { authorization: 'Bearer wrong' })).toBe(401);
    expect(await ask(`${entrepot.adminUrl}/metrics`, { authorization: `Bearer ${ADMIN_TOKEN}` })).toBe(200);
    // The page, and what it is made of.
    const operator = { authorization: `Bearer ${ADMIN_TOKEN}` };
    const pages = [
      '',
      'images',
      'upstreams',
      'store',
      'requests',
      'clients',
      'report',
      'setup',
      'configuration',
    ];
    for (const page of [...pages, 'explain?image=app:v1', 'api/v1/config', 'api/v1/activity/recent'])
      expect(await ask(`${entrepot.adminUrl}/${page}`, operator), page).toBe(200);
    const assets = new Set(said.join('\n').match(/\/assets\/[^"]+/g));
    expect(assets.size).toBeGreaterThan(2);
    for (const asset of assets) expect(await ask(entrepot.adminUrl + asset)).toBe(200);
    expect(await entrepot.stop()).toEqual({ code: 0, signal: null });

    const tokens = registry.requests
      .map(({ headers }) => headers.authorization ?? '')
      .filter((header) => header.startsWith('Bearer '))
      .map((header) => header.slice('Bearer '.length));
    const files = await readdir(entrepot.dataDir, { recursive: true, withFileTypes: true });
    const stored = await Promise.all(
      files
        .filter((entry) => entry.isFile())
        .map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')),
    );
    await expect.poll(() => entrepot.requests.length).toBeGreaterThan(3);
    for (const secret of [PASSWORD, BASIC, ADMIN_TOKEN, CLIENT_SECRET, CLIENT_BASIC, ...tokens]) {
      expect(entrepot.output).not.toContain(secret);
      expect(said.filter((text) => text.includes(secret))).toEqual([]);
      expect(stored.filter((text) => text.includes(secret))).toEqual([]);
    }
    // And what the client sent went nowhere.
    const sent = registry.requests.map(({ target, rawHeaders }) => `${target}\n${rawHeaders.join('\n')}`);
    expect(sent.filter((text) => text.includes(CLIENT_SECRET) || text.includes(CLIENT_BASIC))).toEqual([]);
  },
);
