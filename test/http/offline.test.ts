import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { GENERIC } from '../../src/config-profiles.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, type GetResult, openGet } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 3_600_000;
const IMAGE = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
const OTHER = buildImage({ seed: 2 });
const LARGE = buildImage({ seed: 3, layerSizes: [3 * 1024 * 1024] });
const [LAYER] = LARGE.manifests[0]?.layers ?? [];
if (LAYER === undefined) throw new Error('the image has no layer');

interface Order {
  readonly offline: boolean;
  readonly upstreams?: readonly string[];
  readonly forMs?: number;
}

async function turn({ adminUrl }: RunningApp, order: Order): Promise<unknown> {
  const answer = await fetch(`${adminUrl}/api/v1/offline`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(order),
  });
  return answer.json();
}

async function admin({ adminUrl }: RunningApp, path: string): Promise<unknown> {
  return (await fetch(`${adminUrl}/api/v1/${path}`)).json();
}

async function start(options: Partial<RunningAppOptions> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode: 'bearer' } }));
  const mirror = closeAfterTest(await FakeRegistry.start());
  for (const [tag, image] of [
    ['v1', IMAGE],
    ['v2', OTHER],
    ['large', LARGE],
  ] as const)
    pushTo(registry, { repository: 'library/app', tag, image });
  registry.addReferrer('library/app', IMAGE.root.digest, {
    mediaType: OTHER.root.mediaType,
    digest: OTHER.root.digest,
    size: OTHER.root.size,
  });
  const clock = new FakeClock();
  const upstreams: RunningAppOptions['upstreams'] = [
    {
      name: 'docker.io',
      url: registry.url,
      hosts: ['hub.mirror.local'],
      mirrors: [{ url: mirror.url, trustedHosts: [], profile: GENERIC }],
    },
    { name: 'quay.io', url: registry.url },
  ];
  const app = await startApp({ upstreams, clock, ...options });
  const ask = (path: string, method = 'GET') => get(`${app.url}/v2/library/app/${path}`, { method });
  const askedFor = () => registry.requests.length + mirror.requests.length;
  return { registry, mirror, clock, app, ask, askedFor };
}

function errorOf({ body }: GetResult): { readonly code: string; readonly message: string } | undefined {
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
  return errors[0];
}

