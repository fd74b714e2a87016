import { describe, expect, it } from 'vitest';
import type { UpstreamConfig } from '../../src/config.ts';
import { parseRepositoryPattern, type RepositoryPattern } from '../../src/oci/repository-pattern.ts';
import { parseTagPattern, type TagPattern } from '../../src/oci/tag-pattern.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { playedOut } from '../support/played-out.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';

const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const HOUR_MS = 3_600_000;

function pattern(text: string): RepositoryPattern {
  const parsed = parseRepositoryPattern(text);
  if (parsed === undefined) throw new Error(`${text} is not taken`);
  return parsed;
}

function tagPattern(text: string): TagPattern {
  const parsed = parseTagPattern(text);
  if (parsed === undefined) throw new Error(`${text} is not taken`);
  return parsed;
}

interface Scene {
  readonly app: RunningApp;
  readonly registry: FakeRegistry;
  readonly clock: FakeClock;
  readonly pull: (name: string, reference?: string) => Promise<GetResult>;
}

async function start(
  rules: Partial<UpstreamConfig>,
  names: readonly string[],
  options: FakeRegistryOptions = {},
): Promise<Scene> {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  for (const name of names) registry.addManifest(name, `{"mediaType":"${TYPE}"}`, TYPE, ['latest', 'v1.0']);
  const clock = new FakeClock();
  const upstream = { name: 'reg.example', url: registry.url, ...rules };
  const app = await startApp({ upstreams: [upstream], clock });
  const pull = async (name: string, reference = 'latest') =>
    get(`${app.url}/v2/${name}/manifests/${reference}`, { headers: { accept: TYPE } });
  return { app, registry, clock, pull };
}

describe('repositories that the configuration does not allow', () => {
  const rules = { allow: ['team/**', 'tools/*'].map(pattern), deny: [pattern('team/secret/**')] };

  it('are refused before anybody is asked, and the others are served', async () => {
    const { app, registry, pull } = await start(rules, ['team/app', 'tools/x', 'team/secret/y', 'other/z']);
    expect((await pull('team/app')).status).toBe(200);
    expect((await pull('tools/x')).status).toBe(200);
    registry.forget();
    const digest = `sha256:${'0'.repeat(64)}`;
    for (const path of [
      'team/secret/y/manifests/latest',
      'other/z/manifests/latest',
      `other/z/blobs/${digest}`,
      'other/z/tags/list',
      `other/z/referrers/${digest}`,
    ]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await get(`${app.url}/v2/${path}`, { method });
        expect(answer.status, path).toBe(403);
        if (method === 'GET') expect(answer.body.toString()).toContain('"code":"DENIED"');
      }
    }
    expect(registry.requests).toEqual([]);
  });

  it('are refused although they are cached from before', async () => {
    const { app, registry } = await start({}, ['other/z']);
    expect((await get(`${app.url}/v2/other/z/manifests/latest`)).status).toBe(200);
    await app.close();
    const upstream = { name: 'reg.example', url: registry.url, ...rules };
    const again = await startApp({ upstreams: [upstream], dataDir: app.dataDir });
    expect((await get(`${again.url}/v2/other/z/manifests/latest`)).status).toBe(403);
  });
});

describe('a tag that never moves', () => {
  it('is not asked about again, however old the answer is', async () => {
    const { registry, clock, pull } = await start({ tagTtlMs: 0, immutableTags: [tagPattern('v\\d.*')] }, [
      'app',
    ]);
    await pull('app', 'v1.0');
    await pull('app', 'latest');
    registry.forget();
    await clock.advance(100 * 24 * HOUR_MS);
    const held = await pull('app', 'v1.0');
    expect([held.status, held.headers['x-cache']]).toEqual([200, 'HIT']);
    expect(registry.requests).toEqual([]);
    await pull('app', 'latest');
    expect(registry.count({ method: 'HEAD' })).toBe(1);
  });

  it('may be so in one repository only', async () => {
    const repositories = [{ pattern: pattern('fixed/**'), immutableTags: [tagPattern('.*')] }];
    const { registry, pull } = await start({ tagTtlMs: 0, repositories }, ['fixed/a', 'app']);
    for (const name of ['fixed/a', 'app']) await pull(name);
    registry.forget();
    for (const name of ['fixed/a', 'app']) await pull(name);
    expect(registry.requests.map(({ path }) => path)).toEqual(['/v2/app/manifests/latest']);
  });
});

