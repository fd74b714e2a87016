import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { FakeRegistryBehaviour } from '../support/fake-registry-behaviour.ts';
import type { FaultAction } from '../support/fault.ts';
import { Gate } from '../support/gate.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const MINUTE_MS = 60_000;
const MANIFESTS = /\/manifests\//;
const TYPES = ['oci', 'docker'] as const;

async function start(behaviour: FakeRegistryBehaviour = {}, maxStaleMs = 30 * 24 * 3_600_000) {
  const registry = closeAfterTest(await FakeRegistry.start(behaviour));
  const image = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });
  pushTo(registry, { repository: 'library/app', tag: 'latest', image });
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url, maxStaleMs }], clock });
  const url = (reference: string) => `${app.url}/v2/library/app/manifests/${reference}`;
  const ask = (reference: string, headers: Record<string, string> = {}, method = 'GET') =>
    get(url(reference), { headers, method });
  const gets = () => registry.count({ path: MANIFESTS, method: 'GET' });
  const heads = () => registry.count({ path: MANIFESTS, method: 'HEAD' });
  /** For requests whose upstream tries wait on the clock. */
  const patiently = async (asking: Promise<GetResult>): Promise<GetResult> => {
    const state = { isOver: false };
    const answer = asking.finally(() => {
      state.isOver = true;
    });
    while (!state.isOver) {
      if (clock.nextWakeMs === undefined) await nextTurn();
      else await clock.advance(Math.min(clock.nextWakeMs, 500));
    }
    return answer;
  };
  return { registry, image, clock, app, ask, gets, heads, patiently };
}

function codesOf({ body }: GetResult): string[] {
  const { errors } = JSON.parse(body.toString()) as { errors: { code: string }[] };
  return errors.map(({ code }) => code);
}

describe('a manifest', () => {
  it.each(TYPES)('of the %s kinds is sent byte for byte under the type it came with', async (flavour) => {
    const { registry, ask } = await start();
    const image = buildImage({ flavour, platforms: ['linux/amd64', 'linux/arm64'], seed: 7 });
    pushTo(registry, { repository: 'library/app', tag: 'exact', image });
    for (const { digest, bytes, mediaType } of [image.root, ...image.manifests]) {
      for (let round = 0; round < 2; round += 1) {
        const result = await ask(digest);
        expect(result).toMatchObject({ status: 200, complete: true });
        expect(result.body.equals(bytes)).toBe(true);
        expect(result.headers).toMatchObject({
          'content-type': mediaType,
          'content-length': String(bytes.length),
          'docker-content-digest': digest,
          etag: `"${digest}"`,
          'docker-distribution-api-version': 'registry/2.0',
          'x-cache': round === 0 ? 'MISS' : 'HIT',
        });
        expect(result.headers.age).toBeUndefined();
      }
    }
  });

  it('by digest is asked for once, though its tags and its time pass', async () => {
    const { app, registry, image, ask, clock, gets, heads } = await start();
    await ask(image.root.digest);
    // The index forgets what is not stored.
    await vi.waitFor(
      async () =>
        expect((await get(`${app.adminUrl}/api/v1/status`)).body.toString()).toContain('"blobs":1,'),
      SOON,
    );
    await clock.advance(365 * 24 * 60 * MINUTE_MS);
    registry.untag('library/app', 'latest');
    for (const method of ['GET', 'HEAD']) {
      expect((await ask(image.root.digest, {}, method)).headers['x-cache']).toBe('HIT');
    }
    expect([gets(), heads()]).toEqual([1, 0]);
  });

  it('by digest is what it is, whatever single type a client like crane says it takes', async () => {
    const { image, ask, gets } = await start();
    for (const accept of [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST_LIST, 'application/json']) {
      const result = await ask(image.root.digest, { accept });
      expect(result).toMatchObject({ status: 200, digest: image.root.digest });
      expect(result.headers['content-type']).toBe(OCI_INDEX);
    }
    expect(gets()).toBe(1);
  });

  it('is 304 to who has it, cached or not, and is not downloaded for that', async () => {
    const { image, ask, gets } = await start();
    const etag = `"${image.root.digest}"`;
    for (const reference of ['latest', image.root.digest]) {
      for (const method of ['GET', 'HEAD']) {
        const result = await ask(reference, { 'if-none-match': etag }, method);
        expect(result).toMatchObject({ status: 304, length: 0, complete: true });
        expect(result.headers).toMatchObject({ etag, 'docker-content-digest': image.root.digest });
      }
    }
    expect(gets()).toBe(0);
    expect(await ask('latest', { 'if-none-match': '"other"' })).toMatchObject({
      status: 200,
      digest: image.root.digest,
    });
    expect(gets()).toBe(1);
    expect((await ask('latest', { 'if-none-match': etag })).status).toBe(304);
  });

  it('that is not cached is described by HEAD alone', async () => {
    const { image, ask, gets } = await start();
    for (const reference of ['latest', image.root.digest]) {
      const head = await ask(reference, {}, 'HEAD');
      expect(head).toMatchObject({ status: 200, length: 0 });
      expect(head.headers).toMatchObject({
        'content-length': String(image.root.size),
        'content-type': OCI_INDEX,
        'docker-content-digest': image.root.digest,
      });
    }
    expect(gets()).toBe(0);
  });

  it.each<[string, FakeRegistryBehaviour]>([
    ['refuses HEAD by 405', { headRefused: 405 }],
    ['refuses HEAD by 400', { headRefused: 400 }],
    ['tells no digest', { omitContentDigest: true }],
    ['tells no length', { omitContentLength: true }],
    ['tells neither digest nor tag', { omitContentDigest: true, omitEtag: true }],
  ])('comes from an upstream that %s, and is a hit within its time', async (_what, behaviour) => {
    const { image, ask, clock, gets } = await start(behaviour);
    for (const method of ['HEAD', 'GET', 'GET', 'HEAD']) {
      const result = await ask('latest', {}, method);
      expect(result.status).toBe(200);
      expect(result.headers['docker-content-digest']).toBe(image.root.digest);
      expect(result.headers['content-length']).toBe(String(image.root.size));
    }
    expect(gets()).toBe(1);
    await clock.advance(2 * MINUTE_MS);
    expect(await ask('latest')).toMatchObject({ status: 200, digest: image.root.digest });
    expect(gets()).toBeLessThanOrEqual(2);
  });
});

