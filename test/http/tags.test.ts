import { describe, expect, it } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { type RunningApp, type RunningAppOptions, startApp } from '../support/running-app.ts';

const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const TAGS = ['1.0', '1.1', '2.0', 'latest', 'stable'];

interface Setup {
  readonly app: RunningApp;
  readonly registry: FakeRegistry;
  readonly clock: FakeClock;
  readonly list: (query?: string) => Promise<GetResult>;
}

async function start(options: Partial<RunningAppOptions> = {}, pageSize?: number): Promise<Setup> {
  const registry = closeAfterTest(await FakeRegistry.start(pageSize === undefined ? {} : { pageSize }));
  registry.addManifest('library/app', '{}', TYPE, TAGS.toReversed());
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock, ...options });
  return { app, registry, clock, list: async (query = '') => get(`${app.url}/v2/app/tags/list${query}`) };
}

function tagsOf({ body }: GetResult): readonly string[] {
  return (JSON.parse(body.toString()) as { tags: string[] }).tags;
}

/** The target of the link to the next page. */
function nextOf({ headers }: GetResult): string | undefined {
  const link = headers['link'];
  if (link === undefined) return undefined;
  if (typeof link !== 'string') throw new Error('there is more than one Link');
  expect(link).toMatch(/^<[^<>\s]+>; rel="next"$/);
  return link.slice(1, link.indexOf('>'));
}

