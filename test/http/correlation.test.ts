import { describe, expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningAppOptions, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage();

async function start(options: Partial<RunningAppOptions> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode: 'bearer' } }));
  pushTo(registry, { repository: 'library/app', tag: 'latest', image: IMAGE });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }], ...options });
  const ask = async (path: string) => {
    const { headers, status } = await get(`${app.url}/v2/${path}`);
    return { id: headers['x-request-id'], status };
  };
  /** Of requests that are over, what their lines say. */
  const accessed = () => app.logLines.filter(({ bytes, kind }) => bytes !== undefined && kind !== undefined);
  return { registry, app, ask, accessed };
}

describe('lines of what was asked upstream', () => {
  it('name the request that it was for', async () => {
    const { registry, app, ask } = await start();
    const upstreamLines = () => app.logLines.filter(({ msg }) => msg === 'upstream request');
    const of = (id: unknown) =>
      upstreamLines()
        .filter(({ request }) => request === id)
        .map(({ kind, method }) => `${String(method)} ${String(kind)}`);
    const manifest = await ask('library/app/manifests/latest');
    expect(of(manifest.id).filter((line) => line.endsWith('manifest'))).toEqual([
      'HEAD manifest',
      'HEAD manifest',
      'GET manifest',
    ]);
    const [layer] = IMAGE.blobs;
    const blob = await ask(`library/app/blobs/${layer?.digest}`);
    expect(of(blob.id)).toContain('GET blob');
    const tags = await ask('library/app/tags/list');
    expect(of(tags.id)).toEqual(['GET tags']);
    const cached = await ask('library/app/manifests/latest');
    expect(of(cached.id)).toEqual([]);
    registry.faults.add({ match: { method: 'GET', path: /blobs/ }, action: { flipBitAt: 10 } });
    const bad = await ask(`library/app/blobs/${IMAGE.blobs[1]?.digest}`);
    const failed = await vi.waitFor(() => {
      const line = app.logLines.find(({ msg }) => msg === 'a fill failed; nothing of it is cached');
      if (line === undefined) throw new Error('there is no line yet');
      return line;
    }, SOON);
    expect(failed['request']).toBe(bad.id);
  });

  it('name the one that began it, where several wait', async () => {
    const { app, ask } = await start();
    const answers = await Promise.all([1, 2, 3].map(() => ask('library/app/tags/list')));
    const lines = app.logLines.filter(({ msg, kind }) => msg === 'upstream request' && kind === 'tags');
    expect(new Set(lines.map(({ request }) => request)).size).toBe(1);
    expect(answers.map(({ id }) => id)).toContain(lines[0]?.['request']);
  });
});

describe('log.access', () => {
  it.each([
    ['all', ['miss', 'hit', undefined, undefined]],
    ['misses', ['miss', undefined]],
    ['errors', [undefined]],
    ['none', []],
  ] as const)('%s', async (accessLog, outcomes) => {
    const { app, ask, accessed } = await start({ accessLog });
    for (const path of [
      'library/app/manifests/latest',
      'library/app/manifests/latest',
      '',
      'library/app/blobs/bad',
    ])
      await ask(path);
    await vi.waitFor(async () => {
      const { body } = await get(`${app.adminUrl}/api/v1/activity/recent`);
      expect((JSON.parse(body.toString()) as { requests: object[] }).requests).toHaveLength(4);
    }, SOON);
    expect(accessed().map(({ outcome }) => outcome)).toEqual(outcomes);
  });
});
