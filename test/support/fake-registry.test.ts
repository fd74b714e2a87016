import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from './close-after-test.ts';
import { sourceBytes } from './byte-source.ts';
import { FakeRegistry, type FakeRegistryOptions } from './fake-registry.ts';

import { generatedBlob, generatedBlobDigest } from './generated-blob.ts';
import { get } from './http-get.ts';
import { buildImage, buildReferrer, pushTo } from './images.ts';

const REPOSITORY = 'team/app';
const BLOB = Buffer.from('0123456789');

async function start(options: FakeRegistryOptions = {}): Promise<{
  registry: FakeRegistry;
  digest: Digest;
  url: string;
}> {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  const digest = registry.addBlob(REPOSITORY, BLOB);
  return { registry, digest, url: `${registry.url}/v2/${REPOSITORY}/blobs/${digest}` };
}

describe('a fake registry', () => {
  it('answers the API check, a manifest by tag and by digest, and a blob, with GET and HEAD', async () => {
    const { registry } = await start();
    const image = buildImage();
    pushTo(registry, { repository: REPOSITORY, tag: 'v1', image });
    expect((await get(`${registry.url}/v2/`)).headers['docker-distribution-api-version']).toBe(
      'registry/2.0',
    );
    const base = `${registry.url}/v2/${REPOSITORY}`;
    for (const reference of ['v1', image.root.digest]) {
      const found = await get(`${base}/manifests/${reference}`);
      expect(found.body).toEqual(image.root.bytes);
      expect(found.headers['content-type']).toBe(OCI_MANIFEST);
      expect(found.headers['docker-content-digest']).toBe(image.root.digest);
      const head = await get(`${base}/manifests/${reference}`, { method: 'HEAD' });
      expect(head).toMatchObject({ status: 200, length: 0, complete: true });
      expect(head.headers['content-length']).toBe(String(image.root.size));
    }
    for (const { digest, bytes } of image.blobs) {
      expect((await get(`${base}/blobs/${digest}`)).body).toEqual(bytes);
    }
  });

  it('says 404 with the code of what is missing', async () => {
    const { registry } = await start();
    const code = async (path: string): Promise<[number, unknown]> => {
      const { status, body } = await get(`${registry.url}/v2/${path}`);
      return [status, (JSON.parse(body.toString()) as { errors: { code: string }[] }).errors[0]?.code];
    };
    expect(await code('no/where/tags/list')).toEqual([404, 'NAME_UNKNOWN']);
    expect(await code(`${REPOSITORY}/manifests/nope`)).toEqual([404, 'MANIFEST_UNKNOWN']);
    expect(await code(`${REPOSITORY}/blobs/${digestOf(Buffer.from('no'))}`)).toEqual([404, 'BLOB_UNKNOWN']);
  });

  it('records every request, and the body bytes it wrote for each blob', async () => {
    const { registry, digest, url } = await start();
    await get(`${url}?ns=docker.io`);
    await get(url, { method: 'HEAD' });
    expect(registry.requests[0]).toMatchObject({ method: 'GET', status: 200, bodyBytes: 10, connection: 1 });
    expect(registry.requests[0]?.query.get('ns')).toBe('docker.io');
    expect(registry.count({ method: 'HEAD', path: /blobs/ })).toBe(1);
    expect(registry.blobBodyBytes(digest)).toBe(10);
    expect(registry.connections).toBe(2);
  });

  it('serves a generated blob of any size under its digest', async () => {
    const { registry } = await start();
    const recipe = { size: 5_000_001, seed: 9 };
    const digest = registry.addBlob(REPOSITORY, recipe);
    const whole = await get(`${registry.url}/v2/${REPOSITORY}/blobs/${digest}`, { digestOnly: true });
    expect(whole).toMatchObject({ digest, length: recipe.size, complete: true });
    expect(digest).toBe(digestOf(sourceBytes(generatedBlob(recipe))));
    expect(generatedBlobDigest({ ...recipe, seed: 10 })).not.toBe(digest);
    const range = { range: 'bytes=1048570-1048580' };
    const part = await get(`${registry.url}/v2/${REPOSITORY}/blobs/${digest}`, { headers: range });
    expect(part.body).toEqual(sourceBytes(generatedBlob(recipe)).subarray(1_048_570, 1_048_581));
  });

  it.each([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=7-', 206, '789', 'bytes 7-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=8-99', 206, '89', 'bytes 8-9/10'],
    ['bytes=-99', 206, '0123456789', 'bytes 0-9/10'],
    ['bytes=4-2', 200, '0123456789', undefined],
    ['bytes=0-1,4-5', 200, '0123456789', undefined],
    ['lines=0-1', 200, '0123456789', undefined],
  ])('answers the range %s with %i', async (range, status, body, contentRange) => {
    const { url } = await start();
    const found = await get(url, { headers: { range } });
    expect([found.status, found.body.toString(), found.headers['content-range']]).toEqual([
      status,
      body,
      contentRange,
    ]);
  });

  it('refuses a range behind the end with 416, and sends the whole when If-Range names another tag', async () => {
    const { url, digest } = await start();
    const beyond = await get(url, { headers: { range: 'bytes=10-' } });
    expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */10']);
    const range = 'bytes=2-4';
    expect((await get(url, { headers: { range, 'if-range': `"${digest}"` } })).status).toBe(206);
    expect((await get(url, { headers: { range, 'if-range': '"other"' } })).status).toBe(200);
  });

  it.each(['relative', 'absolute'] as const)(
    'cuts tags and referrers into pages with %s links',
    async (links) => {
      const { registry } = await start({ pageSize: 2, links });
      const image = buildImage();
      pushTo(registry, { repository: REPOSITORY, tag: 'b', image });
      for (const tag of ['a', 'c', 'd', 'e']) registry.tag(REPOSITORY, tag, image.root.digest);
      for (const payload of ['1', '2', '3']) {
        const { manifest } = buildReferrer(image.root, { artifactType: 'text/sbom', payload });
        registry.addManifest(REPOSITORY, manifest.bytes, manifest.mediaType);
      }
      const pages = async (path: string, list: 'tags' | 'manifests'): Promise<unknown[]> => {
        const found: unknown[] = [];
        for (let next: string | undefined = path; next !== undefined;) {
          const page = await get(new URL(next, registry.url).href);
          found.push(...((JSON.parse(page.body.toString()) as Record<string, unknown[]>)[list] ?? []));
          next = /^<(.+)>; rel="next"$/.exec(String(page.headers['link']))?.[1];
          if (next !== undefined) expect(next.startsWith('http')).toBe(links === 'absolute');
        }
        return found;
      };
      expect(await pages(`/v2/${REPOSITORY}/tags/list`, 'tags')).toEqual(['a', 'b', 'c', 'd', 'e']);
      const referrers = await pages(`/v2/${REPOSITORY}/referrers/${image.root.digest}`, 'manifests');
      expect(referrers).toHaveLength(3);
      expect(referrers[0]).toMatchObject({ artifactType: 'text/sbom', mediaType: OCI_MANIFEST });
    },
  );

  it('answers referrers of an unknown subject with an empty index, or 404 when it has no such API', async () => {
    const { registry, digest } = await start();
    const url = `${registry.url}/v2/${REPOSITORY}/referrers/${digest}`;
    const found = await get(url);
    expect([found.status, found.headers['content-type']]).toEqual([200, OCI_INDEX]);
    registry.configure({ referrers: false });
    expect((await get(url)).status).toBe(404);
  });

  it('hides what it is told to hide', async () => {
    const { registry, url } = await start({
      omitContentDigest: true,
      omitContentLength: true,
      omitEtag: true,
    });
    const { headers } = await get(url);
    expect(headers['transfer-encoding']).toBe('chunked');
    for (const name of ['docker-content-digest', 'content-length', 'etag'])
      expect(headers[name]).toBeUndefined();
    expect((await get(url, { method: 'HEAD' })).headers['content-length']).toBeUndefined();
    registry.configure({ headRefused: 405 });
    expect((await get(url, { method: 'HEAD' })).status).toBe(405);
    expect((await get(url)).status).toBe(200);
  });

  it('counts manifest GETs against the pull limit and not HEADs', async () => {
    const { registry } = await start({ pullLimit: { limit: 100, remaining: 1 } });
    pushTo(registry, { repository: REPOSITORY, tag: 'v1', image: buildImage() });
    const url = `${registry.url}/v2/${REPOSITORY}/manifests/v1`;
    expect((await get(url, { method: 'HEAD' })).headers['ratelimit-remaining']).toBe('1;w=21600');
    expect((await get(url)).headers['ratelimit-remaining']).toBe('0;w=21600');
    expect((await get(url)).status).toBe(429);
    expect((await get(url, { method: 'HEAD' })).status).toBe(200);
  });

  it('redirects to another server that holds the same content and takes no credentials', async () => {
    const { registry, digest, url } = await start();
    const cdn = closeAfterTest(
      await FakeRegistry.start({ content: registry.content, hostname: '127.0.0.2' }),
    );
    registry.configure({
      redirect: ({ path }) => (path.includes('/blobs/') ? `${cdn.cdnUrl(digest)}?signature=s` : undefined),
    });
    const hop = await get(url);
    expect(hop.status).toBe(307);
    const location = String(hop.headers.location);
    expect((await get(location)).body).toEqual(BLOB);
    expect((await get(location, { headers: { authorization: 'Bearer x' } })).status).toBe(400);
    expect([registry.blobBodyBytes(), cdn.blobBodyBytes(digest)]).toEqual([0, 10]);
  });

  it('goes away and comes back on the same port', async () => {
    const { registry, url } = await start();
    await registry.stop();
    await expect(get(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await registry.restart();
    expect((await get(url)).body).toEqual(BLOB);
    await registry.close();
    await registry.close();
  });

  it('says on the wire what gzip would have hidden', async () => {
    const { registry, url } = await start();
    registry.faults.add({ action: { gzip: true } });
    const found = await get(url);
    expect(found.headers['content-encoding']).toBe('gzip');
    expect(found.complete).toBe(true);
    expect(gunzipSync(found.body)).toEqual(BLOB);
  });
});
