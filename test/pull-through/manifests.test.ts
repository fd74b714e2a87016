import { existsSync } from 'node:fs';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { diskFileSystem } from '../../src/content/file-system.ts';
import { ContentPaths } from '../../src/content/paths.ts';
import type { UpstreamConfig } from '../../src/config.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { ManifestDocuments } from '../../src/pull-through/manifest-documents.ts';
import { Manifests } from '../../src/pull-through/manifests.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type ImageRecipe, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const MINUTE_MS = 60_000;
const MANIFESTS = /\/manifests\//;

async function start(recipe: ImageRecipe = {}, upstream: Partial<UpstreamConfig> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage(recipe);
  pushTo(registry, { repository: 'library/app', tag: 'latest', image });
  const clock = new FakeClock();
  const upstreams = [{ name: 'docker.io', url: registry.url, ...upstream }];
  const app = await startApp({ upstreams, clock });
  const ask = (reference: string, headers: Record<string, string> = {}, method = 'GET', repository = 'app') =>
    get(`${app.url}/v2/library/${repository}/manifests/${reference}`, { headers, method });
  const asked = (method: string) => registry.count({ path: MANIFESTS, method });
  return { registry, image, clock, upstreams, app, ask, asked };
}

describe('a manifest that was not here', () => {
  it('is answered, and answered again, while the disk has not taken it yet', async () => {
    const { ask, app, image, registry, upstreams } = await start();
    const disk = new Gate();
    const sync = diskFileSystem.sync.bind(diskFileSystem);
    const spy = vi.spyOn(diskFileSystem, 'sync').mockImplementation(async (file) => {
      await disk.pass();
      await sync(file);
    });
    onTestFinished(() => spy.mockRestore());
    expect((await ask('latest')).headers['x-cache']).toBe('MISS');
    expect((await ask('latest')).headers['x-cache']).toBe('HIT');
    expect(await ask(image.root.digest)).toMatchObject({ status: 200, digest: image.root.digest });
    await disk.arrived();
    const closing = app.close();
    disk.open();
    await closing;

    // Stopping waited for the disk: it is there ever after.
    await registry.stop();
    const again = await startApp({ upstreams, dataDir: app.dataDir });
    const kept = await get(`${again.url}/v2/library/app/manifests/${image.root.digest}`);
    expect(kept).toMatchObject({ status: 200, digest: image.root.digest });
  });

  it('is BYPASS when it is known that the disk cannot take it, and still answered from memory', async () => {
    const { ask, image, registry } = await start();
    const other = buildImage({ seed: 2 });
    pushTo(registry, { repository: 'library/app', tag: 'other', image: other });
    const spy = vi
      .spyOn(diskFileSystem, 'rename')
      .mockRejectedValue(Object.assign(new Error('full'), { code: 'ENOSPC' }));
    onTestFinished(() => spy.mockRestore());
    await ask(image.root.digest);
    await expect.poll(() => spy.mock.calls.length).toBeGreaterThan(0);
    await vi.waitFor(async () => expect((await ask('other')).headers['x-cache']).toMatch(/BYPASS|HIT/), SOON);
    expect((await ask(image.root.digest)).headers['x-cache']).toBe('HIT');
  });
});

