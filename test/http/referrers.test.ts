import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { OCI_INDEX } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import type { FakeRegistryBehaviour } from '../support/fake-registry-behaviour.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const SIGNATURE = 'application/vnd.example.signature';
const OTHER = 'application/vnd.example.other';
const SBOM = 'application/vnd.example.sbom';

interface Setup {
  readonly registry: FakeRegistry;
  readonly clock: FakeClock;
  readonly referrers: readonly Record<string, unknown>[];
  readonly list: (query?: string, subject?: string, repository?: string) => Promise<GetResult>;
}

/** A subject with a signature, two SBOMs and something else. */
async function start(behaviour: FakeRegistryBehaviour = {}): Promise<Setup> {
  const registry = closeAfterTest(await FakeRegistry.start(behaviour));
  const type = 'application/vnd.oci.image.manifest.v1+json';
  const subject: Digest = registry.addManifest('library/app', '{}', type, ['v1']);
  const referrers = [SIGNATURE, SBOM, SBOM, OTHER].map((artifactType, at) => ({
    mediaType: type,
    digest: digestOf(Buffer.from(`referrer ${at}`)),
    size: 10,
    artifactType,
    annotations: { at: String(at) },
  }));
  for (const referrer of referrers) registry.addReferrer('library/app', subject, referrer);
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], clock });
  return {
    registry,
    clock,
    referrers,
    list: async (query = '', of = subject, repository = 'app') =>
      get(`${app.url}/v2/${repository}/referrers/${of}${query}`),
  };
}

function manifestsOf({ body }: GetResult): unknown {
  const { manifests, ...others } = JSON.parse(body.toString()) as { manifests: unknown };
  expect(others).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX });
  return manifests;
}

describe('referrers', () => {
  it('are an image index of the upstream’s descriptors as they are', async () => {
    const { list, referrers } = await start();
    const answer = await list();
    expect([answer.status, answer.headers['content-type']]).toEqual([200, OCI_INDEX]);
    expect(manifestsOf(answer)).toEqual(referrers);
    expect(answer.headers['oci-filters-applied']).toBeUndefined();
  });

  it('are filtered by artifactType here, and the answer says so', async () => {
    const { list, referrers, registry } = await start();
    const of = async (query: string): Promise<unknown> => {
      const answer = await list(query);
      expect(answer.headers['oci-filters-applied']).toBe('artifactType');
      return manifestsOf(answer);
    };
    expect(await of(`?artifactType=${SBOM}`)).toEqual(referrers.slice(1, 3));
    expect(await of(`?artifactType=${encodeURIComponent(SIGNATURE)}`)).toEqual(referrers.slice(0, 1));
    expect(await of(`?artifactType=${SBOM}&artifactType=${SIGNATURE}`)).toEqual(referrers.slice(0, 3));
    expect(await of('?artifactType=none')).toEqual([]);
    expect(registry.count({ path: /referrers/ })).toBe(1);
  });

  it('of a subject that has none are an empty index', async () => {
    const { list } = await start();
    const answer = await list('', `sha256:${'b'.repeat(64)}`);
    expect([answer.status, manifestsOf(answer)]).toEqual([200, []]);
  });

  it('of a subject that had none are an empty index, as stale, while the upstream is in trouble', async () => {
    const { list, registry, clock } = await start();
    const [bare, unasked] = [`sha256:${'b'.repeat(64)}`, `sha256:${'c'.repeat(64)}`];
    await list('', bare);
    // It is never taken for fresh: a signature may come any moment.
    expect((await list('', bare)).headers['x-cache']).toBe('MISS');
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '3600' } } } });
    await clock.advance(90_000);
    const answer = await list('', bare);
    expect([answer.status, manifestsOf(answer)]).toEqual([200, []]);
    expect([answer.headers['x-cache'], answer.headers.age]).toEqual(['STALE', '90']);
    expect((await list('', unasked)).status).toBe(503);
  });

  it('are gathered from all pages of the upstream', async () => {
    const { list, referrers, registry } = await start({ pageSize: 1 });
    expect(manifestsOf(await list())).toEqual(referrers);
    expect(registry.count({ path: /referrers/ })).toBe(4);
  });

  it('are answered from here for as long as a tag is, then asked for again', async () => {
    const { list, registry, clock } = await start();
    expect((await list()).headers['x-cache']).toBe('MISS');
    await clock.advance(59_000);
    const second = await list();
    expect([second.headers['x-cache'], second.headers.age]).toEqual(['HIT', '59']);
    await clock.advance(2000);
    expect((await list()).headers['x-cache']).toBe('MISS');
    expect(registry.count({ path: /referrers/ })).toBe(2);
  });

  it('are served stale, filtered too, while the upstream is in trouble', async () => {
    const { list, registry, referrers, clock } = await start();
    await list();
    await clock.advance(90_000);
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '3600' } } } });
    const answer = await list(`?artifactType=${SIGNATURE}`);
    expect([answer.status, manifestsOf(answer)]).toEqual([200, referrers.slice(0, 1)]);
    expect([answer.headers['x-cache'], answer.headers.age]).toEqual(['STALE', '90']);
    expect(answer.headers.warning).toMatch(/^110 - .*299 - /);
  });
});

describe('an upstream without referrers', () => {
  it('is 404 with a code that makes clients use the fall-back tag', async () => {
    const { list } = await start({ referrers: false });
    const answer = await list();
    expect(answer.status).toBe(404);
    const { errors } = JSON.parse(answer.body.toString()) as { errors: { code: string }[] };
    expect(errors.map(({ code }) => code)).toEqual(['MANIFEST_UNKNOWN']);
  });

  it('is 404 also while it is in trouble, so that the fall-back tag that is held here is found', async () => {
    const { list, registry, clock } = await start({ referrers: false });
    expect((await list()).status).toBe(404);
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '3600' } } } });
    await clock.advance(90_000);
    const answer = await list();
    expect(answer.status).toBe(404);
    expect(answer.body.toString()).toContain('MANIFEST_UNKNOWN');
    // Of another repository nothing is known, nor of this one for ever.
    expect((await list('', undefined, 'other')).status).toBe(503);
    await clock.advance(31 * 24 * 3_600_000);
    expect((await list()).status).toBe(503);
  });

  it('is asked each time all the same, since it may have them by now', async () => {
    const { list, registry, referrers } = await start({ referrers: false });
    expect((await list()).status).toBe(404);
    registry.configure({ referrers: true });
    expect(manifestsOf(await list())).toEqual(referrers);
  });

  it('that answers with a web page is 404 too, and the page is not kept', async () => {
    const { list, registry, referrers } = await start();
    const page = registry.faults.add({
      action: {
        respond: { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>hello</html>' },
      },
    });
    const answer = await list();
    expect([answer.status, answer.headers['content-type']]).toEqual([404, 'application/json']);
    expect(answer.body.toString()).not.toMatch(/html|NAME_UNKNOWN/);
    page.remove();
    expect(manifestsOf(await list())).toEqual(referrers);
  });
});
