import { createServer } from 'node:net';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import type { UpstreamConfig } from '../../src/config.ts';
import { GENERIC } from '../../src/config-profiles.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { FaultAction } from '../support/fault.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { type BuiltImage, buildImage, pushTo } from '../support/images.ts';
import { playedOut } from '../support/played-out.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const TYPE = 'application/vnd.oci.image.manifest.v1+json';
const NAME = 'library/app';
const MIB = 1024 * 1024;

interface Scene {
  readonly app: RunningApp;
  readonly clock: FakeClock;
  readonly origin: FakeRegistry;
  readonly mirrors: readonly FakeRegistry[];
  readonly ask: (path: string, method?: string) => Promise<GetResult>;
}

async function start(mirrorCount = 1, config: Partial<UpstreamConfig> = {}): Promise<Scene> {
  const origin = closeAfterTest(await FakeRegistry.start());
  const mirrors: FakeRegistry[] = [];
  for (let count = 0; count < mirrorCount; count += 1)
    mirrors.push(closeAfterTest(await FakeRegistry.start()));
  const clock = new FakeClock();
  const upstream = {
    name: 'docker.io',
    url: origin.url,
    mirrors: mirrors.map(({ url }) => ({ url, trustedHosts: [], profile: GENERIC })),
    ...config,
  };
  const app = await startApp({ upstreams: [upstream], clock });
  const ask = async (path: string, method = 'GET') =>
    playedOut(clock, get(`${app.url}/v2/${NAME}/${path}`, { method, headers: { accept: TYPE } }), 5);
  return { app, clock, origin, mirrors, ask };
}

function imageAt(registries: readonly FakeRegistry[], seed = 1): BuiltImage {
  const image = buildImage({ seed });
  for (const registry of registries) pushTo(registry, { repository: NAME, tag: 'latest', image });
  return image;
}

/** Everything that a client pulls of an image. */
async function pull({ ask }: Scene, image: BuiltImage): Promise<void> {
  const answers = [await ask(`manifests/${image.root.digest}`)];
  for (const blob of image.blobs) answers.push(await ask(`blobs/${blob.digest}`));
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  expect(answers.map(({ digest }) => digest)).toEqual([
    image.root.digest,
    ...image.blobs.map(({ digest }) => digest),
  ]);
}

describe('what a digest names', () => {
  it('comes from the first mirror that has it, and the origin is not asked', async () => {
    const scene = await start(2);
    const [first, second] = scene.mirrors;
    const image = imageAt([scene.origin, ...scene.mirrors]);
    await pull(scene, image);
    expect(scene.origin.requests).toEqual([]);
    expect(second?.requests).toEqual([]);
    expect(first?.requests.length).toBeGreaterThan(2);
  });

  it('comes from the next one where the first has it not, without a penalty for that', async () => {
    const scene = await start(2);
    const [first, second] = scene.mirrors;
    await pull(scene, imageAt([scene.origin, second as FakeRegistry], 1));
    expect(scene.origin.requests).toEqual([]);
    first?.forget();
    await pull(scene, imageAt([scene.origin, first as FakeRegistry], 2));
    expect(first?.requests.filter(({ status }) => status === 200).length).toBeGreaterThan(2);
  });

  it('comes from the origin where no mirror has it', async () => {
    const scene = await start(2);
    await pull(scene, imageAt([scene.origin]));
  });

  it('is 404 when nobody has it', async () => {
    const { ask } = await start(2);
    const digest = `sha256:${'0'.repeat(64)}`;
    expect((await ask(`blobs/${digest}`)).status).toBe(404);
    expect((await ask(`manifests/${digest}`, 'HEAD')).status).toBe(404);
  });

  const failures: [string, FaultAction, number][] = [
    ['answers 500', { respond: { status: 500 } }, 15_000],
    ['answers 429', { respond: { status: 429 } }, 15_000],
    ['resets', { drop: 'reset' }, 15_000],
    ['never answers', { hang: true }, 15_000],
    [
      'speaks another protocol',
      { respond: { status: 200, headers: { 'content-encoding': 'gzip' } } },
      15_000,
    ],
  ];

  it.each(failures)('is not asked for at a mirror that %s, for a while', async (_, action, penaltyMs) => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    const images = [1, 2, 3].map((seed) => imageAt([scene.origin, mirror as FakeRegistry], seed));
    mirror?.faults.add({ action });
    await pull(scene, images[0] as BuiltImage);
    // The request that found out, and no more.
    expect(mirror?.requests.length).toBe(1);
    await pull(scene, images[1] as BuiltImage);
    expect(mirror?.requests.length).toBe(1);
    mirror?.faults.clear();
    await scene.clock.advance(penaltyMs);
    scene.origin.forget();
    await pull(scene, images[2] as BuiltImage);
    expect(scene.origin.requests).toEqual([]);
  });

  it('and a tag cost a few seconds once where the mirror hangs', async () => {
    const { ask, clock, origin, mirrors } = await start(2);
    const image = imageAt([origin, ...mirrors]);
    mirrors[0]?.faults.add({ action: { hang: true } });
    const begunAt = clock.monotonic();
    expect((await ask('manifests/latest')).digest).toBe(image.root.digest);
    expect(clock.monotonic() - begunAt).toBeLessThan(3_500);
    // The second mirror stood in for it.
    expect(mirrors[1]?.requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
  });

  it('of a blob it is waited for longer: the mirror may have to fetch that itself', async () => {
    const { ask, clock, origin, mirrors } = await start();
    const [blob] = imageAt([origin, ...mirrors]).blobs;
    mirrors[0]?.faults.add({ match: { path: /blobs/, method: 'GET' }, action: { hang: true } });
    const begunAt = clock.monotonic();
    expect((await ask(`blobs/${blob?.digest}`)).status).toBe(200);
    expect(clock.monotonic() - begunAt).toBeGreaterThan(9_000);
  });

  it('comes from a mirror in the penalty box when the origin is gone, too', async () => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    const image = imageAt([scene.origin, mirror as FakeRegistry]);
    mirror?.faults.add({ match: { times: 1 }, action: { respond: { status: 503 } } });
    expect((await scene.ask(`manifests/${image.root.digest}`)).headers['x-cache']).toBe('MISS');
    await scene.origin.stop();
    await pull(scene, image);
  });
});

