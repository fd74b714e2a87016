import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digestOf, parseDigest } from '../../src/oci/digest.ts';
import { MANIFEST_SIZE_LIMIT } from '../../src/oci/manifest.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { parseReference, parseRepositoryName } from '../../src/oci/reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { generatedBlob } from '../support/generated-blob.ts';
import { sourceBytes } from '../support/byte-source.ts';
import {
  accept,
  failure,
  latest,
  manifestText,
  never,
  once,
  repository,
  upstreamAt,
} from './upstream-under-test.ts';

const recipe = { size: 300_000, seed: 1 };

describe('manifests', () => {
  it('gives a manifest by tag with the digest of its bytes', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url);
    const document = await upstream.getManifest(repository, latest, accept, never());
    expect(document.digest).toBe(digest);
    expect(document.bytes.toString()).toBe(manifestText());
    expect(document.facts.mediaType).toBe(OCI_MANIFEST);
    expect(registry.requests[0]?.headers['accept']).toBe(accept.accept.join(', '));
    expect(registry.requests[0]?.headers['accept-encoding']).toBe('identity');
    expect(registry.requests[0]?.headers['user-agent']).toBe('entrepot/0.0.0-test');
  });

  it('asks by HEAD alone for what HEAD can tell', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const head = await upstreamAt(registry.url).headManifest(repository, latest, accept, never());
    expect(head).toEqual({ digest, mediaType: OCI_MANIFEST, sizeBytes: manifestText().length });
    expect(registry.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it.each([400, 403, 405, 501])(
    'knows no digest when HEAD is answered %i, and downloads nothing',
    async (status) => {
      const registry = closeAfterTest(await FakeRegistry.start({ headRefused: status }));
      registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
      const head = await upstreamAt(registry.url).headManifest(repository, latest, accept, never());
      expect(head.digest).toBeUndefined();
      expect(registry.count({ method: 'GET' })).toBe(0);
    },
  );

  it('knows no digest when the upstream names none, but computes it on GET', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ omitContentDigest: true }));
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url);
    expect((await upstream.headManifest(repository, latest, accept, never())).digest).toBeUndefined();
    expect((await upstream.getManifest(repository, latest, accept, never())).digest).toBe(digest);
  });

  it('keeps to the path prefix of the upstream', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    await failure(
      upstreamAt(`${registry.url}/artifactory/docker`).getManifest(repository, latest, once, never()),
    );
    expect(registry.requests[0]?.target).toBe('/artifactory/docker/v2/team/app/manifests/latest');
  });

  it('takes a sha512 digest as the upstream names it', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const bytes = Buffer.from(manifestText());
    const digest = digestOf(bytes, 'sha512');
    registry.content.addFalseManifest(repository, digest, { bytes, mediaType: OCI_MANIFEST });
    registry.tag(repository, 'latest', digest);
    const upstream = upstreamAt(registry.url);
    expect((await upstream.getManifest(repository, latest, accept, never())).digest).toBe(digest);
    expect((await upstream.getManifest(repository, { digest }, accept, never())).digest).toBe(digest);
  });
});

