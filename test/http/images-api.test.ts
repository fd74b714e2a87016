import { describe, expect, it, vi } from 'vitest';
import { imageDetail, imagePage } from '../../src/cache/image-events.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const NAMES = ['alpha', 'beta', 'gamma', 'delta', 'epsilon'];
const IMAGES = NAMES.map((name, at) => ({
  name,
  image: buildImage({ seed: at + 1, layerSizes: [1000 * (at + 1)], base: { size: 500, seed: 77 } }),
}));

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  for (const { name, image } of IMAGES) pushTo(registry, { repository: `team/${name}`, tag: 'v1', image });
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
  const ask = async (path: string) => {
    const answer = await get(`${app.adminUrl}/api/v1/${path}`);
    return { status: answer.status, document: JSON.parse(answer.body.toString()) as unknown };
  };
  const images = async (query: string) => imagePage.parse((await ask(`images?${query}`)).document);
  return { registry, clock, app, ask, images };
}

async function startFilled() {
  const scene = await start();
  for (const { name, image } of IMAGES) {
    await pullImage(scene.app, `team/${name}`, 'v1', image);
    await vi.waitFor(async () => {
      await scene.clock.advance(1000);
      expect(namesOf(await scene.images(`search=${name}`))).toEqual([name]);
    }, SOON);
    await scene.clock.advance(60_000);
  }
  await vi.waitFor(async () => {
    await scene.clock.advance(1000);
    expect((await scene.images('')).images.every(({ blobs }) => blobs === 4)).toBe(true);
    expect((await scene.images('')).total).toBe(NAMES.length);
  }, SOON);
  await scene.clock.advance(60_000);
  return scene;
}

function namesOf({ images }: { images: readonly { repository: string }[] }): readonly string[] {
  return images.map(({ repository }) => repository.replace('team/', ''));
}

