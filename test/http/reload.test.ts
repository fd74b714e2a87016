import { describe, expect, it, vi } from 'vitest';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import type { FakeAuth } from '../support/fake-registry-auth.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type FileSettings, type ReloadableApp, startReloadable } from '../support/reloadable-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ seed: 7 });
const LARGE = buildImage({ seed: 8, layerSizes: [3 * 1024 * 1024] });
const [LAYER] = LARGE.manifests[0]?.layers ?? [];
if (LAYER === undefined) throw new Error('the image has no layer');

const READER = { username: 'reader', password: 'canary-right-0815' };

async function startRegistry(auth: FakeAuth = { mode: 'none' }): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth }));
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  pushTo(registry, { repository: 'library/app', tag: 'large', image: LARGE });
  return registry;
}

/** What stands of an upstream. */
const GAUGES =
  /^entrepot_(?:upstream_(?:up|breaker_state|paused_until|ratelimit)|mirror_up|offline)\w*\{upstream="(?:docker\.io|other)"/;

const upstreams = (more: FileSettings): { readonly upstreams: FileSettings } => ({ upstreams: more });

async function manifest({ app }: ReloadableApp, name: string): Promise<number> {
  const { status } = await get(`${app.url}/v2/${name}`, {
    headers: { accept: IMAGE.root.mediaType, connection: 'close' },
  });
  return status;
}

async function metric({ app }: ReloadableApp, line: string): Promise<string | undefined> {
  const text = await (await fetch(`${app.adminUrl}/metrics`)).text();
  return text
    .split('\n')
    .find((each) => each.startsWith(`${line} `))
    ?.slice(line.length + 1);
}

describe('credentials', () => {
  it.each(['basic', 'bearer'] as const)('that were wrong are right after a reload (%s)', async (mode) => {
    const registry = await startRegistry({ mode, credentials: [READER] });
    const settings = (password: string) =>
      upstreams({ 'docker.io': { url: registry.url, auth: { ...READER, password } } });
    const scene = await startReloadable(settings('canary-wrong-4711'));
    expect(await manifest(scene, 'library/app/manifests/v1')).toBe(403);
    expect(await scene.change(settings(READER.password))).toEqual({
      status: 200,
      changed: ['upstreams.docker.io.auth'],
    });
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
    const line = scene.app.logLines.find(({ changed }) => changed !== undefined);
    expect(line).toMatchObject({ level: 'info', changed: ['upstreams.docker.io.auth'] });
    expect(await metric(scene, 'entrepot_config_reloads_total{outcome="done"}')).toBe('1');
  });
});

describe('a configuration that cannot be used', () => {
  it('is refused with all of its faults, and changes nothing', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    const answer = await scene.change({
      cache: { maxSize: 'huge' },
      ...upstreams({
        'docker.io': { url: registry.url, auth: { token: 'canary with spaces' } },
        'quay.io': { tagTTL: '1m', url: registry.url },
      }),
    });
    expect(answer).toMatchObject({ status: 400, reason: 'invalid' });
    for (const key of ['cache.maxSize', 'upstreams.docker.io.auth.token', 'upstreams.quay.io.tagTTL'])
      expect(answer.detail).toContain(`\n  ${key}: `);
    expect(await manifest(scene, 'quay.io/library/app/manifests/v1')).toBe(404);
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
    expect(await metric(scene, 'entrepot_config_reloads_total{outcome="refused"}')).toBe('1');
    expect(await metric(scene, 'entrepot_config_last_reload_successful')).toBe('0');
    const line = scene.app.logLines.find(({ problems }) => problems !== undefined);
    expect(line?.['problems']).toHaveLength(3);
    // What was said of the file is said anew each time, and forgotten with the next that is right.
    expect((await scene.change(upstreams({ 'docker.io': { url: registry.url } }))).changed).toEqual([]);
    expect(await metric(scene, 'entrepot_config_last_reload_successful')).toBe('1');
  });

  it('is refused by name where a key needs a restart, whatever else is other in it', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    const answer = await scene.change({
      listen: ['127.0.0.1:0', '127.0.0.1:5'],
      dataDir: './other',
      admin: { listen: '127.0.0.1:0', token: 'canary-admin' },
      ...upstreams({ 'docker.io': { url: registry.url }, 'quay.io': { url: registry.url } }),
    });
    expect(answer.status).toBe(400);
    expect(answer.detail?.split('\n').slice(1)).toEqual([
      '  listen: cannot change without a restart',
      '  admin.token: cannot change without a restart',
      '  dataDir: cannot change without a restart',
    ]);
    expect(await manifest(scene, 'quay.io/library/app/manifests/v1')).toBe(404);
  });

  it('leaves the old one in place where the file is gone or is no YAML', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    await scene.writeText('upstreams: [canary\n  docker.io: {');
    expect((await scene.reload()).status).toBe(400);
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
  });
});