describe('a manifest that was evicted while it is in memory', () => {
  it('is stored again when it is used again, with what it lists, and asked for once in all', async () => {
    const { ask, app, image, registry, upstreams, asked } = await start();
    const paths = new ContentPaths(app.dataDir);
    const file = paths.file(image.root.digest);
    const isWhole = () => [image.root, ...image.blobs].every(({ digest }) => existsSync(paths.file(digest)));
    const metrics = async () => (await get(`${app.adminUrl}/metrics`)).body.toString();
    const headers = { accept: 'application/x-ndjson' };
    const images = async () => (await get(`${app.adminUrl}/api/v1/images`, { headers })).body.toString();
    await ask('latest');
    for (const { digest } of image.blobs) await get(`${app.url}/v2/library/app/blobs/${digest}`);
    await expect.poll(isWhole).toBe(true);
    await expect.poll(async () => (await metrics()).includes('entrepot_fills_in_flight 0')).toBe(true);
    await expect.poll(images).toContain(image.root.digest);
    const full = await images();
    await fetch(`${app.adminUrl}/api/v1/evict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ toBytes: 0 }),
    }).then((response) => response.text());
    expect(existsSync(file)).toBe(false);

    expect((await ask('latest')).headers['x-cache']).toBe('HIT');
    await expect.poll(() => existsSync(file)).toBe(true);
    for (const { digest } of image.blobs) await get(`${app.url}/v2/library/app/blobs/${digest}`);
    await expect.poll(images).toBe(full);
    expect(asked('GET')).toBe(1);
    await app.close();
    await registry.stop();
    const again = await startApp({ upstreams, dataDir: app.dataDir });
    const kept = await get(`${again.url}/v2/library/app/manifests/${image.root.digest}`);
    expect(kept).toMatchObject({ status: 200, digest: image.root.digest });
  });
});

describe('the media type of a stored manifest', () => {
  it('is never what a HEAD said, but what its bytes were read under', async () => {
    const { ask, registry, image } = await start();
    pushTo(registry, { repository: 'library/other', tag: 'latest', image });
    await ask(image.root.digest);
    registry.faults.add({
      match: { path: /other\/manifests/, method: 'HEAD' },
      action: { headers: { 'content-type': OCI_INDEX } },
    });
    await ask('latest', {}, 'HEAD', 'other');
    const served = await ask('latest', {}, 'GET', 'other');
    expect(served).toMatchObject({ status: 200, digest: image.root.digest });
    expect(served.headers['content-type']).toBe(OCI_MANIFEST);
  });

  it('stays what it was after a HEAD says otherwise', async () => {
    const { ask, registry, clock, image } = await start();
    await ask('latest');
    await clock.advance(2 * MINUTE_MS);
    registry.faults.add({
      match: { path: MANIFESTS, method: 'HEAD' },
      action: { headers: { 'content-type': OCI_INDEX } },
    });
    await ask('latest', {}, 'HEAD');
    const served = await ask(image.root.digest);
    expect(served.headers['content-type']).toBe(OCI_MANIFEST);
  });
});

describe('a manifest GET, which Docker Hub counts', () => {
  it('is one for a HEAD and a GET after it, and the HEAD is not repeated', async () => {
    const { ask, asked } = await start();
    await ask('latest', {}, 'HEAD');
    expect(await ask('latest')).toMatchObject({ status: 200 });
    expect((await ask('latest', {}, 'HEAD')).headers['x-cache']).toBe('HIT');
    expect([asked('HEAD'), asked('GET')]).toEqual([1, 1]);
  });

  it('is one for a tag that HEAD named when others bring its document meanwhile, and it is fresh as long as before', async () => {
    const { ask, asked, clock, image } = await start({}, { tagTtlMs: 300 });
    await ask('latest', {}, 'HEAD');
    await clock.advance(100);
    const documents = vi.spyOn(ManifestDocuments.prototype, 'get');
    const given = vi.spyOn(Manifests.prototype, 'get');
    onTestFinished(() => void vi.restoreAllMocks());
    documents.mockImplementationOnce(async function meanwhile(this: ManifestDocuments, ...asks) {
      await this.get(...asks);
      return this.get(...asks);
    });
    expect(await ask('latest')).toMatchObject({ status: 200, digest: image.root.digest });
    expect(await given.mock.results[0]?.value).toMatchObject({
      outcome: 'hit',
      ageMs: 100,
      freshForMs: 200,
    });
    expect([asked('HEAD'), asked('GET')]).toEqual([1, 1]);
  });

  it('is one for a conditional GET, with one HEAD', async () => {
    const { ask, asked } = await start();
    expect(await ask('latest', { 'if-none-match': '"other"' })).toMatchObject({ status: 200 });
    expect([asked('HEAD'), asked('GET')]).toEqual([1, 1]);
  });

  it('is one for those who ask by tag, by digest and on condition at the same moment', async () => {
    const { ask, asked, registry, image } = await start();
    const gate = new Gate();
    registry.faults.add({ match: { path: MANIFESTS, method: 'GET' }, action: { gate } });
    const { digest } = image.root;
    const all = [ask('latest'), ask(digest), ask('latest', { accept: OCI_MANIFEST })];
    await gate.arrived();
    all.push(ask('latest', { 'if-none-match': '"x"' }), ask(digest));
    // All have found the tag out before the document comes.
    await expect.poll(() => asked('HEAD')).toBeGreaterThan(0);
    gate.open();
    for (const each of await Promise.all(all)) expect(each).toMatchObject({ status: 200, digest });
    expect(asked('GET')).toBe(1);
  });

  it('does not bring a list that the client cannot take', async () => {
    const { ask, registry, image } = await start({ index: true });
    const manifest = image.manifests[0];
    const other = registry.faults.add({
      match: { path: /manifests\/latest/, where: ({ headers }) => headers.accept === OCI_MANIFEST },
      action: {
        respond: {
          status: 200,
          headers: {
            'content-type': OCI_MANIFEST,
            'docker-content-digest': manifest?.digest ?? '',
            'content-length': String(manifest?.size),
          },
        },
      },
    });
    const served = await ask('latest', { accept: OCI_MANIFEST });
    expect(served).toMatchObject({ status: 200, digest: manifest?.digest });
    expect(other.hits).toBe(1);
    expect(registry.count({ path: new RegExp(image.root.digest), method: 'GET' })).toBe(0);
    expect(registry.count({ path: MANIFESTS, method: 'GET' })).toBe(1);
  });

  it('is none for what another repository brought, and the HEAD by tag is enough', async () => {
    const { ask, asked, registry, image } = await start();
    pushTo(registry, { repository: 'library/other', tag: 'latest', image });
    await ask('latest');
    registry.forget();
    const served = await ask('latest', {}, 'GET', 'other');
    expect(served.headers['x-cache']).toBe('REVALIDATED');
    expect([asked('HEAD'), asked('GET')]).toEqual([1, 0]);
  });
});

describe('a tag', () => {
  it('of which only the form for this client is known is served stale to it', async () => {
    const { ask, registry, clock, image } = await start();
    await ask('latest', { accept: OCI_MANIFEST }, 'HEAD');
    await ask(image.root.digest);
    await clock.advance(2 * MINUTE_MS);
    await registry.stop();
    const waiting = ask('latest', { accept: OCI_MANIFEST });
    const moving = setInterval(() => void clock.advance(1000), 5);
    const served = await waiting;
    clearInterval(moving);
    expect(served).toMatchObject({ status: 200, digest: image.root.digest });
    expect(served.headers['x-cache']).toBe('STALE');
  });

  it('that is absent for few types stays known for the others; absent for all, it is forgotten', async () => {
    const { ask, registry, clock, image } = await start({ index: true });
    await ask('latest');
    await clock.advance(2 * MINUTE_MS);
    const narrow = registry.faults.add({
      match: { path: /manifests\/latest/, where: ({ headers }) => headers.accept === OCI_MANIFEST },
      action: { respond: { status: 404 } },
    });
    expect(await ask('latest', { accept: OCI_MANIFEST }, 'HEAD')).toMatchObject({ status: 404 });
    expect(await ask('latest', { accept: OCI_MANIFEST })).toMatchObject({ status: 404 });
    expect(narrow.hits).toBe(2);
    narrow.remove();
    const broken = registry.faults.add({ match: { path: MANIFESTS }, action: { respond: { status: 400 } } });
    expect((await ask('latest')).headers['x-cache']).toBe('STALE');
    broken.remove();
    const gone = registry.faults.add({ match: { path: MANIFESTS }, action: { respond: { status: 404 } } });
    expect(await ask('latest')).toMatchObject({ status: 404 });
    gone.remove();
    registry.faults.add({ match: { path: MANIFESTS }, action: { respond: { status: 400 } } });
    const left = await ask('latest');
    expect(left.status).not.toBe(200);
    expect(image.index).toBeDefined();
  });
});