async function broken(action: FaultAction, at: 'mirror' | 'origin'): Promise<void> {
  const scene = await start(2);
  const [first, second] = scene.mirrors;
  const recipe = { size: 4 * MIB, seed: 7 };
  const holders = at === 'mirror' ? [first, second, scene.origin] : [first, scene.origin];
  let digest: Digest | undefined;
  for (const registry of holders) digest = registry?.addBlob(NAME, recipe);
  first?.faults.add({ match: { method: 'GET', path: /blobs/ }, action });
  const answer = await scene.ask(`blobs/${digest ?? ''}`);
  expect([answer.status, answer.digest, answer.complete]).toEqual([200, digest, true]);
  const next = at === 'mirror' ? second : scene.origin;
  const resumed = next?.requests.find(({ method }) => method === 'GET');
  expect(resumed?.headers.range).toMatch(/^bytes=\d+-/);
  expect(resumed?.headers['if-range']).toBeUndefined();
  const bodyBytes = holders.reduce((sum, registry) => sum + (registry?.blobBodyBytes(digest) ?? 0), 0);
  expect(bodyBytes).toBeLessThan(recipe.size + MIB);
  if (at === 'mirror') expect(scene.origin.count({ method: 'GET' })).toBe(0);
}

describe('a blob transfer', () => {
  it('that breaks at a mirror goes on at the next one', async () => {
    await broken({ cutAfter: 2 * MIB }, 'mirror');
  });

  it('that breaks at the last mirror goes on at the origin', async () => {
    await broken({ cutAfter: 2 * MIB }, 'origin');
  });

  it('of another size than the manifest says is not taken from there, and no client notices', async () => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    const image = imageAt([scene.origin, mirror as FakeRegistry]);
    const html = { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } };
    mirror?.faults.add({ match: { path: /blobs/ }, action: { respond: html } });
    await pull(scene, image);
    expect(scene.origin.count({ method: 'GET' })).toBe(image.blobs.length);
    expect(mirror?.count({ path: /blobs/ })).toBe(1);
  });

  it('that breaks every time passes its mirror over for longer each time', async () => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    const digests = Array.from({ length: 5 }, (_, seed) => {
      for (const registry of [mirror, scene.origin]) registry?.addBlob(NAME, { size: MIB, seed });
      return scene.origin.addBlob(NAME, { size: MIB, seed });
    });
    mirror?.faults.add({ match: { method: 'GET' }, action: { cutAfter: 1000 } });
    const asked: boolean[] = [];
    for (const digest of digests) {
      const before = mirror?.count({ method: 'GET' });
      expect((await scene.ask(`blobs/${digest}`)).digest).toBe(digest);
      asked.push(mirror?.count({ method: 'GET' }) !== before);
      await scene.clock.advance(20_000);
    }
    // 15 s, then 30 s.
    expect(asked.slice(0, 3)).toEqual([true, true, false]);
  });

  it('of which two mirrors sent parts is both theirs when it was wrong', async () => {
    const scene = await start(2);
    const [first, second] = scene.mirrors;
    let digest: Digest | undefined;
    for (const registry of [first, second, scene.origin])
      digest = registry?.addBlob(NAME, { size: 4 * MIB, seed: 7 });
    first?.faults.add({ match: { method: 'GET' }, action: { cutAfter: 2 * MIB, flipBitAt: 1000 } });
    expect((await scene.ask(`blobs/${digest ?? ''}`)).complete).toBe(false);
    for (const registry of [first, second]) registry?.forget();
    expect((await scene.ask(`blobs/${digest ?? ''}`)).digest).toBe(digest);
    expect([first?.requests.length, second?.requests.length]).toEqual([0, 0]);
  });

  it('that was right does not make its mirror share the blame for a later one', async () => {
    const scene = await start(2);
    const [first, second] = scene.mirrors;
    const recipe = { size: MIB, seed: 7 };
    const digest = first?.addBlob(NAME, recipe) ?? '';
    second?.addBlob(NAME, recipe);
    expect((await scene.ask(`blobs/${digest}`)).digest).toBe(digest);
    // Gone from the cache and from the first mirror; the second one's is damaged by now.
    const files = join(scene.app.dataDir, 'content', 'v1', 'sha256');
    await vi.waitFor(async () => expect(await stored(scene.app)).toBe(1), SOON);
    await rm(files, { recursive: true });
    first?.faults.add({ match: { path: /blobs/ }, action: { respond: { status: 404 } } });
    second?.faults.add({ match: { method: 'GET' }, action: { flipBitAt: 5 } });
    expect((await scene.ask(`blobs/${digest}`)).complete).toBe(false);
    first?.faults.clear();
    first?.forget();
    expect((await scene.ask(`blobs/${digest}`)).digest).toBe(digest);
    expect(first?.requests.length).toBeGreaterThan(0);
  });

  it('of wrong bytes is not asked for there again: the next pull is right', async () => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    let digest: Digest | undefined;
    for (const registry of [mirror, scene.origin]) digest = registry?.addBlob(NAME, { size: MIB, seed: 7 });
    mirror?.faults.add({ match: { path: /blobs/ }, action: { flipBitAt: 1000 } });
    expect((await scene.ask(`blobs/${digest ?? ''}`)).complete).toBe(false);
    const again = await scene.ask(`blobs/${digest ?? ''}`);
    expect([again.status, again.digest]).toEqual([200, digest]);
    // Longer than for a mirror that merely failed.
    await scene.clock.advance(60_000);
    mirror?.forget();
    const other = scene.origin.addBlob(NAME, { size: MIB, seed: 8 });
    await scene.ask(`blobs/${other}`);
    expect(mirror?.requests).toEqual([]);
  });
});