describe('upstreams', () => {
  it('that are new are found at once, and those that are gone no more', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    expect(await manifest(scene, 'quay.io/library/app/manifests/v1')).toBe(404);
    const added = upstreams({ 'docker.io': { url: registry.url }, 'quay.io': { url: registry.url } });
    expect(await scene.change(added)).toEqual({ status: 200, changed: ['upstreams.quay.io'] });
    expect(await manifest(scene, 'quay.io/library/app/manifests/v1')).toBe(200);
    expect(await manifest(scene, 'docker.io/library/app/manifests/v1')).toBe(200);
    expect(await metric(scene, 'entrepot_offline{upstream="quay.io"}')).toBe('0');
    const removed = upstreams({ 'quay.io': { url: registry.url, default: true } });
    expect((await scene.change(removed)).changed?.toSorted()).toEqual([
      'upstreams.docker.io',
      'upstreams.quay.io.default',
    ]);
    expect(await manifest(scene, 'docker.io/library/app/manifests/v1')).toBe(404);
    expect(await manifest(scene, 'library/app/manifests/v1')).toBe(200);
    expect(await metric(scene, 'entrepot_offline{upstream="docker.io"}')).toBeUndefined();
  });

  it.each(['removed', 'changed'] as const)('that are %s bring what has begun to its end', async (what) => {
    const [registry, other] = [await startRegistry(), await startRegistry()];
    const before = upstreams({ 'docker.io': { url: registry.url }, 'quay.io': { url: other.url } });
    const scene = await startReloadable(before);
    const gate = new Gate();
    registry.faults.add({
      match: { method: 'GET', path: new RegExp(LAYER.digest) },
      action: { stallAfter: { bytes: 1024 * 1024, gate } },
    });
    const pulling = get(`${scene.app.url}/v2/library/app/blobs/${LAYER.digest}`);
    await gate.arrived();
    const after = what === 'removed' ? {} : { 'docker.io': { url: other.url } };
    await scene.change(upstreams({ 'quay.io': { url: other.url }, ...after }));
    const fresh = await manifest(scene, 'docker.io/library/app/manifests/v1');
    expect(fresh).toBe(what === 'removed' ? 404 : 200);
    // Longer than it is looked whether something runs.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    gate.open();
    const { status, digest } = await pulling;
    expect({ status, digest }).toEqual({ status: 200, digest: LAYER.digest });
    expect(other.blobBodyBytes(LAYER.digest)).toBe(0);
    // Then its connections go, and not only when they were idle for a quarter of a minute.
    await vi.waitFor(() => expect(registry.openConnections).toBe(0), { timeout: 12_000 });
  });

  it('that were down and are elsewhere now are up at once, whatever the old place still does', async () => {
    const [registry, other] = [await startRegistry(), await startRegistry()];
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    const up = async () => metric(scene, 'entrepot_upstream_up{upstream="docker.io"}');
    const breaker = async (state: string) =>
      metric(scene, `entrepot_upstream_breaker_state{upstream="docker.io",state="${state}"}`);
    registry.faults.add({ match: { path: /large/ }, action: { hang: true } });
    // It waits for the old place, and nobody who comes later waits with it.
    const stuck = new AbortController();
    const waiting = get(`${scene.app.url}/v2/library/app/manifests/large`, { signal: stuck.signal });
    await registry.received({ path: /large/ });
    registry.faults.add({ match: { path: /v1/ }, action: { drop: 'reset' } });
    for (let turn = 0; turn < 3 && (await up()) === '1'; turn += 1)
      expect(await manifest(scene, 'library/app/manifests/v1')).toBeGreaterThanOrEqual(500);
    expect(await up()).toBe('0');
    expect(await breaker('open')).toBe('1');
    await scene.change(upstreams({ 'docker.io': { url: other.url } }));
    expect(await up()).toBe('1');
    expect([await breaker('open'), await breaker('closed')]).toEqual(['0', '1']);
    expect(await manifest(scene, 'library/app/manifests/large')).toBe(200);
    expect(await manifest(scene, 'library/app/manifests/v1')).toBe(200);
    stuck.abort();
    await waiting.catch(() => undefined);
    expect(await up()).toBe('1');
  });

  it.each(['elsewhere', 'gone'] as const)(
    'that had used up their pulls and are %s now owe nothing any more, whatever the old place still says',
    async (where) => {
      const [registry, other] = [await startRegistry(), await startRegistry()];
      registry.configure({ pullLimit: { limit: 100, remaining: 1 } });
      const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
      const standing = async () => {
        const text = await (await fetch(`${scene.app.adminUrl}/metrics`)).text();
        return text.split('\n').filter((line) => GAUGES.test(line));
      };
      const begins = await standing();
      const gate = new Gate();
      registry.faults.add({ match: { path: /tags\/list/ }, action: { gate } });
      const late = get(`${scene.app.url}/v2/library/app/tags/list`);
      await gate.arrived();
      registry.faults.add({ match: { path: /large/ }, action: { headers: { 'retry-after': '3600' } } });
      expect(await manifest(scene, 'library/app/manifests/v1')).toBe(200);
      expect(await manifest(scene, 'library/app/manifests/large')).toBe(429);
      const remaining = 'entrepot_upstream_ratelimit_remaining{upstream="docker.io",account="anonymous"}';
      expect(await metric(scene, remaining)).toBe('0');
      const paused = 'entrepot_upstream_paused_until_timestamp_seconds{upstream="docker.io"}';
      expect(Number(await metric(scene, paused))).toBeGreaterThan(Date.now() / 1000);
      await scene.change(upstreams({ [where === 'gone' ? 'quay.io' : 'docker.io']: { url: other.url } }));
      const after = where === 'gone' ? [] : begins;
      expect(await standing()).toEqual(after);
      registry.faults.add({ match: { path: /tags\/list/ }, action: { drop: 'reset' } });
      gate.open();
      await late;
      expect(await standing()).toEqual(after);
    },
  );

  it('that are unchanged keep their tokens and connections', async () => {
    const registry = await startRegistry({ mode: 'bearer', credentials: [READER] });
    const same = { 'docker.io': { url: registry.url, auth: READER } };
    const scene = await startReloadable(upstreams(same));
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
    const { tokenRequests, connections } = registry;
    await scene.change({ shutdownGrace: '5s', ...upstreams({ ...same, 'quay.io': { url: registry.url } }) });
    await pullImage(scene.app, 'library/app', 'large', LARGE);
    expect(registry.tokenRequests).toBe(tokenRequests);
    expect(registry.connections).toBe(connections);
  });

  it('of which only a rule is other keep their client, and go by the rule', async () => {
    const registry = await startRegistry({ mode: 'bearer', credentials: [READER] });
    const one = { url: registry.url, auth: READER };
    const scene = await startReloadable(upstreams({ 'docker.io': one }));
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
    const { tokenRequests } = registry;
    const answer = await scene.change(upstreams({ 'docker.io': { ...one, deny: ['library/*'] } }));
    expect(answer.changed).toEqual(['upstreams.docker.io.deny']);
    expect(await manifest(scene, 'library/app/manifests/v1')).toBe(403);
    await scene.change(upstreams({ 'docker.io': one }));
    await pullImage(scene.app, 'library/app', 'large', LARGE);
    expect(registry.tokenRequests).toBe(tokenRequests);
  });
});