describe('while it is offline', () => {
  it('serves all that is cached whatever its age, and asks nobody for anything', async () => {
    const { app, ask, clock, askedFor, registry, mirror } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await ask('tags/list');
    await ask(`referrers/${IMAGE.root.digest}`);
    const stored = 1 + IMAGE.manifests.length + IMAGE.blobs.length;
    await vi.waitFor(async () => expect(await admin(app, 'status')).toMatchObject({ blobs: stored }), SOON);
    registry.forget();
    mirror.forget();
    await turn(app, { offline: true });
    await clock.advance(YEAR_MS);
    for (const method of ['GET', 'HEAD']) {
      const tag = await ask('manifests/v1', method);
      expect(tag).toMatchObject({ status: 200 });
      expect(tag.headers).toMatchObject({
        'docker-content-digest': IMAGE.root.digest,
        'x-cache': 'STALE',
        warning: expect.stringMatching(/110 - "Response is Stale".*299 - "the upstream could not be asked/),
      });
      expect(Number(tag.headers.age)).toBeGreaterThanOrEqual(YEAR_MS / 1000);
      for (const { digest } of [IMAGE.root, ...IMAGE.manifests])
        expect((await ask(`manifests/${digest}`, method)).headers).toMatchObject({ 'x-cache': 'HIT' });
      for (const { digest } of IMAGE.blobs)
        expect((await ask(`blobs/${digest}`, method)).headers).toMatchObject({ 'x-cache': 'HIT' });
    }
    const tags = await ask('tags/list');
    expect([tags.status, tags.headers['x-cache']]).toEqual([200, 'STALE']);
    expect(JSON.parse(tags.body.toString())).toMatchObject({ tags: ['large', 'v1', 'v2'] });
    const referrers = await ask(`referrers/${IMAGE.root.digest}`);
    expect([referrers.status, referrers.headers['x-cache']]).toEqual([200, 'STALE']);
    expect(referrers.body.toString()).toContain(OTHER.root.digest);
    expect(askedFor()).toBe(0);
    expect(registry.tokenRequests).toBe(0);
  });

  it('answers 404 at once for all that is not cached, in every routing style, and says why', async () => {
    const { app, ask, askedFor, registry } = await start();
    registry.forget();
    await turn(app, { offline: true });
    const unknown = OTHER.root.digest;
    const expected = [
      ['manifests/v2', 'MANIFEST_UNKNOWN'],
      [`manifests/${unknown}`, 'MANIFEST_UNKNOWN'],
      [`blobs/${unknown}`, 'BLOB_UNKNOWN'],
      ['tags/list', 'NAME_UNKNOWN'],
      [`referrers/${unknown}`, 'MANIFEST_UNKNOWN'],
    ] as const;
    const styles = ['/v2/library/app/', '/v2/docker.io/library/app/', '/docker.io/v2/library/app/'];
    for (const [path, code] of expected) {
      for (const target of [...styles.map((style) => style + path), `/v2/library/app/${path}?ns=docker.io`]) {
        const answer = await get(app.url + target);
        expect([answer.status, answer.headers['content-type']]).toEqual([404, 'application/json']);
        expect(errorOf(answer)).toMatchObject({
          code,
          message: 'not in the cache, and docker.io is not asked: entrepot is offline',
        });
        expect(answer.headers['retry-after']).toBeUndefined();
        // The clock stands still: whatever waited on it would never be answered.
        expect(answer.totalMs).toBeLessThan(5_000);
      }
      const byHost = await get(`${app.url}/v2/library/app/${path}`, {
        headers: { host: 'hub.mirror.local' },
      });
      expect([byHost.status, errorOf(byHost)?.code]).toEqual([404, code]);
      expect(await ask(path, 'HEAD')).toMatchObject({ status: 404, length: 0 });
    }
    expect((await get(`${app.url}/v2/`)).status).toBe(200);
    expect(askedFor()).toBe(0);
  });

  it('tells in the message until when it is', async () => {
    const { app, ask } = await start();
    await turn(app, { offline: true, forMs: 600_000 });
    expect(errorOf(await ask('manifests/v1'))?.message).toBe(
      'not in the cache, and docker.io is not asked: entrepot is offline until 2030-01-01T00:10:00.000Z',
    );
  });

  it('only for some upstreams, asks the others', async () => {
    const { app, ask } = await start();
    await turn(app, { offline: true, upstreams: ['docker.io'] });
    expect((await ask('manifests/v1')).status).toBe(404);
    expect((await get(`${app.url}/v2/quay.io/library/app/manifests/v1`)).status).toBe(200);
    await turn(app, { offline: true, upstreams: ['quay.io'] });
    expect((await get(`${app.url}/v2/quay.io/library/app/manifests/v2`)).status).toBe(404);
  });

  it('does not serve from one repository what only another was seen to hold', async () => {
    const { app } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await turn(app, { offline: true });
    const [blob] = IMAGE.blobs;
    expect((await get(`${app.url}/v2/library/other/blobs/${blob?.digest}`)).status).toBe(404);
  });

  it('remembers nothing of the refusals when it is online again', async () => {
    const { app, ask, registry } = await start();
    await turn(app, { offline: true });
    const digest = IMAGE.root.digest;
    for (const path of ['manifests/v1', 'tags/list', `referrers/${digest}`, `blobs/${digest}`])
      expect((await ask(path)).status).toBe(404);
    await turn(app, { offline: false });
    for (const path of ['manifests/v1', 'tags/list', `referrers/${digest}`])
      expect([path, (await ask(path)).headers['x-cache']]).toEqual([path, 'MISS']);
    expect(registry.count({ path: /referrers/ })).toBe(1);
  });
});

describe('what is under way when it goes offline', () => {
  it('and waits for an answer breaks off at once: it is served stale, or 404', async () => {
    const { app, ask, clock, registry, mirror } = await start();
    await ask('manifests/v1');
    await clock.advance(2 * MINUTE_MS);
    const hangs = [registry, mirror].map(({ faults }) => faults.add({ action: { hang: true } }));
    registry.forget();
    const asking = ['manifests/v1', 'manifests/v2', 'tags/list', `blobs/${digestOf(Buffer.from('x'))}`].map(
      (path) => ask(path),
    );
    await registry.received();
    await mirror.received();
    await turn(app, { offline: true });
    const [held, ...others] = await Promise.all(asking);
    expect([held?.status, held?.headers['x-cache']]).toEqual([200, 'STALE']);
    // The tags that are known here are a list of last resort.
    expect(others.map(({ status, headers }) => [status, headers['x-cache']])).toEqual([
      [404, undefined],
      [200, 'STALE'],
      [404, undefined],
    ]);
    for (const hang of hangs) hang.remove();
    const { text } = await metricsOf(app);
    expect(text).toContain('entrepot_upstream_up{upstream="docker.io"} 1');
    await turn(app, { offline: false });
    expect((await ask('manifests/v2')).headers['x-cache']).toBe('MISS');
  });

  it('is not counted as the upstream’s failure, however often', async () => {
    const { app, ask, registry, mirror } = await start();
    const hang = registry.faults.add({ action: { hang: true } });
    const mirrored = mirror.faults.add({ action: { hang: true } });
    for (let round = 0; round < 5; round += 1) {
      registry.forget();
      const asking = ask('manifests/v1');
      await registry.received();
      await turn(app, { offline: true });
      expect((await asking).status).toBe(404);
      await turn(app, { offline: false });
    }
    hang.remove();
    mirrored.remove();
    expect((await ask('manifests/v1')).headers['x-cache']).toBe('MISS');
    expect(app.logLines.filter(({ msg }) => /does not answer/.test(msg))).toEqual([]);
  });

  it('and sends a blob comes to its end, and is kept', async () => {
    const { app, ask, registry } = await start();
    await ask('manifests/large');
    const gate = new Gate();
    registry.faults.add({
      match: { path: new RegExp(`/blobs/${LAYER.digest}`), method: 'GET' },
      action: { stallAfter: { bytes: 1024 * 1024, gate } },
    });
    const pulling = await openGet(`${app.url}/v2/library/app/blobs/${LAYER.digest}`);
    await pulling.read(512 * 1024);
    await turn(app, { offline: true });
    registry.forget();
    const joined = ask(`blobs/${LAYER.digest}`);
    gate.open();
    expect(await pulling.finished()).toMatchObject({ complete: true, digest: LAYER.digest });
    expect(await joined).toMatchObject({ complete: true, digest: LAYER.digest });
    const answered = () => ask(`blobs/${LAYER.digest}`);
    await vi.waitFor(async () => expect((await answered()).headers['x-cache']).toBe('HIT'), SOON);
    expect(registry.requests).toEqual([]);
  });

  it('and breaks afterwards is not resumed: the client is told, and nothing of it is kept', async () => {
    const { app, ask, registry } = await start({ clock: systemClock });
    await ask('manifests/large');
    const gate = new Gate();
    registry.faults.add({
      match: { path: new RegExp(`/blobs/${LAYER.digest}`), method: 'GET' },
      action: { stallAfter: { bytes: 1024 * 1024, gate }, cutAfter: 2 * 1024 * 1024 },
    });
    const pulling = await openGet(`${app.url}/v2/library/app/blobs/${LAYER.digest}`);
    await pulling.read(512 * 1024);
    await turn(app, { offline: true });
    registry.forget();
    gate.open();
    expect(await pulling.finished()).toMatchObject({ complete: false });
    expect((await ask(`blobs/${LAYER.digest}`)).status).toBe(404);
    expect(registry.requests).toEqual([]);
    expect(await admin(app, 'rehearsal')).toMatchObject({
      running: { requests: [{ kind: 'blob', reference: LAYER.digest, count: 2 }] },
    });
  });
});

describe('the switch', () => {
  it('is told of by the admin API, the status, a metric and one log line for each change', async () => {
    const { app, clock } = await start();
    expect(await admin(app, 'offline')).toEqual({
      upstreams: [
        { upstream: 'docker.io', isOffline: false, isConfigured: false },
        { upstream: 'quay.io', isOffline: false, isConfigured: false },
      ],
    });
    const until = clock.now() + 600_000;
    const off = { upstream: 'docker.io', isOffline: true, isConfigured: false, until };
    const told = await turn(app, { offline: true, upstreams: ['docker.io'], forMs: 600_000 });
    expect(told).toEqual({ upstreams: [off, expect.objectContaining({ isOffline: false })] });
    expect(await admin(app, 'status')).toMatchObject({
      offline: [{ upstream: 'docker.io', isConfigured: false, until }],
    });
    expect((await metricsOf(app)).text).toContain('entrepot_offline{upstream="docker.io"} 1');
    await clock.advance(600_000);
    const { text } = await metricsOf(app);
    expect(text).toContain('entrepot_offline{upstream="docker.io"} 0');
    expect(text).toContain('entrepot_offline{upstream="quay.io"} 0');
    expect(await admin(app, 'status')).toMatchObject({ offline: [] });
    expect(
      app.logLines
        .filter(({ msg }) => /^(?:off|on)line:/.test(msg))
        .map(({ level, msg, upstreams, until: end }) => ({ level, msg, upstreams, end })),
    ).toEqual([
      {
        level: 'warn',
        msg: 'offline: upstreams are not asked',
        upstreams: ['docker.io'],
        end: '2030-01-01T00:10:00.000Z',
      },
      { level: 'info', msg: 'online: upstreams are asked again', upstreams: ['docker.io'] },
    ]);
  });

  it('overrules the configuration until a restart', async () => {
    const { app, ask, registry } = await start({ offline: true });
    expect((await ask('manifests/v1')).status).toBe(404);
    await turn(app, { offline: false });
    expect((await ask('manifests/v1')).status).toBe(200);
    await app.close();
    registry.forget();
    const again = await startApp({
      upstreams: [{ name: 'docker.io', url: registry.url }],
      offline: true,
      dataDir: app.dataDir,
    });
    const answer = await get(`${again.url}/v2/library/app/manifests/v1`);
    expect([answer.status, answer.headers['x-cache']]).toEqual([200, 'STALE']);
    expect(registry.requests).toEqual([]);
  });

  it('stands for each upstream as configured: offline, or asked although the others are not', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
    const { url } = registry;
    const one = await startApp({
      upstreams: [
        { name: 'docker.io', url, offline: true },
        { name: 'quay.io', url },
      ],
    });
    const other = await startApp({
      upstreams: [
        { name: 'docker.io', url },
        { name: 'quay.io', url, offline: false },
      ],
      offline: true,
    });
    for (const app of [one, other]) {
      const statuses = ['docker.io', 'quay.io'].map(
        async (name) => (await get(`${app.url}/v2/${name}/library/app/manifests/v1`)).status,
      );
      expect(await Promise.all(statuses)).toEqual([404, 200]);
    }
  });

  it.each([
    [{ offline: 'yes' }, 'offline: accepted is true or false'],
    [{ offline: true, upstreams: [] }, 'upstreams: accepted is one name at least'],
    [{ offline: true, upstreams: ['quay.oi'] }, 'upstream quay.oi: not configured; there are docker.io'],
    [{ offline: true, forMs: 0 }, 'forMs: accepted is a number of milliseconds from 1000'],
    [{ offline: true, forMs: 1e12 }, 'forMs: accepted is a number of milliseconds from 1000'],
    [{ offline: true, until: 1 }, 'until: unknown key'],
  ])('refuses %j, and stays as it is', async (order, message) => {
    const { app } = await start();
    const answer = await turn(app, order as unknown as Order);
    expect(answer).toMatchObject({ reason: 'invalid', detail: expect.stringContaining(message) });
    expect(await admin(app, 'status')).toMatchObject({ offline: [] });
  });
});

