import { Agent, request, type RequestOptions } from 'node:http';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

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

/** Its body is read and thrown away. */
async function status(url: URL, options: RequestOptions): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(url, options, (response) => {
      response.resume().on('end', () => resolve(response.statusCode));
    })
      .on('error', reject)
      .end();
  });
}

it.each(['/healthz', '/readyz'])(
  '%s says the same to GET and HEAD, with and without a query',
  async (path) => {
    const { app, ask } = await start();
    const plain = await ask(path);
    const queried = await ask(`${path}?a=1`);
    expect(plain.status).toBe(200);
    expect(plain.body.toString()).toBe(queried.body.toString());
    for (const name of ['content-type', 'cache-control', 'content-length'])
      expect(plain.headers[name]?.toString().toLowerCase(), name).toBe(
        queried.headers[name]?.toString().toLowerCase(),
      );
    expect(await status(new URL(app.adminUrl + path), { method: 'HEAD' })).toBe(200);
  },
);

describe('/metrics', () => {
  it('counts requests, what the upstream was asked and what is stored', async () => {
    const { app, registry, ask } = await start();
    const digest = registry.addBlob('library/app', Buffer.alloc(5000, 'a'));
    const url = `${app.url}/v2/app/blobs/${digest}`;
    await get(url);
    await vi.waitFor(async () => expect((await get(url)).headers['x-cache']).toBe('HIT'), SOON);
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

  it('tells how fills ended, for how many they were, and why blobs left the store', async () => {
    const { app, registry, ask } = await start();
    const digest = registry.addBlob('library/app', { size: 300_000, seed: 1 });
    const corrupt = registry.addBlob('library/app', { size: 1000, seed: 2 });
    registry.faults.add({ match: { path: new RegExp(corrupt) }, action: { flipBitAt: 500 } });
    const gate = new Gate();
    registry.faults.add({
      match: { path: new RegExp(digest) },
      action: { stallAfter: { bytes: 200_000, gate } },
    });
    const url = `${app.url}/v2/app/blobs/${digest}`;
    const readers = await Promise.all([openGet(url), openGet(url), openGet(url)]);
    gate.open();
    for (const reader of readers) await reader.finished();
    await get(`${app.url}/v2/app/blobs/${corrupt}`).catch(() => undefined);
    // Asking for the blob until it is stored would be joining the fill, which is counted.
    await expect
      .poll(async () => (await ask('/metrics')).body.toString())
      .toContain('entrepot_fills_in_flight 0\n');
    expect((await get(url)).headers['x-cache']).toBe('HIT');
    const evicted = await fetch(`${app.adminUrl}/api/v1/evict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/x-ndjson' },
      body: JSON.stringify({ toBytes: 0 }),
    });
    expect(await evicted.text()).toContain('"event":"done"');
    const text = (await ask('/metrics')).body.toString();
    for (const line of [
      'entrepot_fills_total{outcome="stored"} 1',
      'entrepot_fills_total{outcome="failed"} 1',
      'entrepot_fills_failed_total{reason="corrupt"} 1',
      'entrepot_fill_clients_bucket{le="2"} 1',
      'entrepot_fill_clients_bucket{le="5"} 2',
      'entrepot_evictions_total{reason="command"} 1',
      'entrepot_eviction_age_seconds_count 1',
      'entrepot_store_bytes 0',
    ])
      expect(text.split('\n')).toContain(line);
    const [, saved] = /^entrepot_saved_bytes_total\{upstream="docker.io"\} (\d+)$/m.exec(text) ?? [];
    // Two joined the first; the answers after that may not be counted yet.
    expect(Number(saved)).toBeGreaterThanOrEqual(600_000);
    expect(Number(saved) % 300_000).toBe(0);
  });

  it('has no series named after what clients send, however many names and methods they make up', async () => {
    const { app, registry, ask } = await start();
    const text = async (): Promise<string> => (await ask('/metrics')).body.toString();
    const series = async (): Promise<readonly string[]> => (await text()).match(/^entrepot_\S+/gm) ?? [];
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    onTestFinished(() => agent.destroy());
    const methods = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH', 'OPTIONS', 'PROPFIND', 'QUERY', 'LOCK'];
    const targets = [
      (at: number) => `/v2/evil-${at}.example/app/manifests/tag-${at}`,
      (at: number) => `/v2/app/blobs/sha256:made-up-${at}`,
      (at: number) => `/v2/app/manifests/v1?ns=evil-${at}.example`,
      (at: number) => `/made-up-${at}`,
    ];
    const one = async (at: number): Promise<void> => {
      const method = methods[at % methods.length] ?? 'GET';
      const path = targets[(at * 7) % targets.length]?.(at) ?? '/';
      const headers = { host: `evil-${at}.example`, 'user-agent': `evil-${at}`, accept: `made/up-${at}` };
      await status(new URL(path, app.url), { method, headers, agent });
    };
    const flood = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += 100)
        await Promise.all(Array.from({ length: 100 }, (_, more) => one(at + more)));
      // Of those that reach an upstream, each its own status.
      for (const code of from === 0 ? [402, 499, 506, 599] : [418, 451, 509, 598]) {
        const fault = registry.faults.add({ action: { respond: { status: code } } });
        await get(`${app.url}/v2/app/manifests/of-${code}`);
        fault.remove();
      }
    };
    await flood(0, 200);
    await vi.waitFor(async () => expect(await text()).toContain('entrepot_store_pinned_bytes 0\n'), SOON);
    const before = await series();
    await flood(200, 2000);
    expect(await series()).toEqual(before);
    expect(await text()).not.toMatch(/evil|made-up|made\/up/);
  });

  it('is OpenMetrics for who likes that better, as Prometheus does', async () => {
    const { app } = await start();
    const typeFor = async (accept?: string) => {
      const headers = accept === undefined ? {} : { accept };
      const answer = await get(`${app.adminUrl}/metrics`, { headers });
      expect(answer.body.toString().endsWith('# EOF\n')).toBe(
        answer.headers['content-type']?.startsWith('application/openmetrics-text'),
      );
      return answer.headers['content-type']?.split(';')[0];
    };
    const prometheus2 =
      'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
    expect(await typeFor(prometheus2)).toBe('application/openmetrics-text');
    expect(await typeFor('text/plain;version=0.0.4,application/openmetrics-text;q=0.5')).toBe('text/plain');
    expect(await typeFor('application/json')).toBe('text/plain');
    expect(await typeFor('*/*')).toBe('text/plain');
    expect(await typeFor()).toBe('text/plain');
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
    for (const path of ['/v2/', '/v2/app/manifests/v1', '/v2/app/tags/list']) {
      expect((await ask(path)).status, path).toBe(404);
    }
    for (const path of ['/', '/store', '/login', '/metrics', '/healthz', '/readyz', '/v2/metrics']) {
      const answer = await get(app.url + path);
      expect(answer.status, path).toBe(404);
      expect(answer.body.toString()).not.toMatch(/entrepot_|^ok|^ready/);
    }
    expect(registry.requests).toEqual([]);
  });
});