describe('a hostile upstream', () => {
  const wrong = parseDigest(`sha256:${'a'.repeat(64)}`);

  it('that answers any digest with one body is found out', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ omitContentDigest: true }));
    registry.content.addFalseManifest(repository, wrong, {
      bytes: Buffer.from(manifestText()),
      mediaType: OCI_MANIFEST,
    });
    const error = await failure(
      upstreamAt(registry.url).getManifest(repository, { digest: wrong }, once, never()),
    );
    expect(error.reason).toBe('protocol');
  });

  it.each([
    ['another digest', { 'docker-content-digest': wrong }],
    ['two digests', { 'docker-content-digest': [digestOf(Buffer.from(manifestText())), wrong] }],
    [
      'two digests in one line',
      { 'docker-content-digest': `${digestOf(Buffer.from(manifestText()))}, ${wrong}` },
    ],
  ])('that names %s for a tag is found out', async (_what, headers) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ match: { method: 'GET' }, action: { headers } });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('protocol');
  });

  it('that says the same digest twice is believed', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ action: { headers: { 'docker-content-digest': [digest, digest] } } });
    expect((await upstreamAt(registry.url).getManifest(repository, latest, once, never())).digest).toBe(
      digest,
    );
  });

  it('that names another digest to a HEAD by digest is found out', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const manifest = registry.addManifest(repository, manifestText(), OCI_MANIFEST);
    const blob = registry.addBlob(repository, recipe);
    registry.faults.add({ action: { headers: { 'docker-content-digest': wrong } } });
    const upstream = upstreamAt(registry.url);
    expect(
      (await failure(upstream.headManifest(repository, { digest: manifest }, once, never()))).reason,
    ).toBe('protocol');
    expect((await failure(upstream.headBlob(repository, blob, never()))).reason).toBe('protocol');
    expect((await failure(upstream.getBlob(repository, blob, { start: 0 }, never()))).reason).toBe(
      'protocol',
    );
  });

  it.each([
    [
      'an HTML page',
      { respond: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>Log in</html>' } },
    ],
    ['a compressed manifest', { gzip: true }],
    [
      'a chain of encodings',
      { headers: { 'content-encoding': Array.from({ length: 50 }, () => 'gzip').join(', ') } },
    ],
    [
      'another media type than the document has',
      { headers: { 'content-type': 'application/vnd.oci.image.index.v1+json' } },
    ],
    ['no media type', { headers: { 'content-type': undefined } }],
    ['a part unasked', { respond: { status: 206, headers: { 'content-type': OCI_MANIFEST }, body: '{}' } }],
    ['an endless manifest', { endless: true }],
    ['more than a manifest may be', { extraBytes: MANIFEST_SIZE_LIMIT, framing: 'chunked' }],
  ] as const)('that sends %s is refused', async (_what, action) => {
    const registry = closeAfterTest(await FakeRegistry.start({ omitContentDigest: true }));
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ action });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('protocol');
  });

  it.each([
    { manifests: [], layers: [], config: {} },
    { schemaVersion: 2, manifests: [] },
  ])('that sends an ambiguous manifest is refused', async (document) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, JSON.stringify(document), OCI_MANIFEST, ['latest']);
    expect(
      (await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()))).reason,
    ).toBe('protocol');
  });

  it('that cuts a manifest twice is not asked a third time, and nothing is given', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ action: { cutAfter: 20 } });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, accept, never()));
    expect(error.reason).toBe('unavailable');
    expect(registry.requests).toHaveLength(2);
  });

  it('that cuts a manifest once is asked once more', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ match: { nth: 1 }, action: { cutAfter: 20 } });
    const document = await upstreamAt(registry.url).getManifest(repository, latest, accept, never());
    expect(document.digest).toBe(digest);
    expect(registry.requests).toHaveLength(2);
  });

  it('that answers with something else than HTTP is refused', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { raw: 'SSH-2.0-OpenSSH_9.2 secret\r\n', drop: 'end' } });
    const error = await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()));
    expect(error.reason).toBe('protocol');
    expect(JSON.stringify(error) + String(error) + JSON.stringify(error.cause)).not.toContain('secret');
  });

  it('that sends more than 16 KiB of headers is refused', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    registry.faults.add({ action: { headers: { 'x-filler': 'x'.repeat(20_000) } } });
    expect(
      (await failure(upstreamAt(registry.url).getManifest(repository, latest, once, never()))).reason,
    ).toBe('protocol');
  });

  it('cannot answer the next request by sending a body with a HEAD', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const trailing = `HTTP/1.1 200 OK\r\nDocker-Content-Digest: ${wrong}\r\nContent-Length: 0\r\n\r\n`;
    registry.faults.add({ match: { nth: 1 }, action: { trailing } });
    const upstream = upstreamAt(registry.url);
    expect((await upstream.headManifest(repository, latest, accept, never())).digest).toBe(digest);
    await expect.poll(() => registry.openConnections, { timeout: 12_000 }).toBe(0);
    expect((await upstream.headManifest(repository, latest, accept, never())).digest).toBe(digest);
  });

  it('cannot answer the next request by sending two responses to one', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const poison = manifestText('poison');
    const trailing = `HTTP/1.1 200 OK\r\nContent-Type: ${OCI_MANIFEST}\r\nContent-Length: ${poison.length}\r\n\r\n${poison}`;
    registry.faults.add({ match: { nth: 1 }, action: { trailing } });
    const upstream = upstreamAt(registry.url);
    expect((await upstream.getManifest(repository, latest, once, never())).digest).toBe(digest);
    await expect.poll(() => registry.openConnections, { timeout: 12_000 }).toBe(0);
    expect((await upstream.getManifest(repository, latest, once, never())).digest).toBe(digest);
  });
});

