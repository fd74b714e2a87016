import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';

const TYPE = 'application/vnd.oci.image.manifest.v1+json';

interface Setup {
  readonly app: RunningApp;
  readonly hub: FakeRegistry;
  readonly quay: FakeRegistry;
  readonly ask: (target: string, host?: string, method?: string) => Promise<GetResult>;
}

/** Docker Hub as the default, and quay.io, which is also `quay.mirror.local`. */
async function start(): Promise<Setup> {
  const [hub, quay] = [
    closeAfterTest(await FakeRegistry.start()),
    closeAfterTest(await FakeRegistry.start()),
  ];
  hub.addManifest('library/nginx', '{"from":"hub"}', TYPE, ['1']);
  hub.addManifest('org/app', '{"from":"hub org"}', TYPE, ['1']);
  hub.addManifest('coreos/etcd', '{"from":"hub etcd"}', TYPE, ['1']);
  quay.addManifest('coreos/etcd', '{"from":"quay"}', TYPE, ['1']);
  quay.addManifest('single', '{"from":"quay single"}', TYPE, ['1']);
  const app = await startApp({
    upstreams: [
      { name: 'docker.io', url: hub.url },
      { name: 'quay.io', url: quay.url, hosts: ['quay.mirror.local'], prefixes: ['quay.io', 'quay'] },
    ],
  });
  return {
    app,
    hub,
    quay,
    ask: async (target, host, method = 'GET') =>
      get(`${app.url}${target}`, { method, headers: host === undefined ? {} : { host } }),
  };
}

