import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { RemoteApi } from '../../src/commands/remote-api.ts';
import { RemoteContents } from '../../src/commands/remote-contents.ts';
import { parseReference, parseRepositoryName, type Tag } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { readImportKey } from '../../src/import-key.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { buildImage, type BuiltImage } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';

const DAY_MS = 24 * 3_600_000;
const never = new AbortController().signal;
const IMAGES = [1, 2, 3, 4, 5].map((seed) => buildImage({ seed, platforms: ['linux/amd64', 'linux/arm64'] }));

function tagOf(text: string): Tag {
  const reference = parseReference(text);
  if (!('tag' in reference)) throw new Error(`${text} is no tag`);
  return reference.tag;
}

async function* bytesOf({ bytes }: { readonly bytes: Uint8Array }): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** As `entrepot import` does it. */
async function bring(app: RunningApp, image: BuiltImage, tag: string, checkedAt: number): Promise<void> {
  const { hostname, port } = new URL(app.adminUrl);
  const listener = { host: hostname, port: Number(port) };
  const contents = new RemoteContents(
    new RemoteApi({ listener, token: undefined, importKey: readImportKey(app.dataDir) }),
  );
  const upstream = 'docker.io';
  for (const part of [image.root, ...image.manifests, ...image.blobs]) {
    const { digest, bytes } = part;
    await contents.add({ digest, sizeBytes: bytes.length, upstream }, bytesOf(part), never);
  }
  const { digest, mediaType } = image.root;
  const repository = parseRepositoryName('library/app');
  const tags = [tagOf(tag)];
  await contents.addImage({ upstream, repository, tags, digest, mediaType, checkedAt }, never);
}

/** A site that images were carried to a day after they were asked for; `v1` … `v5`. */
async function start(ageMs = DAY_MS) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
  for (const [at, image] of IMAGES.entries()) await bring(app, image, `v${at + 1}`, clock.now() - ageMs);
  /** With the time that it took by the clock, which goes on while an answer is waited for. */
  const ask = async (
    path: string,
    method = 'GET',
    stepMs = 50,
  ): Promise<GetResult & { readonly tookMs: number }> => {
    const begunMs = clock.monotonic();
    const state = { isOver: false };
    const asking = get(`${app.url}/v2/library/app/${path}`, { method }).finally(() => {
      state.isOver = true;
    });
    while (!state.isOver) {
      // Slower than a busy machine.
      await delay(20);
      if (!state.isOver) await clock.advance(stepMs);
    }
    return { ...(await asking), tookMs: clock.monotonic() - begunMs };
  };
  return { registry, clock, app, ask };
}

async function goOffline({ adminUrl }: RunningApp): Promise<void> {
  const headers = { 'content-type': 'application/json' };
  await fetch(`${adminUrl}/api/v1/offline`, { method: 'POST', headers, body: '{"offline":true}' });
}

describe('an imported image', () => {
  it('is served whole while its upstream cannot be reached: by its tag as stale, by digest as ever', async () => {
    const { registry, ask } = await start();
    await registry.stop();
    for (const [at, { root, manifests, blobs }] of IMAGES.entries()) {
      for (const method of ['GET', 'HEAD']) {
        const tagged = await ask(`manifests/v${at + 1}`, method);
        expect(tagged).toMatchObject({ status: 200 });
        expect(tagged.headers).toMatchObject({
          'docker-content-digest': root.digest,
          'x-cache': 'STALE',
          warning: expect.stringContaining('299'),
        });
        expect(Number(tagged.headers.age)).toBeGreaterThanOrEqual(DAY_MS / 1000);
        // Trouble is waited out for half a second where something is held.
        expect(tagged.tookMs).toBeLessThan(2000);
      }
      for (const { digest } of [root, ...manifests])
        expect((await ask(`manifests/${digest}`)).headers['x-cache']).toBe('HIT');
      for (const { digest } of blobs) expect((await ask(`blobs/${digest}`)).headers['x-cache']).toBe('HIT');
    }
    const list = await ask('tags/list');
    expect(JSON.parse(list.body.toString())).toMatchObject({ tags: ['v1', 'v2', 'v3', 'v4', 'v5'] });
  });

  it('waits for an upstream that hangs three times at most, and then a moment now and then', async () => {
    const { registry, clock, app, ask } = await start();
    registry.faults.add({ action: { hang: true } });
    const took: number[] = [];
    for (let round = 0; round < 60; round += 1) {
      const { status, headers, tookMs } = await ask(
        `manifests/v${(round % 5) + 1}`,
        'GET',
        round < 3 ? 500 : 50,
      );
      expect([status, headers['x-cache']]).toEqual([200, 'STALE']);
      took.push(tookMs);
      await clock.advance(1000);
    }
    expect(took.filter((ms) => ms > 2000).length).toBeLessThanOrEqual(3);
    expect(Math.max(...took)).toBeLessThan(25_000);
    await goOffline(app);
    registry.forget();
    const offline = await ask('manifests/v1');
    expect([offline.status, offline.headers['x-cache']]).toEqual([200, 'STALE']);
    expect((await get(`${app.url}/v2/library/app/manifests/absent`)).status).toBe(404);
    expect(registry.requests).toEqual([]);
  });

  it('that is older than maxStale is served offline only', async () => {
    const { registry, app, ask } = await start(31 * DAY_MS);
    await registry.stop();
    const old = await ask('manifests/v1');
    expect([old.status, old.headers['x-cache']]).toEqual([503, undefined]);
    expect((await ask(`manifests/${IMAGES[0]?.root.digest}`)).status).toBe(200);
    await goOffline(app);
    const served = await ask('manifests/v1');
    expect([served.status, served.headers['x-cache']]).toEqual([200, 'STALE']);
  });
});
