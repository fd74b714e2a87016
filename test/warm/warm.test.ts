import { describe, expect, it } from 'vitest';
import type { FakeRegistryOptions } from '../support/fake-registry.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltImage, type ImageRecipe, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { target, warm, warmingOf } from './warming-under-test.ts';

const MANIFEST_GETS = { method: 'GET', path: /\/manifests\// };
const HEADS = { method: 'HEAD', path: /\/manifests\// };

async function start(options: FakeRegistryOptions = {}, more: object = {}) {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...more });
  const push = (repository: string, tag: string, recipe: ImageRecipe = {}): BuiltImage => {
    const image = buildImage(recipe);
    pushTo(registry, { repository, tag, image });
    return image;
  };
  const pull = async (repository: string, reference: string, image: BuiltImage) => {
    const accept = { accept: image.root.mediaType };
    const outcomes: unknown[] = [];
    const root = await get(`${app.url}/v2/${repository}/manifests/${reference}`, { headers: accept });
    expect(root.body).toEqual(image.root.bytes);
    outcomes.push(root.headers['x-cache']);
    for (const { digest, mediaType } of image.index === undefined ? [] : image.manifests) {
      const url = `${app.url}/v2/${repository}/manifests/${digest}`;
      outcomes.push((await get(url, { headers: { accept: mediaType } })).headers['x-cache']);
    }
    for (const { digest } of image.blobs) {
      const blob = await get(`${app.url}/v2/${repository}/blobs/${digest}`, { digestOnly: true });
      expect(blob).toMatchObject({ status: 200, complete: true, digest });
      outcomes.push(blob.headers['x-cache']);
    }
    return outcomes;
  };
  return { registry, app, push, pull };
}

/** A descriptor of a layer that nobody has. */
function absentLayer(at: number) {
  return {
    mediaType: 'application/octet-stream',
    digest: `sha256:${at.toString(16).padStart(64, '0')}`,
    size: 7,
  };
}