describe('GET /api/v1/images as pages', () => {
  it('are in any order, by name, size, exclusive size and last use, both ways', async () => {
    const { images } = await startFilled();
    const sorted = NAMES.toSorted();
    expect(namesOf(await images('sort=name'))).toEqual(sorted);
    expect(namesOf(await images('sort=name&order=desc'))).toEqual(sorted.toReversed());
    expect(namesOf(await images('sort=size'))).toEqual(NAMES.toReversed());
    expect(namesOf(await images('sort=size&order=asc'))).toEqual(NAMES);
    expect(namesOf(await images('sort=exclusive'))).toEqual(NAMES.toReversed());
    expect(namesOf(await images('sort=used&order=asc'))).toEqual(NAMES);
    const [first] = (await images('sort=size')).images;
    expect(first).toMatchObject({ tags: ['v1'], tagCount: 1, pinned: false });
    // They have a layer of 500 bytes in common, and the config.
    expect(first?.exclusiveBytes).toBeLessThanOrEqual((first?.bytes ?? 0) - 500);
  });

  it('follow each other without gap or repetition, also when images come and go between', async () => {
    const { images, app, registry, clock } = await startFilled();
    const walk = async (query: string, between?: () => Promise<void>) => {
      const seen: string[] = [];
      for (let after: string | undefined = ''; after !== undefined;) {
        const page = await images(`${query}&limit=2${after === '' ? '' : `&after=${after}`}`);
        expect(page.images.length).toBeLessThanOrEqual(2);
        seen.push(...namesOf(page));
        after = page.next;
        await between?.();
      }
      return seen;
    };
    for (const query of ['sort=name', 'sort=size', 'sort=used&order=asc', 'sort=exclusive&search=a'])
      expect((await walk(query)).toSorted()).toEqual(NAMES.toSorted());
    const late = buildImage({ seed: 50, layerSizes: [1] });
    pushTo(registry, { repository: 'team/zeta', tag: 'v1', image: late });
    let isPulled = false;
    const seen = await walk('sort=name', async () => {
      if (isPulled) return;
      isPulled = true;
      await pullImage(app, 'team/zeta', 'v1', late);
      await fetch(`${app.adminUrl}/api/v1/purge`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"upstream":"docker.io","repository":"team/gamma"}',
      }).then((answer) => answer.text());
      await vi.waitFor(async () => {
        await clock.advance(5000);
        expect(namesOf(await images('search=zeta'))).toEqual(['zeta']);
      }, SOON);
    });
    expect(seen).toEqual(['alpha', 'beta', 'delta', 'epsilon', 'zeta']);
  });

  it('are found by part of a name, a tag or a digest, and counted', async () => {
    const { images } = await startFilled();
    expect(await images('search=ta')).toMatchObject({ total: 2, isWhole: true });
    expect(namesOf(await images('search=beta:v'))).toEqual(['beta']);
    expect(namesOf(await images('search=BETA'))).toEqual(['beta']);
    expect(namesOf(await images(`search=${IMAGES[2]?.image.root.digest}`))).toEqual(['gamma']);
    expect(await images('search=nothing')).toMatchObject({ images: [], total: 0 });
    expect(await images('upstream=quay.io')).toMatchObject({ images: [], total: 0 });
    expect((await images('upstream=docker.io&search=a&limit=1')).total).toBe(5);
  });

  it('do not show what is purged, and show a pin at once', async () => {
    const { images, app } = await startFilled();
    const post = async (path: string, body: object) =>
      (
        await fetch(`${app.adminUrl}/api/v1/${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(body),
        })
      ).text();
    await post('pin', { pattern: 'team/beta:v1' });
    await post('purge', { upstream: 'docker.io', repository: 'team/alpha' });
    const page = await images('');
    expect(namesOf(page)).toEqual(['beta', 'delta', 'epsilon', 'gamma']);
    expect(page.images.map(({ pinned }) => pinned)).toEqual([true, false, false, false]);
  });

  it.each([
    ['limit=0', 'limit: accepted is 1 to 1000'],
    ['limit=1001', 'limit: accepted is 1 to 1000'],
    ['limit=1e3', 'limit: accepted is 1 to 1000'],
    ['limit=99999999999999999999', 'limit: accepted is 1 to 1000'],
    ['limit=10&limit=20', 'limit: is given 2 times'],
    ['sort=colour', 'sort: accepted is name, size, exclusive, used'],
    ['order=down', 'order: accepted is asc or desc'],
    ['after=nonsense', 'after: accepted is `next` of the page before'],
    ['after=W10', 'after: accepted is `next` of the page before'],
    [`search=${'x'.repeat(300)}`, 'search: accepted are 255 characters at most'],
    ['page=2', 'page: unknown key'],
    ['tag=v1', 'tag: accepted with Accept: application/x-ndjson alone'],
    ['__proto__=1', '__proto__: unknown key'],
  ])('refuse %s, and say what is accepted', async (query, detail) => {
    const { ask } = await start();
    expect(await ask(`images?${query}`)).toEqual({
      status: 400,
      document: expect.objectContaining({ reason: 'invalid', detail: expect.stringContaining(detail) }),
    });
  });
});

describe('GET /api/v1/images/detail', () => {
  it('tells platforms and what of each is here, and what a tag meant before', async () => {
    const { registry, clock, app, ask } = await start();
    const one = buildImage({ seed: 20, platforms: ['linux/amd64', 'linux/arm64'] });
    const two = buildImage({ seed: 21, platforms: ['linux/amd64', 'linux/arm64'] });
    pushTo(registry, { repository: 'team/app', tag: 'latest', image: one });
    await pullImage(app, 'team/app', 'latest', one);
    pushTo(registry, { repository: 'team/app', tag: 'latest', image: two });
    await clock.advance(3_600_000);
    const movedAt = clock.now();
    const base = `${app.url}/v2/team/app`;
    await get(`${base}/manifests/latest`);
    const [amd] = two.manifests;
    await get(`${base}/manifests/${amd?.digest}`);
    for (const { digest } of amd?.layers ?? []) await get(`${base}/blobs/${digest}`);
    await vi.waitFor(async () => {
      const { document } = await ask('images/detail?image=docker.io/team/app:latest');
      const found = imageDetail.parse(document);
      expect(found.digest).toBe(two.root.digest);
      expect(found.tags).toEqual([
        { tag: 'latest', checkedAt: movedAt, history: [{ digest: one.root.digest, until: movedAt }] },
      ]);
      expect(found.platforms).toMatchObject([
        { platform: 'linux/amd64', isStored: true, isWhole: false, presentBlobs: amd?.layers.length },
        { platform: 'linux/arm64', isStored: false, isWhole: false },
      ]);
    }, SOON);
  });

  it.each([
    ['docker.io/team/none:v1', 404, 'nothing is cached of docker.io/team/none:v1'],
    ['gone.example/team/app:v1', 404, 'nothing is cached of gone.example/team/app:v1'],
    ['Team/App', 400, 'image: accepted is'],
    ['', 400, 'image: accepted is an image'],
  ])('says so of %s', async (image, status, detail) => {
    const { ask } = await start();
    expect(await ask(`images/detail?image=${image}`)).toEqual({
      status,
      document: expect.objectContaining({ detail: expect.stringContaining(detail) }),
    });
  });
});

describe('GET /api/v1/blobs', () => {
  it('tells every blob once, page by page', async () => {
    const { ask } = await startFilled();
    const seen: string[] = [];
    let after = '';
    for (;;) {
      const { document } = await ask(`blobs?limit=3${after}`);
      const { blobs, next } = document as { blobs: { digest: string; kind: string }[]; next?: string };
      seen.push(...blobs.map(({ digest }) => digest));
      if (next === undefined) break;
      after = `&after=${next}`;
    }
    const all = IMAGES.flatMap(({ image: { root, blobs } }) => [root, ...blobs].map(({ digest }) => digest));
    expect(seen.toSorted()).toEqual([...new Set(all)].toSorted());
    expect((await ask('blobs?after=x')).status).toBe(400);
    expect((await ask('blobs?after=-1')).status).toBe(400);
    expect((await ask('blobs?limit=5000')).status).toBe(400);
  });
});
