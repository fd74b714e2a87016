import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { diskFileSystem } from '../../src/content/file-system.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get, type GetResult, openGet } from '../support/http-get.ts';
import { buildImage, descriptorOf, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';

const MIB = 1024 * 1024;
const BLOBS = /\/blobs\//;

/** Two upstreams; `team/secret` of the first holds what nobody else may have. */
async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  const other = closeAfterTest(await FakeRegistry.start());
  for (const each of [registry, other]) each.addBlob('team/open', Buffer.from('not interesting'));
  const app = await startApp({
    upstreams: [
      { name: 'reg.example', url: registry.url },
      { name: 'other.example', url: other.url },
    ],
  });
  const url = (path: string) => `${app.url}/v2/${path}`;
  return { registry, other, app, url };
}

/** What a guesser can see of an answer. */
function seen({ status, body, headers }: GetResult) {
  const { date: _, 'x-request-id': id, ...others } = headers;
  // Of the request, and nothing else.
  expect(id).toMatch(/^[0-9a-f]{16}$/);
  return { status, body: body.toString(), headers: others };
}

describe('a digest that is cached through one repository', () => {
  it('is not served through another, which is told exactly what it is told of a digest that nobody has', async () => {
    const { registry, other, url } = await start();
    const image = buildImage();
    pushTo(registry, { repository: 'team/secret', tag: 'v1', image });
    await get(url('team/secret/manifests/v1'));
    const digests: Digest[] = [image.root.digest];
    for (const { digest } of image.blobs) {
      expect(await get(url(`team/secret/blobs/${digest}`))).toMatchObject({ status: 200, digest });
      digests.push(digest);
    }
    const unknown = digestOf(Buffer.from('nobody has this'));
    const places = ['team/open', 'team/nowhere', 'other.example/team/open', 'other.example/team/secret'];
    for (const place of places) {
      for (const kind of ['blobs', 'manifests']) {
        for (const method of ['GET', 'HEAD']) {
          const nothing = await get(url(`${place}/${kind}/${unknown}`), { method });
          expect(nothing.status).toBe(404);
          for (const digest of digests) {
            const guess = await get(url(`${place}/${kind}/${digest}`), { method });
            const text = (result: GetResult) => JSON.stringify(seen(result));
            expect(text(guess).replaceAll(digest, unknown)).toBe(text(nothing));
          }
          for (const headers of [{ range: 'bytes=0-9' }, { 'if-none-match': `"${unknown}"` }]) {
            expect((await get(url(`${place}/${kind}/${digests[0]}`), { headers, method })).status).toBe(404);
          }
          const known = { 'if-none-match': `"${digests[0]}"` };
          const conditional = await get(url(`${place}/${kind}/${digests[0]}`), { headers: known, method });
          expect(conditional.status).toBe(404);
        }
      }
    }
    expect(other.blobBodyBytes()).toBe(0);
  });

  it('is served through another that holds it too, without being fetched again', async () => {
    const { registry, other, url } = await start();
    const bytes = Buffer.alloc(200_000, 'shared');
    const digest = registry.addBlob('team/a', bytes);
    registry.addBlob('team/b', bytes);
    other.addBlob('team/c', bytes);
    await get(url(`team/a/blobs/${digest}`));
    for (const place of ['team/b', 'other.example/team/c']) {
      await expect
        .poll(async () => (await get(url(`${place}/blobs/${digest}`))).headers['x-cache'])
        .toMatch(/REVALIDATED|HIT/);
      expect(await get(url(`${place}/blobs/${digest}`))).toMatchObject({ status: 200, digest });
    }
    expect(registry.blobBodyBytes()).toBe(bytes.length);
    expect(other.blobBodyBytes()).toBe(0);
  });

  it('stays closed to another repository while it is on its way in, whenever that one asks', async () => {
    const { registry, other, url } = await start();
    const digest = registry.addBlob('team/secret', { size: 4 * MIB, seed: 3 });
    const gate = new Gate();
    registry.faults.add({
      match: { path: BLOBS, method: 'GET' },
      action: { stallAfter: { bytes: MIB, gate } },
    });
    const first = await openGet(url(`team/secret/blobs/${digest}`), { digestOnly: true });
    await first.read(1000);
    for (const place of ['team/open', 'other.example/team/open']) {
      for (const headers of [{}, { range: 'bytes=0-99' }]) {
        expect(await get(url(`${place}/blobs/${digest}`), { headers })).toMatchObject({ status: 404 });
      }
      expect((await get(url(`${place}/blobs/${digest}`), { method: 'HEAD' })).status).toBe(404);
    }
    gate.open();
    expect(await first.finished()).toMatchObject({ complete: true, digest });
    expect(other.blobBodyBytes()).toBe(0);
  });

  it('is not joined by one who asks at the very same moment without having it', async () => {
    const { registry, url } = await start();
    const guesses: Promise<GetResult>[] = [];
    for (let seed = 100; seed < 120; seed += 1) {
      const digest = registry.addBlob('team/secret', { size: 100_000, seed });
      const paths = seed % 2 === 0 ? ['team/secret', 'team/open'] : ['team/open', 'team/secret'];
      const answers = paths.map((path) => get(url(`${path}/blobs/${digest}`), { digestOnly: true }));
      guesses.push(...answers.filter((_, at) => paths[at] === 'team/open'));
      for (const answer of answers.filter((_, at) => paths[at] === 'team/secret')) {
        expect(await answer).toMatchObject({ status: 200, digest });
      }
    }
    expect((await Promise.all(guesses)).map(({ status }) => status)).toEqual(guesses.map(() => 404));
  });
});

