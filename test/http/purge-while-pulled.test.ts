import { expect, it, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { problem } from '../../src/http/api-problem.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ layerSizes: [400_000] });
const [LARGE] = IMAGE.blobs.toSorted((one, other) => other.size - one.size);

it('a purge of what is being pulled disturbs no pull, and says when there was nothing to purge', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const purge = async (tag: string) =>
    fetch(`${app.adminUrl}/api/v1/purge`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ upstream: 'docker.io', repository: 'library/app', tag }),
    });
  const images = async () =>
    (await (await fetch(`${app.adminUrl}/api/v1/images`)).json()) as { readonly total: number };

  const gate = new Gate();
  registry.faults.add({ match: { path: /blobs/ }, action: { stallAfter: { bytes: 200_000, gate } } });
  await get(`${app.url}/v2/library/app/manifests/v1`);
  await expect.poll(images).toMatchObject({ total: 1 });
  const pulling = get(`${app.url}/v2/library/app/blobs/${LARGE?.digest}`);
  await vi.waitFor(
    () => expect(registry.requests.some(({ path }) => path.includes('blobs'))).toBe(true),
    SOON,
  );

  const none = await purge('v2');
  expect(problem.parse(await none.json())).toMatchObject({
    status: 404,
    reason: 'not-found',
    detail: 'nothing is cached of docker.io/library/app:v2; there is v1',
  });
  const done = await purge('v1');
  expect(await done.text()).toContain('"event":"done"');
  gate.open();
  const pulled = await pulling;
  expect(pulled.status).toBe(200);
  expect(digestOf(pulled.body)).toBe(LARGE?.digest);

  // The next pull is whole again.
  await pullImage(app, 'library/app', 'v1', IMAGE);
  await expect.poll(images).toMatchObject({ total: 1 });
});