describe('warming', () => {
  it('an image has all of it stored, so that a client needs no upstream', async () => {
    const { registry, app, push, pull } = await start();
    const image = push('library/app', 'v1', { platforms: ['linux/amd64', 'linux/arm64'] });
    const { done, of } = await warm(app, ['docker.io/library/app:v1']);
    expect(of('failed')).toEqual([]);
    expect(of('image')).toMatchObject([
      {
        image: 'docker.io/library/app:v1',
        digest: image.root.digest,
        isWhole: true,
        manifests: { fetched: 3, present: 0, failed: 0 },
        blobs: { fetched: image.blobs.length, present: 0, failed: 0 },
      },
    ]);
    const bytes = [image.root, ...image.manifests, ...image.blobs].reduce((sum, { size }) => sum + size, 0);
    expect(done).toMatchObject({
      images: { total: 1, whole: 1, failed: 0 },
      fetchedBytes: bytes,
      presentBytes: 0,
      failures: [],
    });
    await registry.stop();
    expect(new Set(await pull('library/app', 'v1', image))).toEqual(new Set(['HIT']));
  });

  it('50 images of 10 shared layers asks for every byte and every manifest once', async () => {
    const { registry, app } = await start();
    const sizes = Array.from({ length: 10 }, (_, layer) => 20_000 + layer);
    const shared = buildImage({ layerSizes: sizes }).manifests[0]?.layers ?? [];
    for (const { bytes } of shared) registry.addBlob('library/app', bytes);
    const unique = new Map(shared.map(({ digest, size }) => [digest as string, size]));
    const names = Array.from({ length: 50 }, (_, number) => {
      const config = buildImage({ layerSizes: [], seed: number }).manifests[0]?.config;
      if (config === undefined) throw new Error('no config');
      registry.addBlob('library/app', config.bytes);
      unique.set(config.digest, config.size);
      const layers = shared.map(({ digest, size, mediaType }) => ({ digest, size, mediaType }));
      const { digest, size, mediaType } = config;
      const manifest = { schemaVersion: 2, config: { digest, size, mediaType }, layers };
      const type = 'application/vnd.oci.image.manifest.v1+json';
      registry.addManifest('library/app', JSON.stringify({ ...manifest, mediaType: type }), type, [
        `v${number}`,
      ]);
      return `docker.io/library/app:v${number}`;
    });
    const { done } = await warm(app, names, { concurrency: 8 });
    expect(done).toMatchObject({ images: { total: 50, whole: 50 }, manifests: { fetched: 50 } });
    expect(registry.count(MANIFEST_GETS) / 50).toBe(1);
    const uniqueBytes = [...unique.values()].reduce((sum, size) => sum + size, 0);
    expect(registry.blobBodyBytes() / uniqueBytes).toBe(1);
    registry.forget();
    const again = await warm(app, names);
    expect(again.done).toMatchObject({ fetchedBytes: 0, manifests: { present: 50, fetched: 0 }, pulls: [] });
    // Fresh tags are not even asked about.
    expect(registry.requests).toEqual([]);
  });

  it.each([
    ['refuses HEAD', { headRefused: 405 }],
    ['tells no digest', { omitContentDigest: true }],
    ['tells no length', { omitContentLength: true }],
  ])('from a registry that %s takes one GET for each manifest, too', async (_, behaviour) => {
    const { registry, app, push, pull } = await start(behaviour);
    const image = push('library/app', 'v1', { platforms: ['linux/amd64', 'linux/arm64'] });
    const { done, of } = await warm(app, ['docker.io/library/app:v1']);
    expect(of('failed')).toEqual([]);
    expect(done).toMatchObject({ images: { whole: 1 }, blobs: { fetched: image.blobs.length } });
    expect(registry.count(MANIFEST_GETS)).toBe(3);
    expect(registry.blobBodyBytes()).toBe(image.blobs.reduce((sum, { size }) => sum + size, 0));
    await registry.stop();
    expect(new Set(await pull('library/app', 'v1', image))).toEqual(new Set(['HIT']));
  });

  it('takes the platforms that were asked for, and says when there are none', async () => {
    const { registry, app, push } = await start();
    const image = push('library/app', 'v1', { platforms: ['linux/amd64', 'linux/arm64', 'windows/amd64'] });
    push('library/app', 'windows', { platforms: ['windows/amd64', 'windows/arm64'], seed: 9 });
    const platforms = [{ os: 'linux', architecture: 'arm64' }];
    const { of, done } = await warm(app, ['docker.io/library/app:v1', 'docker.io/library/app:windows'], {
      platforms,
    });
    const arm = image.manifests[1];
    expect(registry.count({ method: 'GET', path: /\/blobs\// })).toBe(1 + (arm?.layers.length ?? 0));
    expect(of('failed')).toMatchObject([
      {
        image: 'docker.io/library/app:windows',
        reason: 'no-platform',
        message: 'is not made for linux/arm64, but for windows/amd64, windows/arm64',
      },
    ]);
    expect(done).toMatchObject({ images: { total: 2, whole: 1, failed: 1 } });
  });

  it('does the rest when something fails, and says why, by reason', async () => {
    const { registry, app, push, pull } = await start();
    const good = push('library/app', 'good', { seed: 1 });
    const lacking = push('library/app', 'lacking', { seed: 2 });
    const [gone] = lacking.manifests[0]?.layers ?? [];
    if (gone === undefined) throw new Error('no layer');
    registry.deleteBlob('library/app', gone.digest);
    const { of, done } = await warm(app, [
      'docker.io/library/app:typo',
      'docker.io/library/app:lacking',
      'quay.io/org/app:v1',
      'docker.io/library/none:v1',
      'docker.io/library/app:good',
    ]);
    expect(of('failed').map(({ image, reason, digest }) => [image, reason, digest])).toEqual(
      expect.arrayContaining([
        ['docker.io/library/app:typo', 'not-found', undefined],
        ['docker.io/library/app:lacking', 'not-found', gone.digest],
        ['quay.io/org/app:v1', 'unknown-upstream', undefined],
        ['docker.io/library/none:v1', 'not-found', undefined],
      ]),
    );
    expect(done).toMatchObject({
      images: { total: 5, whole: 1, failed: 4 },
      blobs: { failed: 1 },
      failures: [
        { reason: 'not-found', count: 3 },
        { reason: 'unknown-upstream', count: 1 },
      ],
    });
    await registry.stop();
    expect(new Set(await pull('library/app', 'good', good))).toEqual(new Set(['HIT']));
  });

  it('of what is named twice is done once', async () => {
    const { app, push } = await start();
    push('library/app', 'v1');
    const { done, of } = await warm(app, ['docker.io/library/app:v1', 'docker.io/library/app:v1']);
    expect(of('image')).toHaveLength(1);
    expect(done.images.total).toBe(1);
  });

  it('selects tags by a range of versions or an expression', async () => {
    const { app, push, registry } = await start();
    for (const [seed, tag] of ['1.26.0', '1.27.0', '1.27.1', '2.0.0', 'edge'].entries())
      push('library/app', tag, { seed });
    const range = await warm(app, [target('docker.io/library/app', '^1.27')]);
    expect(range.of('selected')).toEqual([
      { event: 'selected', repository: 'docker.io/library/app', tags: 2, of: 5 },
    ]);
    expect(range.of('image').map(({ image }) => image)).toEqual([
      'docker.io/library/app:1.27.0',
      'docker.io/library/app:1.27.1',
    ]);
    const some = await warm(app, [target('docker.io/library/app', 'edge|2\\..*')]);
    expect(some.done.images).toEqual({ total: 2, whole: 2, failed: 0 });
    registry.forget();
    const none = await warm(app, [target('docker.io/library/app', 'none.*')]);
    expect(none.of('failed')).toMatchObject([
      { image: 'docker.io/library/app', reason: 'no-tags', message: 'none of its 5 tags is of none.*' },
    ]);
    const wrong = await warm(app, [target('docker.io/library/app', '(')]);
    expect(wrong.of('failed')).toMatchObject([{ reason: 'invalid' }]);
  });

  it('says that a list of tags could not be had, and takes those that are known', async () => {
    const { push, registry } = await start({}, {});
    push('library/app', '1.27.0');
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url, tagTtlMs: 0 }] });
    expect((await warm(app, [target('docker.io/library/app', '^1')])).of('failed')).toEqual([]);
    push('library/app', '1.28.0');
    registry.faults.add({ match: { path: /tags\/list/ }, action: { respond: { status: 500 } } });
    const { of, done } = await warm(app, [target('docker.io/library/app', '^1')]);
    expect(of('image').map(({ image }) => image)).toEqual(['docker.io/library/app:1.27.0']);
    expect(of('failed')).toMatchObject([{ image: 'docker.io/library/app' }]);
    expect(done.images.failed).toBe(1);
  });

  it('asks again what a tag means when that is old, by HEAD, and fetches only what is new', async () => {
    const { app, push, registry } = await start({}, {});
    push('library/app', 'v1', { seed: 1 });
    await warm(app, ['docker.io/library/app:v1']);
    const second = await startApp({
      upstreams: [{ name: 'docker.io', url: registry.url, tagTtlMs: 0 }],
    });
    await warm(second, ['docker.io/library/app:v1']);
    registry.forget();
    const same = await warm(second, ['docker.io/library/app:v1']);
    expect(same.done).toMatchObject({ fetchedBytes: 0, images: { whole: 1 } });
    expect(registry.count(MANIFEST_GETS)).toBe(0);
    expect(registry.count(HEADS)).toBeGreaterThan(0);
    const moved = push('library/app', 'v1', { seed: 2 });
    const told = await warm(second, ['docker.io/library/app:v1']);
    expect(told.of('image')).toMatchObject([{ digest: moved.root.digest, manifests: { fetched: 1 } }]);
    expect(registry.count(MANIFEST_GETS)).toBe(1);
  });

  it('says when the upstream could not say what a tag means now', async () => {
    const { app, push, registry } = await start({}, {});
    push('library/app', 'v1');
    const other = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url, tagTtlMs: 0 }] });
    await warm(other, ['docker.io/library/app:v1']);
    await registry.stop();
    const { of, done } = await warm(other, ['docker.io/library/app:v1']);
    expect(of('failed')).toMatchObject([
      { reason: 'unavailable', message: expect.stringContaining('is kept') },
    ]);
    expect(done).toMatchObject({ images: { failed: 1 }, fetchedBytes: 0, blobs: { failed: 0, present: 3 } });
    void app;
  });

  it('waits out a 429 to the question what a tag means now, though an old answer is held', async () => {
    const { push, registry } = await start();
    push('library/app', 'v1');
    const clock = hurriedClock(60);
    const app = await startApp({
      upstreams: [{ name: 'docker.io', url: registry.url, tagTtlMs: 0 }],
      clock,
    });
    await warm(app, ['docker.io/library/app:v1']);
    registry.faults.add({
      match: { method: 'HEAD', times: 2 },
      action: { respond: { status: 429, headers: { 'retry-after': '90' } } },
    });
    const { done, of } = await warm(app, ['docker.io/library/app:v1']);
    expect(of('waiting')).not.toEqual([]);
    expect(done).toMatchObject({ images: { whole: 1 }, failures: [], fetchedBytes: 0 });
  });

  it('of a digest that is not there says so, dry too', async () => {
    const { app, push } = await start();
    push('library/app', 'v1');
    const name = `docker.io/library/app@sha256:${'0'.repeat(64)}`;
    for (const dryRun of [true, false]) {
      const { of, done } = await warm(app, [name], { dryRun });
      expect(of('failed')).toMatchObject([{ image: name, reason: 'not-found' }]);
      expect(done.images).toEqual({ total: 1, whole: 0, failed: 1 });
    }
  });

  it('to a store without room says so, and downloads nothing of it', async () => {
    const { app, push, registry } = await start({}, { cache: { maxSize: { bytes: 100_000 } } });
    push('library/app', 'v1', { layerSizes: [200_000] });
    const { of, done } = await warm(app, ['docker.io/library/app:v1']);
    expect(of('failed')).toMatchObject([{ reason: 'not-stored' }]);
    expect(done).toMatchObject({ images: { failed: 1 }, blobs: { failed: 1, fetched: 1 } });
    expect(registry.blobBodyBytes()).toBeLessThan(10_000);
  });

  it('says of what was evicted again that the cache is too small', async () => {
    const { app, push } = await start({}, { cache: { maxSize: { bytes: 3_000_000 } } });
    const names = Array.from({ length: 6 }, (_, seed) => {
      push('library/app', `v${seed}`, { seed, layerSizes: [900_000] });
      return `docker.io/library/app:v${seed}`;
    });
    const { done, of } = await warm(app, names, { concurrency: 1 });
    expect(done.images.failed).toBeGreaterThan(0);
    expect(done.images.whole).toBeLessThan(6);
    expect(new Set(of('failed').map(({ reason }) => reason))).toEqual(new Set(['not-stored']));
    const lacking = new Set(of('failed').map(({ image }) => image));
    const again = await warm(
      app,
      names.filter((name) => !lacking.has(name)),
      { dryRun: true },
    );
    expect(again.done).toMatchObject({ fetchedBytes: 0, atLeast: false });
  });

  it('asks the upstream within its allowance, waits out a 429, and takes a pull for each manifest', async () => {
    const { app, push, registry } = await start(
      { pullLimit: { limit: 100, remaining: 60 } },
      { clock: hurriedClock(60) },
    );
    const image = push('library/app', 'v1', { platforms: ['linux/amd64', 'linux/arm64'] });
    registry.faults.add({
      match: { method: 'GET', path: /\/manifests\//, nth: 1 },
      action: { respond: { status: 429, headers: { 'retry-after': '90' } } },
    });
    const { done, of } = await warm(app, ['docker.io/library/app:v1']);
    expect(of('waiting')).toMatchObject([{ upstream: 'docker.io', why: 'rate-limited' }]);
    expect(of('resumed')).toHaveLength(1);
    expect(done).toMatchObject({
      images: { whole: 1 },
      manifests: { fetched: 1 + image.manifests.length },
      pulls: [{ upstream: 'docker.io', pulls: 3, remaining: 57, limit: 100 }],
      failures: [],
    });
  });

  it('goes on with what needs no pull while others wait for the upstream', async () => {
    const { app, push } = await start({ pullLimit: { limit: 100, remaining: 12 } });
    push('library/app', 'here', { seed: 99 });
    await warm(app, ['docker.io/library/app:here']);
    const names = Array.from({ length: 8 }, (_, seed) => {
      push('library/app', `v${seed}`, { seed });
      return `docker.io/library/app:v${seed}`;
    });
    const request = {
      targets: [...names, 'docker.io/library/app:here'].map((name) => target(name)),
      platforms: [],
      withReferrers: false,
      dryRun: false,
    };
    const leaving = new AbortController();
    const whole: string[] = [];
    for await (const event of warmingOf(app).warm(request, leaving.signal)) {
      if (event.event === 'image' && event.isWhole) whole.push(event.image);
      if (whole.length === 2) break;
    }
    expect(whole).toContain('docker.io/library/app:here');
  });

  it('only said dry tells what is missing and what it costs, and fetches nothing', async () => {
    const { app, push, registry } = await start({ pullLimit: { limit: 100, remaining: 77 } });
    const image = push('library/app', 'v1', { platforms: ['linux/amd64', 'linux/arm64'] });
    push('library/app', 'v2', { seed: 5 });
    const cold = await warm(app, ['docker.io/library/app:v1'], { dryRun: true });
    expect(registry.requests.map(({ method }) => method)).toEqual(expect.not.arrayContaining(['GET']));
    expect(cold.done).toMatchObject({
      dryRun: true,
      atLeast: true,
      manifests: { fetched: 1 },
      fetchedBytes: image.root.size,
      pulls: [{ upstream: 'docker.io', pulls: 1, remaining: 77, limit: 100 }],
    });
    await warm(app, ['docker.io/library/app:v1'], { platforms: [{ os: 'linux', architecture: 'amd64' }] });
    const [, arm] = image.manifests;
    const half = await warm(app, ['docker.io/library/app:v1'], { dryRun: true });
    expect(half.done).toMatchObject({
      atLeast: true,
      manifests: { present: 2, fetched: 1 },
      fetchedBytes: arm?.size,
      pulls: [{ pulls: 1 }],
    });
    await warm(app, ['docker.io/library/app:v1']);
    const whole = await warm(app, ['docker.io/library/app:v1'], { dryRun: true });
    expect(whole.done).toMatchObject({ atLeast: false, fetchedBytes: 0, images: { whole: 1 } });
  });

  it('takes no more blobs of one image than any real one has', async () => {
    const { app, registry } = await start();
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const manifests = [0, 1].map((half) => {
      const layers = Array.from({ length: 19_000 }, (_, at) => absentLayer(half * 19_000 + at));
      const text = JSON.stringify({ schemaVersion: 2, mediaType: type, config: absentLayer(99_999), layers });
      return { mediaType: type, digest: registry.addManifest('library/app', text, type), size: text.length };
    });
    const index = 'application/vnd.oci.image.index.v1+json';
    const root = JSON.stringify({ schemaVersion: 2, mediaType: index, manifests });
    registry.addManifest('library/app', root, index, ['v1']);
    for (const name of ['v1', ...manifests.map(({ digest }) => digest)])
      await get(`${app.url}/v2/library/app/manifests/${name}`, { headers: { accept: `${index}, ${type}` } });
    const { of, done } = await warm(app, ['docker.io/library/app:v1'], { dryRun: true });
    expect(of('failed')).toMatchObject([
      { reason: 'protocol', message: 'the image lists more blobs than any real one does' },
    ]);
    expect(done).toMatchObject({ images: { failed: 1 }, blobs: { fetched: 30_000 } });
  });

  it('ends when nobody listens any more', async () => {
    const { app, push, registry } = await start();
    push('library/app', 'v1', { layerSizes: [3_000_000] });
    registry.faults.add({ match: { path: /\/blobs\// }, action: { delayMs: 60_000 } });
    const leaving = new AbortController();
    const warming = warm(app, ['docker.io/library/app:v1'], {}, leaving.signal);
    await registry.received({ path: /\/blobs\// });
    leaving.abort(new Error('enough'));
    await expect(warming).rejects.toThrow('enough');
    await expect
      .poll(async () => (await get(`${app.adminUrl}/metrics`)).body.toString())
      .toContain('entrepot_fills_in_flight 0');
  });
});