describe('a repository with rules of its own', () => {
  it('keeps its tags for its own time', async () => {
    const repositories = [
      { pattern: pattern('**'), tagTtlMs: 0 },
      { pattern: pattern('slow/*'), tagTtlMs: HOUR_MS },
    ];
    const { registry, clock, pull } = await start({ repositories }, ['slow/a', 'app']);
    for (const name of ['slow/a', 'app']) await pull(name);
    registry.forget();
    await clock.advance(HOUR_MS / 2);
    for (const name of ['slow/a', 'app']) await pull(name);
    expect(registry.requests.map(({ path }) => path)).toEqual(['/v2/app/manifests/latest']);
    await clock.advance(HOUR_MS);
    await pull('slow/a');
    expect(registry.count({ path: /slow/ })).toBe(1);
  });

  it.each(['basic', 'bearer'] as const)('is asked for with its own credentials (%s)', async (mode) => {
    const credentials = [
      { username: 'all', password: 'canary-a', repositories: /^(?!team\/)/ },
      { username: 'team', password: 'canary-t', repositories: /^team\/(?!app)/ },
      { username: 'app', password: 'canary-p', repositories: /^team\/app$/ },
    ];
    const repositories = [
      { pattern: pattern('team/**'), auth: { username: 'team', password: 'canary-t' } },
      { pattern: pattern('team/app'), auth: { username: 'app', password: 'canary-p' } },
      // Says nothing of credentials: those of the less specific rule count.
      { pattern: pattern('team/often'), tagTtlMs: 0 },
    ];
    const auth = { username: 'all', password: 'canary-a' };
    const names = ['x', 'team/web', 'team/app', 'team/often'];
    const { app, pull } = await start({ auth, repositories }, names, { auth: { mode, credentials } });
    expect((await pull('x')).status).toBe(200);
    expect((await pull('team/web')).status).toBe(200);
    expect((await pull('team/app')).status).toBe(200);
    expect((await pull('team/often')).status).toBe(200);
    expect(JSON.stringify(app.logLines)).not.toContain('canary');
  });
});

describe('what is served when asking fails', () => {
  const failures = [
    ['timeout', { drop: 'reset' }],
    ['5xx', { respond: { status: 500 } }],
    ['429', { respond: { status: 429, headers: { 'retry-after': '1000' } } }],
    ['401', { respond: { status: 401 } }],
    ['403', { respond: { status: 403 } }],
    ['404', { respond: { status: 404 } }],
  ] as const;

  it.each(failures)('by default with %s', async (reason, action) => {
    const { registry, clock, pull } = await start({ tagTtlMs: 0 }, ['app']);
    await pull('app');
    registry.faults.add({ match: { path: /manifests/ }, action });
    const answer = await playedOut(clock, pull('app'), 100);
    const isStale = ['timeout', '5xx', '429'].includes(reason);
    expect(answer.status).toBe(isStale ? 200 : 404);
    expect(answer.headers['x-cache']).toBe(isStale ? 'STALE' : undefined);
  });

  it.each(failures)(
    'with %s is as the policy says: stale, fail, or stale for a while',
    async (reason, action) => {
      const rule = (reaction: 'stale' | 'fail' | number) => ({ stale: { [reason]: reaction } });
      const repositories = [
        { pattern: pattern('stale'), ...rule('stale') },
        { pattern: pattern('fail'), ...rule('fail') },
        { pattern: pattern('while'), ...rule(HOUR_MS) },
      ];
      const names = ['stale', 'fail', 'while'];
      const { app, registry, clock, pull } = await start({ tagTtlMs: 0, repositories }, names);
      const list = async (name: string) => get(`${app.url}/v2/${name}/tags/list`);
      for (const name of names) {
        await pull(name);
        await list(name);
      }
      registry.faults.add({ match: { path: /manifests|tags/ }, action });
      const outcomes = async () => {
        const answers = [];
        for (const name of names) {
          for (const ask of [pull, list]) {
            answers.push((await playedOut(clock, ask(name), 100)).headers['x-cache'] ?? 'failed');
          }
        }
        return answers;
      };
      expect(await outcomes()).toEqual(['STALE', 'STALE', 'failed', 'failed', 'STALE', 'STALE']);
      await clock.advance(2 * HOUR_MS);
      expect(await outcomes()).toEqual(['STALE', 'STALE', 'failed', 'failed', 'failed', 'failed']);
    },
  );

  it('a 404 takes the list of tags away, so that it is not served when the upstream is gone later', async () => {
    const { app, registry, clock } = await start({ tagTtlMs: 0 }, ['app']);
    const list = async () => playedOut(clock, get(`${app.url}/v2/app/tags/list`), 100);
    expect((await list()).status).toBe(200);
    registry.faults.add({ match: { path: /tags/, times: 1 }, action: { respond: { status: 404 } } });
    expect((await list()).status).toBe(404);
    await registry.stop();
    expect((await list()).status).toBe(503);
  });
});