describe('a rehearsal', () => {
  it('remembers what failed, when and how often, after it is over too', async () => {
    const { app, ask, clock } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await turn(app, { offline: true });
    await ask('manifests/v1');
    await ask('manifests/v2');
    await clock.advance(1000);
    await ask('manifests/v2', 'HEAD');
    await get(`${app.url}/v2/quay.io/org/tool/tags/list`);
    await get(`${app.url}/v2/nowhere.example/app/manifests/v1`);
    await turn(app, { offline: false });
    const begunAt = clock.now() - 1000;
    await vi.waitFor(
      async () =>
        expect(await admin(app, 'rehearsal')).toEqual({
          last: {
            begunAt,
            endedAt: begunAt + 1000,
            upstreams: ['docker.io', 'quay.io'],
            isConfigured: false,
            failures: 3,
            unlisted: 0,
            requests: [
              {
                upstream: 'docker.io',
                repository: 'library/app',
                reference: 'v2',
                kind: 'manifest',
                count: 2,
                firstAt: begunAt,
                lastAt: begunAt + 1000,
              },
              {
                upstream: 'quay.io',
                repository: 'org/tool',
                kind: 'tags',
                count: 1,
                firstAt: begunAt + 1000,
                lastAt: begunAt + 1000,
              },
            ],
          },
        }),
      SOON,
    );
  });
});

async function metricsOf({ adminUrl }: RunningApp): Promise<{ readonly text: string }> {
  return { text: await (await fetch(`${adminUrl}/metrics`)).text() };
}
