import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openLasting, prepareLasting } from '../../src/metadata/lasting-database.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage();
  pushTo(registry, { repository: 'library/app', tag: 'latest', image });
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
  return { registry, image, clock, app, base: `${app.url}/v2/library/app` };
}

it('the tags that are known here are stale, and claim no age', async () => {
  const { registry, base } = await start();
  await get(`${base}/manifests/latest`);
  registry.faults.add({ match: { path: /tags\/list/ }, action: { respond: { status: 400 } } });
  const served = await get(`${base}/tags/list`);
  expect(JSON.parse(served.body.toString())).toEqual({ name: 'library/app', tags: ['latest'] });
  expect(served.headers['x-cache']).toBe('STALE');
  expect(served.headers.age).toBeUndefined();
  expect(served.headers.warning).toContain('could not be asked');
  expect(served.headers.warning).not.toContain('seconds ago');
});

it('an empty list of referrers leaves nothing in the index, and takes away what was there', async () => {
  const { registry, image, base, app, clock } = await start();
  const descriptor = { mediaType: image.root.mediaType, digest: image.root.digest, size: image.root.size };
  const subject = `sha256:${'a'.repeat(64)}`;
  const ask = async () => JSON.parse((await get(`${base}/referrers/${subject}`)).body.toString()) as unknown;
  const respond = (manifests: unknown[]) =>
    registry.faults.add({
      match: { path: /referrers/ },
      action: {
        respond: {
          status: 200,
          headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' },
          body: JSON.stringify({ schemaVersion: 2, manifests }),
        },
      },
    });
  const empty = respond([]);
  expect(await ask()).toMatchObject({ manifests: [] });
  empty.remove();
  respond([descriptor]);
  // Nothing was kept, so the next one asks again at once.
  expect(await ask()).toMatchObject({ manifests: [descriptor] });
  respond([]);
  await clock.advance(120_000);
  expect(await ask()).toMatchObject({ manifests: [] });
  await app.close();
  const database = openLasting(join(app.dataDir, 'metadata.db'), { readonly: true });
  expect(prepareLasting<[]>(database, 'SELECT count(*) FROM referrers').pluck().get()).toBe(0);
  database.close();
});