describe('blobs', () => {
  it('streams the whole blob with its size and strong tag', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    const transfer = await upstreamAt(registry.url).getBlob(repository, digest, { start: 0 }, never());
    expect(transfer).toMatchObject({ start: 0, sizeBytes: recipe.size, etag: `"${digest}"` });
    expect(transfer.body.isPaused() || transfer.body.readableFlowing === null).toBe(true);
    const hash = createHash('sha256');
    for await (const chunk of transfer.body) hash.update(chunk as Buffer);
    expect(`sha256:${hash.digest('hex')}`).toBe(digest);
  });

  it('goes on from where a transfer broke, under If-Range', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    const range = { start: 100_000, etag: `"${digest}"` };
    const transfer = await upstreamAt(registry.url).getBlob(repository, digest, range, never());
    expect(transfer).toMatchObject({ start: 100_000, sizeBytes: recipe.size });
    expect(registry.requests[0]?.headers).toMatchObject({
      range: 'bytes=100000-',
      'if-range': `"${digest}"`,
    });
    const bytes = Buffer.concat(await transfer.body.toArray());
    expect(bytes.equals(sourceBytes(generatedBlob(recipe)).subarray(100_000))).toBe(true);
  });

  it('starts at 0 when the upstream ignores the range', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    registry.faults.add({ action: { ignoreRange: true } });
    const transfer = await upstreamAt(registry.url).getBlob(
      repository,
      digest,
      { start: 100, end: 200 },
      never(),
    );
    expect(transfer).toMatchObject({ start: 0, sizeBytes: recipe.size });
    transfer.body.destroy();
  });

  it.each([
    ['another start', { serveRange: { start: 5, end: 200 } }],
    ['an end beyond what was asked', { serveRange: { start: 10, end: 200 } }],
    ['no Content-Range', { headers: { 'content-range': undefined } }],
    ['a Content-Range that cannot be', { headers: { 'content-range': 'bytes 10-99/50' } }],
    ['a Content-Length that disagrees', { headers: { 'content-range': 'bytes 10-98/300000' } }],
    ['two Content-Ranges', { headers: { 'content-range': ['bytes 10-99/300000', 'bytes 10-99/400000'] } }],
    ['a compressed part', { headers: { 'content-encoding': 'gzip' } }],
    ['a 204', { respond: { status: 204 } }],
    ['a 416', { respond: { status: 416 } }],
  ])('refuses a part with %s', async (_what, action) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    registry.faults.add({ action });
    const asked = upstreamAt(registry.url).getBlob(repository, digest, { start: 10, end: 100 }, never());
    expect((await failure(asked)).reason).toBe('protocol');
  });

  it('refuses a part that stops before the end it was asked for, and one that was not asked for', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    const upstream = upstreamAt(registry.url);
    registry.faults.add({ action: { serveRange: { start: 10, end: 100 } } });
    expect((await failure(upstream.getBlob(repository, digest, { start: 10 }, never()))).reason).toBe(
      'protocol',
    );
    expect((await failure(upstream.getBlob(repository, digest, { start: 0 }, never()))).reason).toBe(
      'protocol',
    );
  });

  it.each([
    ['in a body of declared length', { cutAfter: 1000 }],
    ['in a chunked body', { cutAfter: 1000, framing: 'chunked' }],
    ['by a reset', { cutAfter: 1000, cutWith: 'reset' }],
    ['before the first byte of the body', { cutAfter: 0 }],
    ['before the last byte of the body', { cutAfter: recipe.size - 1 }],
  ] as const)('fails the body, not the process, when the connection breaks %s', async (_where, action) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    registry.faults.add({ action });
    const { body } = await upstreamAt(registry.url).getBlob(repository, digest, { start: 0 }, never());
    expect(await failure(body.toArray())).toMatchObject({ name: 'UpstreamError', reason: 'unavailable' });
    expect(registry.requests).toHaveLength(1);
  });

  it('gives up the transfer when the signal aborts', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, { size: 64 * 1024 * 1024, seed: 2 });
    const controller = new AbortController();
    const { body } = await upstreamAt(registry.url).getBlob(
      repository,
      digest,
      { start: 0 },
      controller.signal,
    );
    controller.abort(new Error('the server stops'));
    expect(await failure(body.toArray())).toMatchObject({ name: 'UpstreamError', reason: 'unavailable' });
  });

  it('rejects with the signal’s reason before the headers', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { hang: true } });
    const controller = new AbortController();
    const reason = new Error('nobody waits any more');
    const digest = registry.addBlob(repository, recipe);
    const asked = failure(
      upstreamAt(registry.url).getBlob(repository, digest, { start: 0 }, controller.signal),
    );
    await registry.received();
    controller.abort(reason);
    expect(await asked).toBe(reason);
  });

  it('tells a blob’s size by HEAD and downloads nothing', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    expect(await upstreamAt(registry.url).headBlob(repository, digest, never())).toBe(recipe.size);
    expect(registry.requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  it.each([400, 403, 405, 501])('tells it by one byte where HEAD is answered %i', async (status) => {
    const registry = closeAfterTest(await FakeRegistry.start({ headRefused: status }));
    const digest = registry.addBlob(repository, recipe);
    expect(await upstreamAt(registry.url).headBlob(repository, digest, never())).toBe(recipe.size);
    expect(registry.requests.at(-1)).toMatchObject({ method: 'GET', headers: { range: 'bytes=0-0' } });
    expect(registry.blobBodyBytes()).toBe(1);
  });

  it('tells it by one byte where HEAD has no length, and by the whole’s length where ranges are ignored', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, { size: 64 * 1024 * 1024, seed: 3 });
    registry.faults.add({ match: { method: 'HEAD' }, action: { framing: 'chunked' } });
    const upstream = upstreamAt(registry.url);
    expect(await upstream.headBlob(repository, digest, never())).toBe(64 * 1024 * 1024);
    registry.faults.add({ match: { method: 'GET' }, action: { ignoreRange: true } });
    expect(await upstream.headBlob(repository, digest, never())).toBe(64 * 1024 * 1024);
    expect(registry.blobBodyBytes()).toBeLessThan(32 * 1024 * 1024);
  });

  it('takes no length of 0 for the size of a blob that is not empty', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, recipe);
    registry.faults.add({
      match: { method: 'HEAD' },
      action: { respond: { status: 200, headers: { 'content-length': '0' } } },
    });
    expect(await upstreamAt(registry.url).headBlob(repository, digest, never())).toBe(recipe.size);
    expect(registry.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
    registry.faults.add({
      match: { method: 'GET' },
      action: { respond: { status: 200, headers: { 'content-length': '0' } } },
    });
    expect(await upstreamAt(registry.url).headBlob(repository, digest, never())).toBeUndefined();
  });

  it.each(['sha256', 'sha512'] as const)('knows the size of the empty blob (%s)', async (algorithm) => {
    const digest = digestOf(Buffer.alloc(0), algorithm);
    const registry = closeAfterTest(await FakeRegistry.start());
    const ask = async () => upstreamAt(registry.url).headBlob(repository, digest, never());
    const head = registry.faults.add({
      match: { method: 'HEAD' },
      action: { respond: { status: 200, headers: { 'content-length': '0' } } },
    });
    expect(await ask()).toBe(0);
    head.remove();
    registry.faults.add({ match: { method: 'HEAD' }, action: { respond: { status: 405 } } });
    registry.faults.add({ match: { method: 'GET' }, action: { respond: { status: 416 } } });
    expect(await ask()).toBe(0);
    registry.faults.add({ match: { method: 'GET' }, action: { respond: { status: 200, body: '' } } });
    expect(await ask()).toBe(0);
    registry.faults.add({ match: { method: 'GET' }, action: { respond: { status: 404 } } });
    expect((await failure(ask())).reason).toBe('not-found');
  });

  it('needs no length to know the size of the empty blob', async () => {
    const digest = digestOf(Buffer.alloc(0));
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({
      match: { method: 'HEAD' },
      action: { raw: 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n', drop: 'end' },
    });
    expect(await upstreamAt(registry.url).headBlob(repository, digest, never())).toBe(0);
    expect(registry.count({ method: 'GET' })).toBe(0);
  });

  it('says not-found for a blob that is not there', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addBlob(repository, recipe);
    const absent = parseDigest(`sha256:${'b'.repeat(64)}`);
    const upstream = upstreamAt(registry.url);
    expect(await failure(upstream.headBlob(repository, absent, never()))).toMatchObject({
      reason: 'not-found',
      status: 404,
    });
    expect(await failure(upstream.getBlob(repository, absent, { start: 0 }, never()))).toMatchObject({
      reason: 'not-found',
    });
  });
});