describe('what a tag means', () => {
  it('the origin decides when they disagree', async () => {
    const scene = await start(1, { tagTtlMs: 0 });
    const [mirror] = scene.mirrors;
    const old = imageAt([mirror as FakeRegistry], 1);
    const now = imageAt([scene.origin], 2);
    const answer = await scene.ask('manifests/latest');
    expect(answer.digest).toBe(now.root.digest);
    expect(answer.digest).not.toBe(old.root.digest);
    expect((await scene.ask('manifests/latest', 'HEAD')).headers['docker-content-digest']).toBe(
      now.root.digest,
    );
  });

  it('is asked at a mirror once, whatever patience there is, also when a copy is held', async () => {
    const scene = await start(1, { tagTtlMs: 0 });
    const [mirror] = scene.mirrors;
    imageAt([scene.origin, mirror as FakeRegistry], 1);
    expect((await scene.ask('manifests/latest')).status).toBe(200);
    const moved = imageAt([scene.origin, mirror as FakeRegistry], 2);
    mirror?.forget();
    mirror?.faults.add({ match: { method: 'GET' }, action: { respond: { status: 503 } } });
    expect((await scene.ask('manifests/latest')).digest).toBe(moved.root.digest);
    expect(mirror?.count({ method: 'GET' })).toBe(1);
  });

  it('is not what a mirror says of a tag that the origin has not', async () => {
    const scene = await start();
    imageAt(scene.mirrors);
    expect((await scene.ask('manifests/latest')).status).toBe(404);
  });

  it('costs the origin a HEAD; the document comes from the mirror', async () => {
    const scene = await start();
    imageAt([scene.origin, ...scene.mirrors]);
    expect((await scene.ask('manifests/latest')).status).toBe(200);
    expect(scene.origin.requests.map(({ method }) => method)).toEqual(['HEAD']);
    expect(scene.mirrors[0]?.count({ method: 'GET' })).toBe(1);
  });

  it.each([
    ['is gone', undefined],
    ['answers 503', { respond: { status: 503 } }],
    ['limits us', { respond: { status: 429, headers: { 'retry-after': '600' } } }],
    ['never answers', { hang: true }],
  ] as const)('a mirror says when the origin %s, lists too', async (_, action) => {
    const scene = await start();
    const image = imageAt([scene.origin, ...scene.mirrors]);
    if (action === undefined) await scene.origin.stop();
    else scene.origin.faults.add({ action });
    const answer = await scene.ask('manifests/latest');
    expect([answer.status, answer.digest]).toEqual([200, image.root.digest]);
    const tags = await scene.ask('tags/list');
    expect(JSON.parse(tags.body.toString())).toEqual({ name: NAME, tags: ['latest'] });
  });

  it('is asked at the origin for no longer than a moment once a mirror has said it', async () => {
    const scene = await start();
    imageAt([scene.origin, ...scene.mirrors]);
    scene.origin.faults.add({ action: { hang: true } });
    const before = scene.clock.monotonic();
    await scene.ask('manifests/latest');
    expect(scene.clock.monotonic() - before).toBeLessThan(3_000);
  });
});