/** What keeps the process busy or awake, but for what comes and goes by itself. */
function resources(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind !== 'Immediate' && kind !== 'FSReqPromise')
    .length;
}

describe('a hundred reloads', () => {
  it('while images are pulled lose no request, and leave nothing behind', async () => {
    const [registry, other] = [await startRegistry(), await startRegistry()];
    const settings = (turn: number) => ({
      cache: { maxSize: turn % 2 === 0 ? '1GiB' : '2GiB', minFreeSpace: 0, tagTtl: '0s' },
      warm: turn % 3 === 0 ? [{ name: 'site', cron: '@yearly', images: [`app:v${turn}`] }] : [],
      ...upstreams({
        'docker.io': { url: turn % 2 === 0 ? registry.url : other.url },
        ...(turn % 4 === 0 && { [`added${turn}.example`]: { url: registry.url } }),
      }),
    });
    const scene = await startReloadable(settings(1));
    const { url } = scene.app;
    await pullImage(scene.app, 'library/app', 'v1', IMAGE);
    const before = resources();
    const over = new AbortController();
    let answers = 0;
    const failures: unknown[] = [];
    const pull = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const asked = await get(`${url}/v2/library/app/manifests/v1`, {
          headers: { accept: IMAGE.root.mediaType },
        });
        const blob = await get(`${url}/v2/library/app/blobs/${LAYER.digest}`, { digestOnly: true });
        answers += 2;
        if (asked.status !== 200) failures.push([asked.status, asked.body.toString()]);
        if (blob.digest !== LAYER.digest) failures.push([blob.status, blob.digest]);
        // So that it comes from an upstream each time.
        await fetch(`${scene.app.adminUrl}/api/v1/purge`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ upstream: 'docker.io', repository: 'library/app', tag: 'large' }),
        });
      }
    };
    const pulling = Promise.all(Array.from({ length: 4 }, pull));
    for (let turn = 2; turn < 102; turn += 1) {
      const { status, changed } = await scene.change(settings(turn));
      expect({ status, hasChanged: changed !== undefined && changed.length > 0 }).toEqual({
        status: 200,
        hasChanged: true,
      });
    }
    over.abort();
    await pulling;
    expect(failures).toEqual([]);
    expect(answers).toBeGreaterThan(100);
    await scene.change(settings(1));
    // Clients that were replaced have ended what they had, and so have the timers that looked after them.
    await vi.waitFor(
      () => {
        expect(resources()).toBeLessThanOrEqual(before + 8);
        expect(registry.openConnections).toBeLessThanOrEqual(1);
      },
      { ...SOON, interval: 500 },
    );
    expect(await metric(scene, 'entrepot_config_reloads_total{outcome="done"}')).toBe('101');
  }, 120_000);
});

describe('reloads that are asked for together', () => {
  it('are one after the other, and those that wait are one', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    await scene.write({ shutdownGrace: '7s', ...upstreams({ 'docker.io': { url: registry.url } }) });
    const answers = await Promise.all(Array.from({ length: 30 }, () => scene.reload()));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    const reloads = Number(await metric(scene, 'entrepot_config_reloads_total{outcome="done"}'));
    expect(reloads).toBeGreaterThanOrEqual(1);
    expect(reloads).toBeLessThan(30);
    expect(scene.app.app.config.shutdownGraceMs).toBe(7000);
  });

  it('while it shuts down are refused, and hold nothing up', async () => {
    const registry = await startRegistry();
    const scene = await startReloadable(upstreams({ 'docker.io': { url: registry.url } }));
    await scene.write(upstreams({ 'docker.io': { url: registry.url }, 'quay.io': { url: registry.url } }));
    const { app } = scene.app;
    const closing = app.close({ graceMs: 0 });
    await app.reload();
    await closing;
    expect(app.config.upstreams.map(({ name }) => name)).toEqual(['docker.io']);
  });
});