describe('lists', () => {
  it.each(['relative', 'absolute'] as const)('reads all pages of tags by %s links', async (links) => {
    const registry = closeAfterTest(await FakeRegistry.start({ pageSize: 3, links }));
    const tags = Array.from({ length: 10 }, (_, index) => `v${index}`);
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, tags);
    expect(await upstreamAt(registry.url).listTags(repository, {}, never())).toEqual(tags);
    expect(registry.requests).toHaveLength(4);
    expect(registry.requests[0]?.query.get('n')).toBe('1000');
  });

  it('asks without a page size where 1000 is too many', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['a']);
    registry.faults.add({
      match: { where: ({ query }) => query.has('n') },
      action: { respond: { status: 400 } },
    });
    expect(await upstreamAt(registry.url).listTags(repository, {}, never())).toEqual(['a']);
  });

  it.each([
    ['another host', '<https://evil.example/v2/team/app/tags/list?last=a>; rel="next"'],
    ['another endpoint', '</v2/team/secret/_catalog?last=a>; rel="next"'],
    ['the page itself', '</v2/team/app/tags/list?n=1000>; rel="next"'],
  ])('refuses a next page at %s', async (_what, link) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['a']);
    registry.faults.add({ action: { headers: { link } } });
    expect((await failure(upstreamAt(registry.url).listTags(repository, {}, never()))).reason).toBe(
      'protocol',
    );
    expect(registry.requests).toHaveLength(1);
  });

  it('stops an upstream whose pages never end', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['a']);
    let page = 0;
    registry.faults.add({
      action: {
        get headers() {
          page += 1;
          return { link: `</v2/team/app/tags/list?last=${page}>; rel="next"` };
        },
      },
    });
    expect((await failure(upstreamAt(registry.url).listTags(repository, {}, never()))).reason).toBe(
      'protocol',
    );
    expect(registry.requests).toHaveLength(200);
  });

  it.each([
    ['{"name":"team/app","tags":null}', []],
    ['{"tags":["a","sha256:abc",7,"../x","b"]}', ['a', 'b']],
  ])('reads %s as a list', async (body, tags) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { respond: { status: 200, body } } });
    expect(await upstreamAt(registry.url).listTags(repository, {}, never())).toEqual(tags);
  });

  it.each(['<html>', '[]', '{"tags":"a"}', 'null'])('refuses %s as a list', async (body) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { respond: { status: 200, body } } });
    expect((await failure(upstreamAt(registry.url).listTags(repository, {}, never()))).reason).toBe(
      'protocol',
    );
  });

  it('stops an endless page', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['a']);
    registry.faults.add({ action: { endless: true } });
    expect((await failure(upstreamAt(registry.url).listTags(repository, {}, never()))).reason).toBe(
      'protocol',
    );
  });

  it('reads all pages of referrers as they are', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ pageSize: 1 }));
    const subject = registry.addManifest(repository, manifestText(), OCI_MANIFEST);
    const entries = ['1', '2'].map((digit) => ({
      mediaType: OCI_MANIFEST,
      digest: `sha256:${digit.repeat(64)}`,
      size: 7,
      artifactType: 'application/x-signature',
      annotations: { digit },
    }));
    for (const entry of entries) registry.addReferrer(repository, subject, entry);
    expect(await upstreamAt(registry.url).listReferrers(repository, subject, {}, never())).toEqual(entries);
  });

  it('takes no more than 8 MiB of referrers, over all pages', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ pageSize: 1 }));
    const subject = registry.addManifest(repository, manifestText(), OCI_MANIFEST);
    for (const digit of ['1', '2', '3', '4', '5']) {
      registry.addReferrer(repository, subject, {
        mediaType: OCI_MANIFEST,
        digest: `sha256:${digit.repeat(64)}`,
        size: 7,
        annotations: { long: 'x'.repeat(3 * 1024 * 1024) },
      });
    }
    const error = await failure(upstreamAt(registry.url).listReferrers(repository, subject, {}, never()));
    expect(error.reason).toBe('protocol');
    expect(registry.count({ path: /referrers/ })).toBe(3);
  });

  it.each([
    ['404', { respond: { status: 404 } }],
    ['405', { respond: { status: 405 } }],
    ['a login page', { respond: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' } }],
  ])('says not-found when referrers are answered by %s', async (_what, action) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const subject = registry.addManifest(repository, manifestText(), OCI_MANIFEST);
    registry.faults.add({ action });
    expect(
      (await failure(upstreamAt(registry.url).listReferrers(repository, subject, {}, never()))).reason,
    ).toBe('not-found');
  });
});

