import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../support/running-app.ts';

const TOKEN = 'correct horse battery staple';

async function start(options: Partial<RunningAppOptions> = {}): Promise<{
  app: RunningApp;
  registry: FakeRegistry;
  ask: (path: string, authorization?: string) => ReturnType<typeof get>;
}> {
  const registry = closeAfterTest(await FakeRegistry.start());
  registry.addManifest('library/app', '{}', 'application/vnd.oci.image.manifest.v1+json', ['v1']);
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...options });
  return {
    app,
    registry,
    ask: async (path, authorization) =>
      get(app.adminUrl + path, { headers: authorization === undefined ? {} : { authorization } }),
  };
}

describe('/metrics', () => {
  it('counts requests, what the upstream was asked and what is stored', async () => {
    const { app, registry, ask } = await start();
    const digest = registry.addBlob('library/app', Buffer.alloc(5000, 'a'));
    const url = `${app.url}/v2/app/blobs/${digest}`;
    await get(url);
    await vi.waitFor(async () => expect((await get(url)).headers['x-cache']).toBe('HIT'));
    await get(`${app.url}/v2/app/manifests/none`);
    const answer = await ask('/metrics');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    const text = answer.body.toString();
    expect(text).toContain(
      'entrepot_requests_total{upstream="docker.io",kind="blob",outcome="miss",code="200"} 1\n',
    );
    expect(text).toMatch(
      /entrepot_requests_total\{upstream="docker.io",kind="blob",outcome="hit",code="200"\} [1-9]/,
    );
    expect(text).toContain(
      'entrepot_requests_total{upstream="docker.io",kind="manifest",outcome="none",code="404"} 1\n',
    );
    expect(text).toMatch(/entrepot_upstream_bytes_total\{upstream="docker.io"\} [5-9]\d{3}/);
    expect(text).toContain('entrepot_store_blobs 1\n');
    expect(text).toContain('entrepot_fills_in_flight 0\n');
    expect(text).toContain('process_cpu_seconds_total');
  });

  it('shows a fill while it lasts, and how many read it', async () => {
    const { app, registry, ask } = await start();
    const digest = registry.addBlob('library/app', { size: 300_000, seed: 1 });
    const gate = new Gate();
    registry.faults.add({ match: { path: /blobs/ }, action: { stallAfter: { bytes: 200_000, gate } } });
    const url = `${app.url}/v2/app/blobs/${digest}`;
    const readers = await Promise.all([openGet(url), openGet(url)]);
    const text = (await ask('/metrics')).body.toString();
    gate.open();
    expect(text).toContain('entrepot_fills_in_flight 1\n');
    expect(text).toContain('entrepot_fill_readers 2\n');
    for (const reader of readers) expect((await reader.finished()).complete).toBe(true);
  });

  it('has no series named after what clients send', async () => {
    const { app, ask } = await start();
    const series = async (): Promise<number> =>
      (await ask('/metrics')).body.toString().match(/^entrepot_/gm)?.length ?? 0;
    const pull = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += 1) {
        await get(`${app.url}/v2/secret-${at}/manifests/tag-${at}`);
        await get(`${app.url}/path-${at}`);
      }
    };
    await pull(0, 10);
    const before = await series();
    await pull(10, 60);
    expect(await series()).toBe(before);
    expect((await ask('/metrics')).body.toString()).not.toMatch(/secret|path-/);
  });
});

describe('health', () => {
  it('is ok, and ready, while everything works', async () => {
    const { ask } = await start();
    expect([(await ask('/healthz')).status, (await ask('/healthz')).body.toString()]).toEqual([200, 'ok\n']);
    expect([(await ask('/readyz')).status, (await ask('/readyz')).body.toString()]).toEqual([200, 'ready\n']);
  });

  it('is ready although the upstream is away', async () => {
    const { ask, registry } = await start();
    await registry.stop();
    expect((await ask('/readyz')).status).toBe(200);
  });

  it('is not ready, but alive, when nothing can be written any more, until it can again', async () => {
    const { app, ask } = await start();
    const content = join(app.dataDir, 'content');
    await rename(content, `${content}-away`);
    await writeFile(content, 'in the way');
    const answer = await ask('/readyz');
    expect(answer.status).toBe(503);
    expect(answer.body.toString()).toMatch(/^not ready: /);
    expect(answer.body.toString()).not.toContain(app.dataDir);
    expect((await ask('/healthz')).status).toBe(200);
    expect((await get(`${app.url}/v2/`)).status).toBe(200);
    await rename(content, `${content}-file`);
    await rename(`${content}-away`, content);
    expect((await ask('/readyz')).status).toBe(200);
  });
});

describe('the admin token', () => {
  it('is needed for metrics, and for health it is not', async () => {
    const { ask } = await start({ adminToken: TOKEN });
    const refused = await ask('/metrics');
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Bearer']);
    expect(refused.body.toString()).not.toContain('entrepot_');
    expect((await ask('/healthz')).status).toBe(200);
    expect((await ask('/readyz')).status).toBe(200);
    expect((await ask('/metrics', `Bearer ${TOKEN}`)).status).toBe(200);
    expect((await ask('/metrics', `bearer ${TOKEN}`)).status).toBe(200);
  });

  it.each([
    'Bearer',
    'Bearer ',
    'Bearer wrong',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Bearer ${TOKEN.toUpperCase()}`,
    `Basic ${Buffer.from(`admin:${TOKEN}`).toString('base64')}`,
    TOKEN,
  ])('is not %j', async (authorization) => {
    const { ask } = await start({ adminToken: TOKEN });
    expect((await ask('/metrics', authorization)).status).toBe(401);
  });

  it('hides what there is besides metrics', async () => {
    const { ask } = await start({ adminToken: TOKEN });
    expect((await ask('/nothing')).status).toBe(401);
    expect((await ask('/nothing', `Bearer ${TOKEN}`)).status).toBe(404);
  });
});

describe('the two listeners', () => {
  it('have nothing of each other', async () => {
    const { app, ask, registry } = await start();
    for (const path of ['/v2/', '/v2/app/manifests/v1', '/v2/app/tags/list', '/']) {
      expect((await ask(path)).status, path).toBe(404);
    }
    for (const path of ['/metrics', '/healthz', '/readyz', '/v2/metrics']) {
      const answer = await get(app.url + path);
      expect(answer.status, path).toBe(404);
      expect(answer.body.toString()).not.toMatch(/entrepot_|^ok|^ready/);
    }
    expect(registry.requests).toEqual([]);
  });
});