function errorCode({ body }: GetResult): string | undefined {
  return (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code;
}

describe('a request names its upstream', () => {
  it.each<[string, string, string | undefined, string]>([
    ['by nothing: the default', '/v2/org/app/manifests/1', undefined, 'hub org'],
    ['by ns', '/v2/coreos/etcd/manifests/1?ns=quay.io', undefined, 'quay'],
    ['by ns, the default’s', '/v2/coreos/etcd/manifests/1?ns=docker.io', undefined, 'hub etcd'],
    [
      'by another name of Docker Hub as ns',
      '/v2/org/app/manifests/1?ns=registry-1.docker.io',
      undefined,
      'hub org',
    ],
    ['by Host', '/v2/coreos/etcd/manifests/1', 'quay.mirror.local', 'quay'],
    ['by Host in upper case', '/v2/coreos/etcd/manifests/1', 'QUAY.Mirror.Local', 'quay'],
    ['by the first segment', '/v2/quay.io/coreos/etcd/manifests/1', undefined, 'quay'],
    ['by another of its prefixes', '/v2/quay/coreos/etcd/manifests/1', undefined, 'quay'],
    ['by a segment before /v2', '/quay.io/v2/coreos/etcd/manifests/1', undefined, 'quay'],
    [
      'by prefix and ns, which repeat each other',
      '/v2/quay.io/coreos/etcd/manifests/1?ns=quay.io',
      undefined,
      'quay',
    ],
    ['by prefix and Host', '/v2/quay.io/coreos/etcd/manifests/1', 'quay.mirror.local', 'quay'],
    ['by a segment before /v2 and ns', '/quay.io/v2/coreos/etcd/manifests/1?ns=quay.io', undefined, 'quay'],
    [
      'by ns rather than by Host',
      '/v2/coreos/etcd/manifests/1?ns=docker.io',
      'quay.mirror.local',
      'hub etcd',
    ],
    [
      'by Host, with ns saying no more than Host',
      '/v2/coreos/etcd/manifests/1?ns=quay.mirror.local',
      'quay.mirror.local',
      'quay',
    ],
    [
      'by nothing, with ns being our own name',
      '/v2/org/app/manifests/1?ns=cache.local:5000',
      'cache.local:5000',
      'hub org',
    ],
    ['by nothing, with a Host that nobody knows', '/v2/org/app/manifests/1', 'evil.example', 'hub org'],
  ])('%s', async (_, target, host, from) => {
    const { ask } = await start();
    const answer = await ask(target, host);
    expect([answer.status, answer.body.toString()]).toEqual([200, JSON.stringify({ from })]);
  });

  it('and asks it under the name that is left, whatever the style', async () => {
    const { ask, hub, quay } = await start();
    await ask('/quay/v2/coreos/etcd/tags/list');
    await ask('/v2/quay.io/single/tags/list?ns=quay.io');
    expect(quay.requests.map(({ path }) => path)).toEqual([
      '/v2/coreos/etcd/tags/list',
      '/v2/single/tags/list',
    ]);
    expect(hub.requests).toEqual([]);
  });

  it('and a copy that came in by one style is hit by every other', async () => {
    const { ask, quay } = await start();
    await ask('/v2/quay.io/coreos/etcd/manifests/1');
    quay.forget();
    const others = [
      await ask('/v2/coreos/etcd/manifests/1?ns=quay.io'),
      await ask('/v2/coreos/etcd/manifests/1', 'quay.mirror.local'),
      await ask('/quay.io/v2/coreos/etcd/manifests/1'),
    ];
    expect(others.map(({ headers }) => headers['x-cache'])).toEqual(['HIT', 'HIT', 'HIT']);
    expect(quay.requests).toEqual([]);
  });
});

describe('a name of one part', () => {
  it.each([
    ['/v2/nginx/manifests/1', undefined],
    ['/v2/library/nginx/manifests/1', undefined],
    ['/v2/nginx/manifests/1?ns=docker.io', undefined],
    ['/v2/nginx/manifests/1?ns=index.docker.io', undefined],
    ['/v2/docker.io/nginx/manifests/1', undefined],
    ['/v2/docker.io/library/nginx/manifests/1?ns=docker.io', undefined],
    ['/docker.io/v2/nginx/manifests/1', undefined],
  ])('is in library/ on Docker Hub: %s', async (target, host) => {
    const { ask, hub } = await start();
    expect((await ask(target, host)).body.toString()).toBe('{"from":"hub"}');
    expect(new Set(hub.requests.map(({ path }) => path.split('/manifests')[0]))).toEqual(
      new Set(['/v2/library/nginx']),
    );
  });

  it('is itself anywhere else', async () => {
    const { ask } = await start();
    for (const target of ['/v2/single/manifests/1?ns=quay.io', '/v2/quay.io/single/manifests/1']) {
      expect((await ask(target)).body.toString()).toBe('{"from":"quay single"}');
    }
  });
});

describe('an upstream that is not configured', () => {
  it.each([
    '/v2/org/app/manifests/1?ns=evil.example',
    '/v2/org/app/manifests/1?ns=127.0.0.1',
    '/v2/org/app/manifests/1?ns=169.254.169.254:80',
    '/v2/org/app/manifests/1?ns=localhost',
    '/v2/org/app/manifests/1?ns=docker.io:443',
    '/v2/evil.example/app/manifests/1',
    '/v2/org/app/manifests/1?ns=quay',
    '/v2/?ns=evil.example',
    '/evil.example/v2/org/app/manifests/1',
    '/evil.example/v2/',
    '/quay.io/v2/coreos/etcd/manifests/1?ns=docker.io',
    '/v2/quay.io/coreos/etcd/tags/list?ns=evil.example',
    '/__proto__/v2/org/app/manifests/1',
    '/constructor/v2/org/app/manifests/1',
  ])('is 404 NAME_UNKNOWN, and nobody is asked: %s', async (target) => {
    const { ask, hub, quay } = await start();
    const answer = await ask(target);
    expect([answer.status, errorCode(answer)]).toEqual([404, 'NAME_UNKNOWN']);
    expect(answer.headers['content-type']).toBe('application/json');
    expect([...hub.requests, ...quay.requests]).toEqual([]);
  });

  it('is known by its ns in any case of letters, as host names are', async () => {
    const { ask, hub } = await start();
    await ask('/v2/org/app/manifests/1?ns=DOCKER.IO');
    expect(hub.count({ path: /^\/v2\/org\/app\// })).toBeGreaterThan(0);
  });
});

describe('OCI-Namespace', () => {
  it('is the ns that was asked for, on answers and on errors', async () => {
    const { ask } = await start();
    const ns = async (target: string, method?: string) =>
      (await ask(target, undefined, method)).headers['oci-namespace'];
    expect(await ns('/v2/?ns=quay.io')).toBe('quay.io');
    expect(await ns('/v2/coreos/etcd/manifests/1?ns=quay.io')).toBe('quay.io');
    expect(await ns('/v2/coreos/etcd/manifests/1?ns=quay.io', 'HEAD')).toBe('quay.io');
    expect(await ns('/v2/coreos/etcd/tags/list?ns=quay.io')).toBe('quay.io');
    expect(await ns('/v2/nginx/manifests/1?ns=index.docker.io')).toBe('index.docker.io');
    expect(await ns('/v2/coreos/etcd/manifests/none?ns=quay.io')).toBe('quay.io');
    expect(await ns('/v2/Bad/manifests/none?ns=quay.io')).toBe('quay.io');
  });

  it('is not sent when no ns said which upstream it is', async () => {
    const { ask } = await start();
    for (const answer of [
      await ask('/v2/quay.io/coreos/etcd/manifests/1'),
      await ask('/v2/org/app/manifests/1?ns=cache.local', 'cache.local'),
      await ask('/v2/org/app/manifests/1?ns=evil.example'),
    ]) {
      expect(answer.headers['oci-namespace']).toBeUndefined();
    }
  });
});

describe('the base endpoint', () => {
  it.each(['/v2/', '/v2', '/quay.io/v2/', '/quay.io/v2', '/v2/?ns=quay.io'])(
    '%s says what it is and asks nobody',
    async (target) => {
      const { ask, hub, quay } = await start();
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask(target, undefined, method);
        expect(answer.status).toBe(200);
        expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
        expect(answer.headers['content-length']).toBe('2');
        expect(answer.body.toString()).toBe(method === 'GET' ? '{}' : '');
      }
      expect([...hub.requests, ...quay.requests]).toEqual([]);
    },
  );
});

it('without a default, only who names an upstream is served', async () => {
  const quay = closeAfterTest(await FakeRegistry.start());
  quay.addManifest('coreos/etcd', '{}', TYPE, ['1']);
  const app = await startApp({ upstreams: [{ name: 'quay.io', url: quay.url, default: false }] });
  const refused = await get(`${app.url}/v2/coreos/etcd/manifests/1`);
  expect([refused.status, errorCode(refused)]).toEqual([404, 'NAME_UNKNOWN']);
  expect((await get(`${app.url}/v2/coreos/etcd/manifests/1?ns=quay.io`)).status).toBe(200);
  // Clients ask this before anything else, and leave when it is not there.
  expect((await get(`${app.url}/v2/`)).status).toBe(200);
  expect((await get(`${app.url}/v2/?ns=other.example`)).status).toBe(404);
});