describe('statuses', () => {
  it.each([
    [401, 'not-found', 'denied'],
    [403, 'not-found', 'denied'],
    [404, 'not-found', 'not-found'],
    [418, 'protocol', 'protocol'],
    [429, 'rate-limited', 'rate-limited'],
    [500, 'unavailable', 'unavailable'],
    [503, 'unavailable', 'unavailable'],
    [304, 'protocol', 'protocol'],
  ])('takes a %i as %s without and as %s with credentials', async (status, anonymous, signedIn) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { respond: { status } } });
    const auth = { username: 'robot', password: 'x' };
    const name = parseRepositoryName('a/b');
    const errors = [
      await failure(upstreamAt(registry.url).getManifest(name, latest, once, never())),
      await failure(upstreamAt(registry.url, { auth }).getManifest(name, latest, once, never())),
    ];
    expect(errors.map(({ reason }) => reason)).toEqual([anonymous, signedIn]);
    expect(errors[0]?.status).toBe(status);
  });

  it('keeps its connection over refusals, redirects and misses', async () => {
    const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode: 'bearer' } }));
    registry.addManifest(repository, manifestText(), OCI_MANIFEST, ['latest']);
    const upstream = upstreamAt(registry.url);
    for (let count = 0; count < 5; count += 1) {
      await upstream.getManifest(repository, latest, once, never());
      await upstream.headManifest(repository, latest, once, never());
      await failure(upstream.getManifest(repository, parseReference('absent'), once, never()));
      await failure(upstream.getManifest(parseRepositoryName('no/such'), latest, once, never()));
    }
    // One more at most: a body may still be running out when the next request is made.
    expect(registry.connections).toBeLessThanOrEqual(2);
  });

  it('leaves no connection open to transfers that were given up', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const digest = registry.addBlob(repository, { size: 64 * 1024 * 1024, seed: 9 });
    const upstream = upstreamAt(registry.url);
    for (let count = 0; count < 10; count += 1) {
      const { body } = await upstream.getBlob(repository, digest, { start: 0 }, never());
      body.destroy();
    }
    await expect.poll(() => registry.openConnections, { timeout: 12_000 }).toBe(0);
  });

  it('fails calls after close', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const upstream = upstreamAt(registry.url);
    await upstream.close();
    expect((await failure(upstream.getManifest(repository, latest, accept, never()))).reason).toBe(
      'unavailable',
    );
    expect(registry.requests).toHaveLength(0);
  });

  it('fails calls in flight on close', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    registry.faults.add({ action: { hang: true } });
    const upstream = upstreamAt(registry.url);
    const asked = failure(upstream.getManifest(repository, latest, accept, never()));
    await registry.received();
    await upstream.close();
    expect((await asked).reason).toBe('unavailable');
  });
});
