import { expect, test, vi } from 'vitest';
import { RemoteApi } from '../../src/commands/remote-api.ts';
import { RemoteOperations } from '../../src/commands/remote-operations.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { all, files, pullImage, selected } from './store-operations-contract.ts';

const never = new AbortController().signal;
const PULLERS = 4;
const ROUNDS = 5;

test('purging, verifying and evicting while the same images are pulled harm no pull, and leave files and rows as one', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const images = [1, 2, 3].map((seed) =>
    buildImage({ seed, layerSizes: [80_000, 300_000], base: { size: 200_000, seed: 99 } }),
  );
  for (const [at, image] of images.entries())
    pushTo(registry, { repository: 'library/app', tag: `v${at}`, image });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const { hostname, port } = new URL(app.adminUrl);
  const operations = new RemoteOperations(
    new RemoteApi({ listener: { host: hostname, port: Number(port) }, token: undefined }),
  );

  const over = new AbortController();
  const pulls = Array.from({ length: PULLERS }, async (_, puller) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const at = (puller + round) % images.length;
      const image = images[at];
      // Checks every byte.
      if (image !== undefined) await pullImage(app, 'library/app', `v${at}`, image);
    }
  });
  const work = [
    async () => all(operations.purge(selected('library/app', { tag: 'v1' }), { dryRun: false }, never)),
    async () => all(operations.purge(selected('library/app'), { dryRun: false }, never)),
    async () => all(operations.purge({ upstream: 'docker.io' }, { dryRun: false }, never)),
    async () => all(operations.evict({ toBytes: 500_000, dryRun: false }, never)),
    async () => all(operations.verify({}, never)),
    async () => all(operations.images({}, never)),
  ];
  let count = 0;
  const disturbing = (async () => {
    while (!over.signal.aborted) {
      for (const step of work) {
        const told = await step().catch((error: unknown) => {
          // Nothing may be there just now.
          expect(error).toMatchObject({ reason: 'not-found' });
          return [];
        });
        expect(JSON.stringify(told)).not.toMatch(/"event":"(?:failed|damaged|unreadable)"/);
        count += 1;
      }
    }
  })();
  await Promise.all(pulls);
  over.abort();
  await disturbing;
  expect(count).toBeGreaterThan(6);
  expect(app.logLines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  await vi.waitFor(async () => {
    const { blobs, reservedBytes } = await operations.status(never);
    expect([blobs, reservedBytes]).toEqual([(await files(app.dataDir)).length, 0]);
  }, SOON);
  expect((await all(operations.verify({}, never))).at(-1)).toMatchObject({ damaged: 0, unreadable: 0 });

  // What is gone is gone for good: without its upstream nothing of it is served.
  await all(operations.purge({ upstream: 'docker.io' }, { dryRun: false }, never)).catch(() => undefined);
  await registry.stop();
  for (const [at, image] of images.entries()) {
    const base = `${app.url}/v2/library/app`;
    expect((await get(`${base}/manifests/v${at}`)).status).not.toBe(200);
    for (const { digest } of image.blobs) expect((await get(`${base}/blobs/${digest}`)).status).not.toBe(200);
  }
});