describe('a mirror', () => {
  it('has credentials of its own, and never sees those of the origin, nor the origin its', async () => {
    const origin = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'basic', credentials: [{ username: 'o', password: 'canary-o' }] },
      }),
    );
    const mirror = closeAfterTest(
      await FakeRegistry.start({
        auth: { mode: 'bearer', credentials: [{ username: 'm', password: 'canary-m' }] },
      }),
    );
    const image = imageAt([mirror]);
    pushTo(origin, { repository: NAME, tag: 'latest', image: buildImage({ seed: 2 }) });
    const app = await startApp({
      upstreams: [
        {
          name: 'docker.io',
          url: origin.url,
          auth: { username: 'o', password: 'canary-o' },
          mirrors: [
            {
              url: mirror.url,
              trustedHosts: [],
              profile: GENERIC,
              auth: { username: 'm', password: 'canary-m' },
            },
          ],
        },
      ],
    });
    expect((await get(`${app.url}/v2/${NAME}/blobs/${image.blobs[0]?.digest ?? ''}`)).status).toBe(200);
    expect((await get(`${app.url}/v2/${NAME}/manifests/latest`)).status).toBe(200);
    expect(sent(mirror)).toContain('canary-m');
    expect(sent(mirror)).not.toContain('canary-o');
    expect(sent(origin)).toContain('canary-o');
    expect(sent(origin)).not.toContain('canary-m');
    expect(JSON.stringify(app.logLines)).not.toContain('canary');
  });

  it('that is down shows in the log and the metrics, apart from the upstream', async () => {
    const scene = await start();
    const [mirror] = scene.mirrors;
    const digests = Array.from({ length: 6 }, (_, seed) => scene.origin.addBlob(NAME, { size: 10, seed }));
    const { host } = new URL(mirror?.url ?? '');
    await mirror?.stop();
    // Else another test's server may be given its port, and answer.
    const silent = createServer((socket) => socket.destroy());
    onTestFinished(() => void silent.close());
    await new Promise<void>((resolve) => silent.listen(Number(host.split(':')[1]), '127.0.0.1', resolve));
    for (const digest of digests) {
      expect((await scene.ask(`blobs/${digest}`)).status).toBe(200);
      await scene.clock.advance(600_000);
    }
    const facts = { upstream: 'docker.io', mirror: host };
    expect(scene.app.logLines).toContainEqual(expect.objectContaining({ ...facts, level: 'warn' }));
    const metrics = (await get(`${scene.app.adminUrl}/metrics`)).body.toString();
    expect(metrics).toContain(`entrepot_mirror_up{upstream="docker.io",mirror="${host}"} 0`);
    expect(metrics).toContain('entrepot_upstream_up{upstream="docker.io"} 1');
  });
});

/** What all requests to a registry carried to sign in with, readable. */
function sent(registry: FakeRegistry): string {
  return registry.requests
    .map(({ headers }) =>
      Buffer.from((headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString(),
    )
    .join();
}

/** Blobs that the store counts. */
async function stored(app: RunningApp): Promise<number> {
  const text = (await get(`${app.adminUrl}/metrics`)).body.toString();
  return Number(/^entrepot_store_blobs (\d+)$/m.exec(text)?.[1]);
}
