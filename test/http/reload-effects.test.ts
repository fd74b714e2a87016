import { connect } from 'node:net';
import { describe, expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type FileSettings, type ReloadableApp, startReloadable } from '../support/reloadable-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ seed: 17 });
const MIB = 1024 * 1024;

/** A server of one upstream; `change` puts its settings over what it began with, those of the upstream as well. */
async function start(first: FileSettings = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const settingsOf = ({ upstream = {}, cache = {}, ...more }: FileSettings): FileSettings => ({
    cache: { maxSize: '1GiB', minFreeSpace: 0, scrub: { every: 'never' }, ...(cache as object) },
    upstreams: { 'docker.io': { url: registry.url, ...(upstream as object) } },
    ...more,
  });
  const scene = await startReloadable(settingsOf(first));
  const change = async (more: FileSettings): Promise<readonly string[]> => {
    const { status, changed = [] } = await scene.change(settingsOf(more));
    expect(status).toBe(200);
    return changed;
  };
  const manifest = async () =>
    get(`${scene.app.url}/v2/library/app/manifests/v1`, { headers: { accept: IMAGE.root.mediaType } });
  return { registry, scene, change, manifest };
}

async function admin<T>({ app }: ReloadableApp, path: string): Promise<T> {
  return (await (await fetch(`${app.adminUrl}/api/v1/${path}`)).json()) as T;
}

interface Status {
  readonly limitBytes: number;
  readonly byUpstream: readonly { readonly upstream: string; readonly limitBytes?: number }[];
  readonly schedules?: readonly { readonly name: string; readonly nextAt?: number }[];
  readonly offline?: readonly unknown[];
}

function warm(cron: string): FileSettings {
  return { warm: [{ name: 'site', cron, images: ['app:v1'] }] };
}