describe('a tag', () => {
  it('is answered for its time without asking, then confirmed by one HEAD and no GET', async () => {
    const { ask, clock, gets, heads } = await start();
    expect((await ask('latest')).headers).toMatchObject({ 'x-cache': 'MISS', age: '0' });
    await clock.advance(59_000);
    expect((await ask('latest')).headers).toMatchObject({ 'x-cache': 'HIT', age: '59' });
    expect([gets(), heads()]).toEqual([1, 1]);
    await clock.advance(1000);
    expect((await ask('latest')).headers).toMatchObject({ 'x-cache': 'REVALIDATED', age: '0' });
    expect((await ask('latest')).headers['x-cache']).toBe('HIT');
    expect([gets(), heads()]).toEqual([1, 2]);
  });

  it('is asked for once by however many clients ask at the same time', async () => {
    const { registry, ask, clock, gets, heads } = await start();
    const gate = new Gate();
    registry.faults.add({ match: { path: MANIFESTS, method: 'HEAD' }, action: { gate } });
    const all = async () => {
      const asking = Array.from({ length: 30 }, () => ask('latest'));
      await gate.arrived();
      gate.open();
      const results = await Promise.all(asking);
      expect(results.map(({ status }) => status)).toEqual(results.map(() => 200));
    };
    await all();
    expect([gets(), heads()]).toEqual([1, 1]);
    await clock.advance(MINUTE_MS);
    await all();
    expect([gets(), heads()]).toEqual([1, 2]);
  });

  it('that moved is fetched by the digest that HEAD gave', async () => {
    const { registry, ask, clock, gets } = await start();
    await ask('latest');
    const next = buildImage({ seed: 2 });
    pushTo(registry, { repository: 'library/app', tag: 'latest', image: next });
    expect((await ask('latest')).headers['x-cache']).toBe('HIT');
    await clock.advance(MINUTE_MS);
    expect(await ask('latest')).toMatchObject({ status: 200, digest: next.root.digest });
    expect(gets()).toBe(2);
    const paths = registry.requests.filter(({ method }) => method === 'GET').map(({ path }) => path);
    expect(paths.at(-1)).toBe(`/v2/library/app/manifests/${next.root.digest}`);
  });

  it.each<[string, FaultAction | 'stop']>([
    ['unreachable', 'stop'],
    ['resetting', { drop: 'reset' }],
    ['at 500', { respond: { status: 500 } }],
    ['at 502', { respond: { status: 502, body: '<html>' } }],
    ['at 503', { respond: { status: 503, headers: { 'retry-after': '600' } } }],
    ['at 429', { respond: { status: 429, headers: { 'retry-after': '600' } } }],
    ['at 429 without a time', { respond: { status: 429 } }],
  ])('is stale, and says so, while the upstream is %s', async (_what, trouble) => {
    const { registry, image, ask, clock, patiently } = await start();
    await ask('latest');
    if (trouble === 'stop') await registry.stop();
    else registry.faults.add({ action: trouble });
    await clock.advance(2 * MINUTE_MS);
    for (const method of ['GET', 'HEAD']) {
      const result = await patiently(ask('latest', {}, method));
      expect(result.status).toBe(200);
      expect(result.headers).toMatchObject({
        'x-cache': 'STALE',
        'docker-content-digest': image.root.digest,
      });
      expect(Number(result.headers.age)).toBeGreaterThanOrEqual(120);
      const warnings = String(result.headers.warning);
      expect(warnings).toMatch(/110 - "/);
      expect(warnings).toMatch(/299 - "/);
    }
    expect(await patiently(ask(image.root.digest))).toMatchObject({ status: 200 });
  });

  it('is stale no longer than the configuration lets it be', async () => {
    const { registry, ask, clock, patiently } = await start({}, 10 * MINUTE_MS);
    await ask('latest');
    await registry.stop();
    await clock.advance(9 * MINUTE_MS);
    expect((await patiently(ask('latest'))).headers['x-cache']).toBe('STALE');
    await clock.advance(2 * MINUTE_MS);
    const refused = await patiently(ask('latest'));
    expect(refused.status).toBe(503);
    expect(codesOf(refused)).toEqual(['UNAVAILABLE']);
    expect(refused.headers['retry-after']).toMatch(/^\d+$/);
  });

  it.each([
    [401, 404, 'MANIFEST_UNKNOWN'],
    [403, 404, 'MANIFEST_UNKNOWN'],
    [404, 404, 'MANIFEST_UNKNOWN'],
  ])('that the upstream answers with %i is %i in our own words, copy or not', async (theirs, ours, code) => {
    const { registry, ask, clock } = await start();
    const headers = { 'www-authenticate': 'Basic realm="theirs"', 'x-secret': 'theirs' };
    const refuse = () =>
      registry.faults.add({
        match: { path: MANIFESTS },
        action: { respond: { status: theirs, headers, body: 'their words' } },
      });
    const first = refuse();
    const check = (result: GetResult) => {
      expect(result.status).toBe(ours);
      expect(result.headers['www-authenticate']).toBeUndefined();
      expect(result.headers['x-secret']).toBeUndefined();
      expect(result.headers['content-type']).toBe('application/json');
      expect(codesOf(result)).toEqual([code]);
      expect(result.body.toString()).not.toContain('their words');
    };
    check(await ask('latest'));
    first.remove();
    expect((await ask('latest')).status).toBe(200);
    await clock.advance(MINUTE_MS);
    const second = refuse();
    check(await ask('latest'));
    second.remove();
    expect((await ask('latest')).status).toBe(200);
  });

  it('that is gone upstream is forgotten: it is not served stale afterwards', async () => {
    const { registry, image, ask, clock, patiently } = await start();
    await ask('latest');
    registry.untag('library/app', 'latest');
    await clock.advance(MINUTE_MS);
    expect((await ask('latest')).status).toBe(404);
    await registry.stop();
    const later = await patiently(ask('latest'));
    expect(later.status).toBe(503);
    expect((await patiently(ask(image.root.digest))).status).toBe(200);
  });

  it('fails to nothing else than the next question: an error is not remembered', async () => {
    const { registry, image, ask } = await start();
    registry.faults.add({ match: { path: MANIFESTS, nth: 1 }, action: { respond: { status: 404 } } });
    expect((await ask('latest')).status).toBe(404);
    expect(await ask('latest')).toMatchObject({ status: 200, digest: image.root.digest });
  });
});

const doc = (fields: object, mediaType = OCI_MANIFEST) => ({
  body: JSON.stringify({ schemaVersion: 2, ...fields }),
  headers: { 'content-type': mediaType },
});

describe('an upstream that sends what is no manifest', () => {
  const html = { body: '<html>sign in</html>', headers: { 'content-type': 'text/html' } };
  const empty = digestOf(Buffer.from('{}'));
  const config = { mediaType: 'application/json', digest: empty, size: 2 };

  it.each<[string, { body: string | Buffer; headers: Record<string, string> }]>([
    ['a web page', html],
    ['a web page called a manifest', { ...html, headers: { 'content-type': OCI_MANIFEST } }],
    ['nothing', { body: '', headers: { 'content-type': OCI_MANIFEST } }],
    ['a manifest that is an index too', doc({ config, layers: [], manifests: [] })],
    ['an index that is a manifest too', doc({ manifests: [], layers: [] }, OCI_INDEX)],
    ['another type inside than outside', doc({ mediaType: OCI_INDEX, manifests: [] }, OCI_MANIFEST)],
    ['no type at all', { body: '{"schemaVersion":2}', headers: {} }],
    [
      'a schema 1 manifest',
      doc({ fsLayers: [] }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'),
    ],
    ['a list of lists', { body: '['.repeat(100_000), headers: { 'content-type': OCI_MANIFEST } }],
    ['more than 4 MiB', doc({ config, layers: [], annotations: { x: 'x'.repeat(4 * 1024 * 1024) } })],
    [
      'two digests for it',
      {
        body: '{"schemaVersion":2}',
        headers: {
          'content-type': OCI_MANIFEST,
          'docker-content-digest': `${empty}, ${digestOf(Buffer.from('x'))}`,
        },
      },
    ],
    [
      'another digest for it',
      {
        body: '{"schemaVersion":2}',
        headers: { 'content-type': OCI_MANIFEST, 'docker-content-digest': empty },
      },
    ],
  ])('but %s gets a 502, and nothing of it is kept', async (_what, { body, headers }) => {
    const { registry, ask, app } = await start({ headRefused: 405 });
    const bad = registry.faults.add({
      match: { path: MANIFESTS, method: 'GET' },
      action: { respond: { status: 200, headers, body } },
    });
    for (const reference of ['bad', digestOf(Buffer.from(body))]) {
      const result = await ask(reference);
      // By digest the bytes are right: only their meaning can be wrong.
      expect(result.status).toBe(502);
      expect(codesOf(result)).toEqual(['UNAVAILABLE']);
    }
    bad.remove();
    expect((await ask('bad')).status).toBe(404);
    const { body: metrics } = await get(`${app.adminUrl}/metrics`);
    expect(metrics.toString()).toContain('entrepot_store_blobs 0\n');
  });

  it.each<[string, FaultAction]>([
    ['other bytes than its digest names', { flipBitAt: 100 }],
    ['it compressed', { gzip: true }],
  ])('but %s gets a 502, and nothing of it is kept', async (_what, action) => {
    const { registry, image, ask } = await start();
    const bad = registry.faults.add({ match: { path: MANIFESTS, method: 'GET' }, action });
    for (const reference of ['latest', image.root.digest]) {
      const result = await ask(reference);
      expect(result.status).toBe(502);
      expect(codesOf(result)).toEqual(['UNAVAILABLE']);
    }
    bad.remove();
    const good = await ask('latest');
    expect(good).toMatchObject({ status: 200, digest: image.root.digest });
    expect(good.headers['x-cache']).toBe('MISS');
  });
});

/** As the reference registry does: a client that takes no index gets one platform's manifest. */
async function startConverting() {
  const started = await start();
  const { registry, image } = started;
  const [single] = image.manifests;
  if (single === undefined) throw new Error('an image without manifests');
  const headers = { 'content-type': OCI_MANIFEST, 'docker-content-digest': single.digest };
  const respond = { status: 200, headers, body: single.bytes };
  registry.faults.add({
    match: {
      path: /\/manifests\/latest$/,
      where: (request) => request.headers.accept?.includes('index') === false,
    },
    action: { respond },
  });
  return { ...started, single };
}

describe('a tag that means an index', () => {
  const ALL = `${OCI_INDEX}, ${OCI_MANIFEST}`;

  it.each([
    ['index', 'single', 'index', 'single'],
    ['single', 'index', 'single', 'index'],
    ['single', 'single', 'index', 'index'],
  ])('is to each what it takes, in the order %s %s %s %s, and stays so', async (...order) => {
    const { image, single, ask, clock, registry, patiently } = await startConverting();
    const check = async () => {
      for (const who of order) {
        const accept = who === 'index' ? ALL : OCI_MANIFEST;
        const expected = who === 'index' ? image.root : single;
        for (const method of ['GET', 'HEAD', 'GET']) {
          const result = await patiently(ask('latest', { accept }, method));
          expect(result.status).toBe(200);
          expect(result.headers['content-type']).toBe(expected.mediaType);
          expect(result.headers['docker-content-digest']).toBe(expected.digest);
          if (method === 'GET') expect(result.digest).toBe(expected.digest);
        }
      }
    };
    await check();
    await clock.advance(2 * MINUTE_MS);
    await check();
    await clock.advance(2 * MINUTE_MS);
    await registry.stop();
    await check();
  });

  it('is not forgotten because the upstream has nothing for a client that takes less', async () => {
    const { registry, image, ask, clock, patiently } = await start();
    registry.faults.add({
      match: { path: MANIFESTS, where: ({ headers }) => headers.accept?.includes('index') === false },
      action: { respond: { status: 404 } },
    });
    await ask('latest');
    for (const method of ['GET', 'HEAD']) {
      expect((await ask('latest', { accept: OCI_MANIFEST }, method)).status).toBe(404);
    }
    await registry.stop();
    await clock.advance(2 * MINUTE_MS);
    const result = await patiently(ask('latest'));
    expect(result).toMatchObject({ status: 200, digest: image.root.digest });
  });
});