describe('a listing', () => {
  it('of a foreign layer gives no access to what has its digest', async () => {
    const { registry, url } = await start();
    const secret = Buffer.from('a secret layer');
    const digest = registry.addBlob('team/secret', secret);
    await get(url(`team/secret/blobs/${digest}`));
    const canary = closeAfterTest(await FakeRegistry.start());
    const config = descriptorOf({
      mediaType: 'application/json',
      digest: digestOf(Buffer.from('c')),
      size: 1,
      bytes: Buffer.from('c'),
    });
    const layer = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size: secret.length };
    const foreign = [
      { ...layer, urls: [`${canary.url}/layer`] },
      { ...layer, mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' },
      { ...layer, mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' },
    ];
    for (const [at, each] of foreign.entries()) {
      const document = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [each] };
      registry.addManifest('team/open', JSON.stringify(document), OCI_MANIFEST, [`foreign-${at}`]);
      expect((await get(url(`team/open/manifests/foreign-${at}`))).status).toBe(200);
      expect((await get(url(`team/open/blobs/${digest}`))).status).toBe(404);
    }
    expect(canary.requests).toHaveLength(0);
  });

  it('in an index, which may list what its repository has not, gives no access to it', async () => {
    const { registry, app, url } = await start();
    const image = buildImage();
    pushTo(registry, { repository: 'team/secret', tag: 'v1', image });
    await get(url('team/secret/manifests/v1'));
    const [layer] = image.blobs;
    if (layer === undefined) throw new Error('an image without blobs');
    await get(url(`team/secret/blobs/${layer.digest}`));
    await expect
      .poll(async () => (await get(`${app.adminUrl}/metrics`)).body.toString())
      .toContain('entrepot_store_blobs 2\n');
    const listed = [image.root, layer].map(({ digest, size }) => ({ mediaType: OCI_MANIFEST, digest, size }));
    const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: listed };
    registry.addManifest('team/open', JSON.stringify(index), OCI_INDEX, ['sparse']);
    expect((await get(url('team/open/manifests/sparse'))).status).toBe(200);
    for (const { digest } of listed) {
      for (const kind of ['blobs', 'manifests']) {
        expect((await get(url(`team/open/${kind}/${digest}`))).status).toBe(404);
        expect((await get(url(`team/open/${kind}/${digest}`), { method: 'HEAD' })).status).toBe(404);
      }
    }
  });
});

it('a blob that is asked for as a manifest is not read for that, however large it is', async () => {
  const { registry, url } = await start();
  const digest = registry.addBlob('team/open', { size: 20 * MIB, seed: 1 });
  await expect
    .poll(async () => (await get(url(`team/open/blobs/${digest}`), { digestOnly: true })).headers['x-cache'])
    .toBe('HIT');
  let readBytes = 0;
  const read = diskFileSystem.read.bind(diskFileSystem);
  const spy = vi.spyOn(diskFileSystem, 'read').mockImplementation(async (...all) => {
    const bytes = await read(...all);
    readBytes += bytes;
    return bytes;
  });
  onTestFinished(() => spy.mockRestore());
  for (const method of ['GET', 'HEAD']) {
    expect((await get(url(`team/open/manifests/${digest}`), { method })).status).toBe(404);
  }
  expect(readBytes).toBe(0);
});