describe('after a reload holds what the file says of', () => {
  it('the limits of the cache, and the share of an upstream', async () => {
    const { scene, change } = await start();
    expect(await change({ cache: { maxSize: '100MiB' }, upstream: { maxSize: '10%' } })).toEqual([
      'cache.maxSize',
      'upstreams.docker.io.maxSize',
    ]);
    const { limitBytes, byUpstream } = await admin<Status>(scene, 'status');
    expect(limitBytes).toBe(100 * MIB);
    expect(byUpstream).toMatchObject([{ upstream: 'docker.io', limitBytes: 10 * MIB }]);
  });

  it('blobs that are too large to be kept', async () => {
    const { change, registry, scene } = await start();
    await change({ cache: { maxBlobSize: '1KiB' } });
    const digest = registry.addBlob('library/app', { size: 5000, seed: 3 });
    const { headers } = await get(`${scene.app.url}/v2/library/app/blobs/${digest}`);
    expect(headers['x-cache']).toBe('BYPASS');
  });

  it('pins', async () => {
    const { scene, change } = await start();
    await change({ cache: { pins: ['app:v1'] } });
    expect(await admin(scene, 'pins')).toEqual([
      { pattern: 'docker.io/library/app:v1', source: 'configuration' },
    ]);
    await change({});
    expect(await admin(scene, 'pins')).toEqual([]);
  });

  it('how long a tag is believed, and how stale an answer may be', async () => {
    const { registry, change, manifest } = await start();
    await manifest();
    const asked = registry.requests.length;
    await manifest();
    expect(registry.requests.length).toBe(asked);
    expect(await change({ cache: { tagTtl: '0s' } })).toEqual(['cache.tagTtl']);
    expect((await manifest()).headers['x-cache']).toBe('REVALIDATED');
    expect(registry.requests.length).toBe(asked + 1);
    await registry.stop();
    expect((await manifest()).headers['x-cache']).toBe('STALE');
    await change({ cache: { tagTtl: '0s' }, upstream: { stale: { timeout: 'fail' } } });
    expect((await manifest()).status).toBeGreaterThanOrEqual(500);
  });

  it('which upstreams are asked', async () => {
    const { scene, change, manifest } = await start();
    expect(await change({ offline: true })).toEqual(['offline']);
    expect((await manifest()).status).toBe(404);
    expect((await admin<Status>(scene, 'status')).offline).toHaveLength(1);
    expect(await change({ offline: true, upstream: { offline: false } })).toEqual([
      'upstreams.docker.io.offline',
    ]);
    expect((await manifest()).status).toBe(200);
  });

  it('schedules, where there were none as well', async () => {
    const { scene, change } = await start();
    expect(await change(warm('@daily'))).toEqual(['warm.site']);
    const next = async () => {
      const { schedules = [] } = await admin<Status>(scene, 'status');
      return schedules.map(({ name, nextAt }) => [name, nextAt !== undefined]);
    };
    await vi.waitFor(async () => expect(await next()).toEqual([['site', true]]), SOON);
    expect(await change(warm('@yearly'))).toEqual(['warm.site']);
    await change({});
    await vi.waitFor(async () => expect(await next()).toEqual([]), SOON);
    const metrics = await (await fetch(`${scene.app.adminUrl}/metrics`)).text();
    expect(metrics).not.toContain('schedule="site"');
  });

  it('what is logged', async () => {
    const { scene, change, manifest } = await start();
    const debugLines = () => scene.app.logLines.filter(({ level }) => level === 'debug').length;
    await manifest();
    expect(debugLines()).toBeGreaterThan(0);
    expect(await change({ log: { level: 'warn' } })).toEqual(['log.level']);
    const before = scene.app.logLines.length;
    await manifest();
    expect(scene.app.logLines.length).toBe(before);
  });

  it('how clients reach it', async () => {
    const { registry, scene, change } = await start();
    pushTo(registry, { repository: 'library/app', tag: 'v2', image: IMAGE });
    const link = async () => (await get(`${scene.app.url}/v2/library/app/tags/list?n=1`)).headers['link'];
    expect(await link()).toMatch(/^<\/v2\//);
    expect(await change({ publicUrl: 'https://cache.example' })).toEqual(['publicUrl']);
    expect(await link()).toMatch(/^<https:\/\/cache\.example\/v2\//);
  });

  it('by which proxy upstreams are reached', async () => {
    const { change, manifest } = await start({ cache: { tagTtl: '0s' } });
    const proxy = closeAfterTest(await FakeProxy.start());
    await manifest();
    expect(proxy.requests).toHaveLength(0);
    expect(await change({ cache: { tagTtl: '0s' }, proxy: `http://${proxy.host}` })).toEqual(['proxy']);
    expect((await manifest()).status).toBe(200);
    expect(proxy.requests.length).toBeGreaterThan(0);
  });

  it('how many connections one client may have', async () => {
    const { scene, change } = await start();
    expect(await change({ connectionsPerClient: 1 })).toEqual(['connectionsPerClient']);
    const { port } = new URL(scene.app.url);
    const sockets = [0, 1].map(() => connect(Number(port), '127.0.0.1'));
    const closed = sockets.map(
      (socket) =>
        new Promise<void>((resolve) => socket.on('error', () => undefined).on('close', () => resolve())),
    );
    await Promise.race(closed);
    for (const socket of sockets) socket.destroy();
  });
});

describe('the configuration that is told', () => {
  const CANARIES = {
    token: 'canary-token-1',
    password: 'canary-password-2',
    identity: 'canary-identity-3',
    proxy: 'canary-proxy-4',
    mirror: 'canary-mirror-5',
    inUrl: 'canary-in-url-6',
  };

  interface Told {
    readonly file?: string;
    readonly settings: readonly {
      readonly key: string;
      readonly value: unknown;
      readonly source: string;
      readonly variable?: string;
      readonly needsRestart: boolean;
    }[];
  }

  it('has every value with where it is from, and no secret, however it came', async () => {
    const scene = await startReloadable(
      {
        cache: { maxSize: '${SIZE}', scrub: { every: 'never' } },
        proxy: { url: `http://user:${CANARIES.proxy}@proxy.example:3128`, password: CANARIES.proxy },
        upstreams: {
          'docker.io': {
            auth: { username: 'me', password: '${FROM_ENVIRONMENT}' },
            mirrors: [{ url: 'https://mirror.example', auth: { token: CANARIES.mirror } }],
            repositories: { 'team/**': { auth: { identityToken: CANARIES.identity } } },
          },
          'quay.io': {
            proxy: `http://me:${CANARIES.inUrl}@proxy.example:1`,
            trustedHosts: ['canary-password-2'],
          },
        },
      },
      {
        environment: {
          SIZE: '80%',
          FROM_ENVIRONMENT: CANARIES.password,
          ENTREPOT_LOG_LEVEL: 'error',
        },
      },
    );
    const told = await admin<Told>(scene, 'config');
    expect(JSON.stringify(told)).not.toContain('canary');
    const of = (key: string) => told.settings.find((setting) => setting.key === key);
    expect(told.file).toBe(`${scene.dir}/config.yaml`);
    expect(of('cache.maxSize')).toMatchObject({ value: '80%', source: 'file', needsRestart: false });
    expect(of('cache.tagTtl')).toMatchObject({ value: '1m', source: 'default' });
    expect(of('cache.scrub.rate')).toMatchObject({ value: '20MiB', source: 'default' });
    expect(of('dataDir')).toMatchObject({ value: './data', source: 'file', needsRestart: true });
    expect(of('log.level')).toEqual({
      key: 'log.level',
      value: 'error',
      source: 'environment',
      variable: 'ENTREPOT_LOG_LEVEL',
      needsRestart: false,
    });
    expect(of('upstreams.docker.io.auth.username')?.value).toBe('me');
    for (const key of [
      'proxy.password',
      'upstreams.docker.io.auth.password',
      'upstreams.docker.io.mirrors.0.auth.token',
      'upstreams.docker.io.repositories.team/**.auth.identityToken',
    ])
      expect(of(key)?.value).toBe('***');
    expect(of('upstreams.quay.io.proxy')?.value).toBe('http://***@proxy.example:1');
    expect(of('upstreams.quay.io.trustedHosts')?.value).toEqual(['***']);
    expect(of('upstreams.quay.io.url')).toMatchObject({ value: 'https://quay.io', source: 'default' });
  });

  it('is that which holds: another one after a reload, and the old one after one that was refused', async () => {
    const scene = await startReloadable({ shutdownGrace: '3s' });
    const grace = async () => {
      const { settings } = await admin<Told>(scene, 'config');
      return settings.find(({ key }) => key === 'shutdownGrace')?.value;
    };
    await scene.change({ shutdownGrace: '4s' });
    expect(await grace()).toBe('4s');
    await scene.change({ shutdownGrace: '5s', dataDir: './other' });
    expect(await grace()).toBe('4s');
  });
});
