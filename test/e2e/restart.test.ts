import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, openGet } from '../support/http-get.ts';
import { buildImage, type BuiltImage, pushTo } from '../support/images.ts';

const MIB = 1024 * 1024;
const IMAGE = { platforms: ['linux/amd64', 'linux/arm64'], layerSizes: [3000, 2_000_000] };
const LATE_BLOB = { size: 8 * MIB, seed: 91 };

interface Pulled {
  readonly status: number;
  readonly complete: boolean;
  readonly digest: string;
}

function whole(digest: string): Pulled {
  return { status: 200, complete: true, digest };
}

/** All of an image, as a client of every platform would ask for it. */
async function pullImage(entrepot: EntrepotProcess, image: BuiltImage): Promise<void> {
  const base = `${entrepot.url}/v2/library/app`;
  expect(await get(`${base}/manifests/v1`)).toMatchObject(whole(image.root.digest));
  for (const { digest } of image.manifests) {
    expect(await get(`${base}/manifests/${digest}`)).toMatchObject(whole(digest));
  }
  for (const { digest } of image.blobs) {
    expect(await get(`${base}/blobs/${digest}`)).toMatchObject(whole(digest));
  }
}

async function settle(): Promise<{
  readonly registry: FakeRegistry;
  readonly image: BuiltImage;
  readonly config: Readonly<Record<string, unknown>>;
}> {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage(IMAGE);
  pushTo(registry, { repository: 'library/app', tag: 'v1', image });
  const upstreams = { 'docker.io': { url: registry.url, default: true, tagTtl: '0s' } };
  return { registry, image, config: { upstreams } };
}

test('after a restart it serves warm, and with the upstream away', async () => {
  const { registry, image, config } = await settle();
  const first = await EntrepotProcess.start({ config });
  await pullImage(first, image);
  expect(await first.stop()).toEqual({ code: 0, signal: null });

  registry.forget();
  const second = await EntrepotProcess.start({ config, dataDir: first.dataDir });
  await pullImage(second, image);
  expect(registry.count({ method: 'GET' })).toBe(0);
  expect(registry.count({ method: 'HEAD' })).toBe(1);

  await registry.stop();
  await pullImage(second, image);
  expect(await second.stop()).toEqual({ code: 0, signal: null });
  const third = await EntrepotProcess.start({ config, dataDir: first.dataDir });
  await pullImage(third, image);
});

test('after kill -9 it serves what was committed and has swept what was on its way', async () => {
  const { registry, image, config } = await settle();
  const late = registry.addBlob('library/app', LATE_BLOB);
  const gate = new Gate();
  const lateBlob = new RegExp(`/blobs/${late}$`);
  registry.faults.add({ match: { path: lateBlob }, action: { stallAfter: { bytes: 3 * MIB, gate } } });
  const first = await EntrepotProcess.start({ config });
  await pullImage(first, image);
  // A reader has a blob as soon as it is verified; it is committed a moment later.
  await expect.poll(() => first.metric('entrepot_store_blobs')).toBeGreaterThanOrEqual(image.blobs.length);
  await expect.poll(() => first.metric('entrepot_fills_in_flight')).toBe(0);
  const pull = await openGet(`${first.url}/v2/library/app/blobs/${late}`, { digestOnly: true });
  await pull.read(2 * MIB);
  const ingest = join(first.dataDir, 'content', 'v1', 'ingest');
  expect((await readdir(ingest)).length).toBeGreaterThan(0);

  first.signal('SIGKILL');
  expect(await first.ended).toEqual({ code: null, signal: 'SIGKILL' });
  expect(await pull.finished()).toMatchObject({ complete: false });
  expect((await readdir(ingest)).length).toBeGreaterThan(0);
  registry.faults.clear();
  await registry.stop();

  const second = await EntrepotProcess.start({ config, dataDir: first.dataDir });
  expect(await readdir(ingest)).toEqual([]);
  await pullImage(second, image);
  await registry.restart();
  registry.forget();
  const anew = await get(`${second.url}/v2/library/app/blobs/${late}`, { digestOnly: true });
  expect(anew).toMatchObject(whole(late));
  expect(registry.blobBodyBytes(late)).toBe(LATE_BLOB.size);
});

test('killed again and again while it fills, it never serves a wrong or short blob as whole', async () => {
  const { registry, image, config } = await settle();
  const late = registry.addBlob('library/app', LATE_BLOB);
  let dataDir: string | undefined;
  for (const stallAt of [1, MIB, LATE_BLOB.size - 1]) {
    const gate = new Gate();
    const lateBlob = new RegExp(`/blobs/${late}$`);
    registry.faults.add({ match: { path: lateBlob }, action: { stallAfter: { bytes: stallAt, gate } } });
    registry.forget();
    const entrepot = await EntrepotProcess.start({ config, ...(dataDir !== undefined && { dataDir }) });
    dataDir = entrepot.dataDir;
    const pull = openGet(`${entrepot.url}/v2/library/app/blobs/${late}`, { digestOnly: true });
    await pullImage(entrepot, image);
    await registry.received({ path: lateBlob });
    entrepot.signal('SIGKILL');
    const result = await pull.then(
      (response) => response.finished(),
      () => undefined,
    );
    expect(result?.complete ?? false).toBe(false);
    registry.faults.clear();
  }
  const last = await EntrepotProcess.start({ config, ...(dataDir !== undefined && { dataDir }) });
  await pullImage(last, image);
  expect(await get(`${last.url}/v2/library/app/blobs/${late}`, { digestOnly: true })).toMatchObject(
    whole(late),
  );
});
