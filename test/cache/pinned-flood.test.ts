import { expect, test, vi } from 'vitest';
import { storedImagePattern } from '../../src/oci/image-pattern.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { files, pullImage } from './store-operations-contract.ts';

const KIB = 1024;

/** Digests of the files, once evictions have settled below the limit. */
async function settled(app: RunningApp, limitBytes: number): Promise<readonly string[]> {
  await vi.waitFor(async () => {
    const status = (await (await fetch(`${app.adminUrl}/api/v1/status`)).json()) as {
      readonly bytes: number;
    };
    expect(status.bytes).toBeLessThanOrEqual(limitBytes);
  }, SOON);
  return files(app.dataDir);
}

test('pinned images stay through a flood that evicts all else, also one that came after the others', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const limitBytes = 1024 * KIB;
  const pattern = storedImagePattern('docker.io/library/kept:*');
  if (pattern === undefined) throw new Error('no pattern');
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache: { maxSize: { bytes: limitBytes }, pins: [pattern] },
  });
  const layerSizes = [60 * KIB, 60 * KIB];
  const kept = [1, 2].map((seed) => buildImage({ seed, layerSizes }));
  const pull = async (repository: string, tag: string, seed: number): Promise<void> => {
    const image = buildImage({ seed, layerSizes });
    pushTo(registry, { repository, tag, image });
    await pullImage(app, repository, tag, image);
  };
  await pull('library/kept', 'v1', 1);
  for (let seed = 10; seed < 20; seed += 1) await pull(`library/flood-${seed}`, 'v1', seed);
  await pull('library/kept', 'v2', 2);
  for (let seed = 20; seed < 35; seed += 1) await pull(`library/flood-${seed}`, 'v1', seed);

  const left = await settled(app, limitBytes);
  for (const image of kept)
    for (const { digest } of [image.root, ...image.blobs])
      expect(left.includes(digest.slice(-64)), digest).toBe(true);
  expect(left.length).toBeLessThan(35 * 4);
  await registry.stop();
  for (const [at, image] of kept.entries()) await pullImage(app, 'library/kept', `v${at + 1}`, image);
});

test('nothing is stored beyond the limit when all of it is pinned, and every pull is right', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const limitBytes = 400 * KIB;
  const pattern = storedImagePattern('docker.io/**');
  if (pattern === undefined) throw new Error('no pattern');
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    cache: { maxSize: { bytes: limitBytes }, pins: [pattern] },
  });
  for (let seed = 1; seed < 12; seed += 1) {
    const image = buildImage({ seed, layerSizes: [60 * KIB] });
    pushTo(registry, { repository: 'library/app', tag: `v${seed}`, image });
    await pullImage(app, 'library/app', `v${seed}`, image);
  }
  const first = buildImage({ seed: 1, layerSizes: [60 * KIB] });
  const url = `${app.url}/v2/library/app/blobs/${first.blobs[0]?.digest}`;
  expect((await get(url)).headers['x-cache']).toBe('HIT');
  await settled(app, limitBytes);
});
