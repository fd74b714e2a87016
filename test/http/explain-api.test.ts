import { describe, expect, it, vi } from 'vitest';
import { explanation } from '../../src/pull-through/explain-operations.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { parseRepositoryPattern, type RepositoryPattern } from '../../src/oci/repository-pattern.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });

function pattern(text: string): RepositoryPattern {
  const parsed = parseRepositoryPattern(text);
  if (parsed === undefined) throw new Error(`${text} is no pattern`);
  return parsed;
}

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const clock = new FakeClock();
  const app = await startApp({
    upstreams: [
      {
        name: 'docker.io',
        url: registry.url,
        deny: [pattern('secret/**')],
        repositories: [{ pattern: pattern('library/*'), tagTtlMs: 30_000 }],
      },
      { name: 'quay.io', url: registry.url },
    ],
    clock,
  });
  const ask = async (image: string) => {
    const answer = await get(`${app.adminUrl}/api/v1/explain?image=${encodeURIComponent(image)}`);
    return { status: answer.status, document: JSON.parse(answer.body.toString()) as unknown };
  };
  const explain = async (image: string) => explanation.parse((await ask(image)).document);
  return { registry, app, clock, ask, explain };
}

describe('GET /api/v1/explain', () => {
  it('says what the next pull then is, before and after, and asks nobody', async () => {
    const { registry, app, clock, explain } = await start();
    const image = 'docker.io/library/app:v1';
    expect(await explain(image)).toMatchObject({
      image,
      namedBy: 'host',
      rule: { isAllowed: true, patterns: ['library/*'], tagTtlMs: 30_000, isOffline: false },
      platforms: [],
      answer: { outcome: 'miss' },
      quotaCost: { least: 1 },
    });
    expect(registry.requests).toEqual([]);
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await vi.waitFor(
      async () =>
        expect((await explain(image)).platforms.map(({ isWhole }) => isWhole)).toEqual([true, true]),
      SOON,
    );
    const asked = registry.requests.length;
    const here = await explain('library/app:v1');
    expect(here).toMatchObject({
      image,
      namedBy: 'default',
      tag: { digest: IMAGE.root.digest, isFresh: true },
      manifest: { digest: IMAGE.root.digest, isStored: true, isHeld: true },
      answer: { outcome: 'hit' },
      asks: [],
      fetchBytes: 0,
    });
    expect(here.platforms.map(({ platform }) => platform)).toEqual(['linux/amd64', 'linux/arm64']);
    await clock.advance(31_000);
    expect((await explain(image)).answer.outcome).toBe('revalidated');
    expect(registry.requests).toHaveLength(asked);
    const pulled = await get(`${app.url}/v2/library/app/manifests/v1`);
    expect(pulled.headers['x-cache']).toBe('REVALIDATED');
    expect((await explain(`app@${IMAGE.root.digest}`)).answer.outcome).toBe('hit');
  });

  it('says of each state what the pull after it turns out to be', async () => {
    const { registry, app, clock, explain } = await start();
    const pullNow = async () => {
      const answer = await get(`${app.url}/v2/library/app/manifests/v1`);
      return answer.status === 200 ? String(answer.headers['x-cache']).toLowerCase() : 'refused';
    };
    const compare = async (outcome: string) => {
      const said = (await explain('app:v1')).answer.outcome;
      expect([said, await pullNow()]).toEqual([outcome, outcome]);
    };
    const turn = async (offline: boolean) =>
      (
        await fetch(`${app.adminUrl}/api/v1/offline`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ offline }),
        })
      ).text();
    await turn(true);
    await compare('refused');
    await turn(false);
    await compare('miss');
    const isStored = async () => (await explain('app:v1')).manifest?.isStored;
    await vi.waitFor(async () => expect(await isStored()).toBe(true), SOON);
    await compare('hit');
    await clock.advance(31_000);
    await compare('revalidated');
    await compare('hit');
    await clock.advance(31_000);
    await turn(true);
    await compare('stale');
    await turn(false);
    const other = buildImage({ seed: 9, platforms: ['linux/amd64'] });
    pushTo(registry, { repository: 'library/app', tag: 'v1', image: other });
    // It cannot know that the tag has moved, and says what becomes of it then.
    expect((await explain('app:v1')).answer.text).toContain('if it moved, the new manifest is fetched');
    expect(await pullNow()).toBe('miss');
  });

  it('says that its upstream is paused, as the pull after it finds', async () => {
    const { registry, app, clock, explain } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    const isStored = async () => (await explain('app:v1')).manifest?.isStored;
    await vi.waitFor(async () => expect(await isStored()).toBe(true), SOON);
    const limited = { respond: { status: 429, headers: { 'retry-after': '60' } } };
    const fault = registry.faults.add({ action: limited });
    const pullNow = async (tag: string) => get(`${app.url}/v2/library/app/manifests/${tag}`);
    expect((await explain('app:v2')).answer).toMatchObject({ outcome: 'miss' });
    expect((await pullNow('v2')).status).toBe(429);
    await clock.advance(31_000);
    const asked = registry.requests.length;
    const until = new Date(clock.now() + 29_000).toISOString();
    const pausedUntil = clock.now() + 29_000;
    const refused = {
      outcome: 'refused',
      text: expect.stringMatching(/^429: .*not in the cache/),
      pausedUntil,
    };
    expect(await explain('app:v2')).toMatchObject({ answer: refused, asks: [] });
    expect((await pullNow('v2')).status).toBe(429);
    const stale = { outcome: 'stale', text: expect.stringContaining(`paused until ${until}`), pausedUntil };
    expect(await explain('app:v1')).toMatchObject({ answer: stale, asks: [], fetchBytes: 0 });
    expect((await pullNow('v1')).headers['x-cache']).toBe('STALE');
    expect(registry.requests).toHaveLength(asked);
    fault.remove();
    await clock.advance(29_000);
    const { answer } = await explain('app:v1');
    expect([answer.outcome, answer.pausedUntil]).toEqual(['revalidated', undefined]);
    expect((await pullNow('v1')).headers['x-cache']).toBe('REVALIDATED');
  });

  it('tells what is here of another repository from what this one was seen to hold', async () => {
    const { app, explain } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await vi.waitFor(
      async () =>
        expect((await explain('app:v1')).platforms.map(({ isWhole }) => isWhole)).toEqual([true, true]),
      SOON,
    );
    const found = await explain(`quay.io/other/app@${IMAGE.root.digest}`);
    expect(found).toMatchObject({
      manifest: { isStored: true, isHeld: false },
      answer: { outcome: 'revalidated' },
    });
    expect(found.asks.map(({ method }) => method)).not.toContain('GET');
    expect(found.fetchBytes).toBe(0);
    expect(found.platforms.map(({ isWhole }) => isWhole)).toEqual([false, false]);
  });

  it('says that it is more where manifests are not here that tell of blobs', async () => {
    const { app, explain } = await start();
    const [, half] = IMAGE.manifests;
    if (half === undefined) throw new Error('it has one platform');
    const pulled = { ...IMAGE, manifests: [half], blobs: [half.config, ...half.layers] };
    await pullImage(app, 'library/app', 'v1', pulled);
    await vi.waitFor(
      async () =>
        expect((await explain('app:v1')).platforms.map(({ isWhole }) => isWhole)).toEqual([false, true]),
      SOON,
    );
    const size = IMAGE.manifests[0]?.bytes.length;
    expect(await explain('app:v1')).toMatchObject({ fetchBytes: size, isFetchComplete: false });
    const page = async (image: string) =>
      (await get(`${app.adminUrl}/explain?image=${image}`)).body.toString().replaceAll(/<[^>]*>|\s+/g, ' ');
    expect(await page('app:v1')).toMatch(/ and fetch +at least +[^,]*\d+ B *, since manifests/);
    expect(await page('other:v1')).toMatch(/ and fetch +an amount that is not known *, since manifests/);
  });

  it('says who forbids it, and which patterns', async () => {
    const { explain } = await start();
    expect(await explain('docker.io/secret/thing:v1')).toMatchObject({
      rule: { isAllowed: false, decidedBy: 'secret/**' },
      answer: { outcome: 'refused', text: expect.stringContaining('secret/**') },
      asks: [],
    });
  });

  it.each([
    ['', 400, 'image: accepted is an image'],
    ['Library/App', 400, 'image: accepted is [upstream/]repository'],
    ['app:a b', 400, 'image: a tag is'],
    ['app@sha256:12', 400, 'image: '],
    ['example.com/app:v1', 404, 'example.com is not an upstream; there are docker.io, quay.io'],
    ['a'.repeat(2000), 400, 'image: accepted is an image'],
  ])('refuses %s', async (image, status, detail) => {
    const { ask, registry } = await start();
    expect(await ask(image)).toEqual({
      status,
      document: expect.objectContaining({ status, detail: expect.stringContaining(detail) }),
    });
    expect(registry.requests).toEqual([]);
  });
});