describe('a list of tags', () => {
  it('is whole, sorted and named as it was asked for', async () => {
    const { list } = await start();
    const answer = await list();
    expect(JSON.parse(answer.body.toString())).toEqual({ name: 'app', tags: TAGS });
    expect(answer.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(answer.headers['content-length']).toBe(String(answer.body.length));
    expect(nextOf(answer)).toBeUndefined();
  });

  it('comes in pages of n, whose relative links lead through all of it', async () => {
    const { app, registry } = await start();
    const pages: (readonly string[])[] = [];
    for (let target: string | undefined = '/v2/app/tags/list?n=2'; target !== undefined;) {
      const page: GetResult = await get(app.url + target);
      pages.push(tagsOf(page));
      target = nextOf(page);
      if (target !== undefined) expect(target).toMatch(/^\/v2\/app\/tags\/list\?/);
    }
    expect(pages).toEqual([['1.0', '1.1'], ['2.0', 'latest'], ['stable']]);
    expect(registry.count({ path: /tags/ })).toBe(1);
  });

  it('goes on behind last, whether that is a tag or not', async () => {
    const { list } = await start();
    expect(tagsOf(await list('?last=1.1'))).toEqual(['2.0', 'latest', 'stable']);
    expect(tagsOf(await list('?last=1.5&n=1'))).toEqual(['2.0']);
    expect(tagsOf(await list('?last=zzz'))).toEqual([]);
  });

  it('with n=0 is empty and has no link', async () => {
    const { list } = await start();
    const answer = await list('?n=0');
    expect([answer.status, tagsOf(answer), nextOf(answer)]).toEqual([200, [], undefined]);
  });

  it('with n as large as what is there, or larger, has no link', async () => {
    const { list } = await start();
    for (const n of [5, 6, 1000, 999_999_999]) expect(nextOf(await list(`?n=${n}`))).toBeUndefined();
  });

  it('gives 1000 and a link to who asks for more', async () => {
    const { app, registry, list } = await start();
    const many = Array.from({ length: 1500 }, (_, at) => `t${String(at).padStart(4, '0')}`);
    registry.addManifest('library/app', '{}', TYPE, many);
    const first = await list('?n=5000');
    expect(tagsOf(first)).toHaveLength(1000);
    const second = await get(`${app.url}${nextOf(first) ?? ''}`);
    expect([...tagsOf(first), ...tagsOf(second)]).toEqual([...TAGS, ...many].toSorted());
    expect(nextOf(second)).toBeUndefined();
    expect(tagsOf(await list())).toHaveLength(1505);
  });

  it('has links that keep what named the upstream', async () => {
    const { app } = await start();
    const next = async (target: string): Promise<string | undefined> => nextOf(await get(app.url + target));
    expect(await next('/v2/app/tags/list?n=1&ns=docker.io')).toBe(
      '/v2/app/tags/list?n=1&last=1.0&ns=docker.io',
    );
    expect(await next('/v2/docker.io/app/tags/list?n=1')).toBe('/v2/docker.io/app/tags/list?n=1&last=1.0');
    expect(await next('/docker.io/v2/app/tags/list?n=1')).toBe('/docker.io/v2/app/tags/list?n=1&last=1.0');
  });

  it('has links to the public URL when there is one, never to what Host says', async () => {
    const { app } = await start({ publicUrl: 'https://cache.example.com:5000' });
    const answer = await get(`${app.url}/v2/app/tags/list?n=1`, { headers: { host: 'evil.example' } });
    expect(nextOf(answer)).toBe('https://cache.example.com:5000/v2/app/tags/list?n=1&last=1.0');
    expect(answer.rawHeaders.join(' ')).not.toContain('evil.example');
  });

  it('has its headers alone for HEAD', async () => {
    const { app } = await start();
    const answer = await get(`${app.url}/v2/app/tags/list?n=2`, { method: 'HEAD' });
    expect([answer.status, answer.length, nextOf(answer)]).toEqual([
      200,
      0,
      '/v2/app/tags/list?n=2&last=1.1',
    ]);
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(0);
  });

  it('is gathered from all pages of the upstream, each asked for once', async () => {
    const { list, registry } = await start({}, 2);
    expect(tagsOf(await list('?n=3'))).toEqual(['1.0', '1.1', '2.0']);
    expect(tagsOf(await list())).toEqual(TAGS);
    expect(registry.count({ path: /tags/ })).toBe(3);
  });

  it('is asked for once by many at the same time', async () => {
    const { list, registry } = await start();
    const answers = await Promise.all(Array.from({ length: 10 }, async () => list()));
    expect(answers.map(tagsOf)).toEqual(answers.map(() => TAGS));
    expect(registry.count({ path: /tags/ })).toBe(1);
  });

  it('is answered from here for as long as a tag is, with its age, then asked for again', async () => {
    const { list, registry, clock } = await start();
    const first = await list();
    expect([first.headers['x-cache'], first.headers.age]).toEqual(['MISS', '0']);
    registry.tag('library/app', 'new', registry.addManifest('library/app', '{"a":1}', TYPE));
    await clock.advance(59_000);
    const second = await list();
    expect([second.headers['x-cache'], second.headers.age, tagsOf(second)]).toEqual(['HIT', '59', TAGS]);
    await clock.advance(2000);
    const third = await list();
    expect([third.headers['x-cache'], third.headers.age]).toEqual(['MISS', '0']);
    expect(tagsOf(third)).toEqual([...TAGS, 'new'].toSorted());
    expect(third.headers.warning).toBeUndefined();
  });
});

describe('while the upstream is in trouble', () => {
  it.each([500, 503, 429])('that answers %i, the last list is served stale, and says so', async (status) => {
    const { list, registry, clock } = await start();
    await list();
    await clock.advance(90_000);
    registry.faults.add({ action: { respond: { status, headers: { 'retry-after': '3600' } } } });
    const answer = await list('?n=2');
    expect([answer.status, tagsOf(answer), nextOf(answer)]).toEqual([
      200,
      ['1.0', '1.1'],
      '/v2/app/tags/list?n=2&last=1.1',
    ]);
    expect([answer.headers['x-cache'], answer.headers.age]).toEqual(['STALE', '90']);
    expect(answer.headers.warning).toMatch(/^110 - "Response is Stale", 299 - "/);
  });

  it('and its list was never asked for, the tags that were pulled are served, without an age', async () => {
    const { app, list, registry } = await start();
    for (const tag of ['latest', '1.0']) await get(`${app.url}/v2/app/manifests/${tag}`);
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '3600' } } } });
    const answer = await list();
    expect([answer.status, tagsOf(answer)]).toEqual([200, ['1.0', 'latest']]);
    expect([answer.headers['x-cache'], answer.headers.age]).toEqual(['STALE', undefined]);
    expect(answer.headers.warning).toContain('299 - ');
  });

  it('and nothing is known, it is 503 with Retry-After', async () => {
    const { list, registry } = await start();
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '3600' } } } });
    const answer = await list();
    expect(answer.status).toBe(503);
    expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
    expect(answer.body.toString()).toContain('"UNAVAILABLE"');
  });
});

describe('an upstream that says no', () => {
  it.each([
    [404, 404, 'NAME_UNKNOWN'],
    [401, 404, 'NAME_UNKNOWN'],
    [403, 404, 'NAME_UNKNOWN'],
  ])(
    'without credentials, by %i, is passed on as %i although there is a list',
    async (said, status, code) => {
      const { list, registry, clock } = await start();
      await list();
      await clock.advance(90_000);
      registry.faults.add({ action: { respond: { status: said } } });
      const answer = await list();
      expect([answer.status, answer.headers['www-authenticate']]).toEqual([status, undefined]);
      expect(answer.body.toString()).toContain(`"${code}"`);
    },
  );
});
