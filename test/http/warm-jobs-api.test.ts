import { describe, expect, it, vi } from 'vitest';
import { type WarmJob, warmJob } from '../../src/warm/warm-events.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ layerSizes: [300_000] });

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
  const ask = async (path: string, body?: object) => {
    const answer = await fetch(`${app.adminUrl}/api/v1/${path}`, {
      ...(body && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    return { status: answer.status, document: await answer.json() };
  };
  const jobs = async () => ((await ask('warm/jobs')).document as { jobs: WarmJob[] }).jobs;
  const begin = async (body: object) => warmJob.parse((await ask('warm/jobs', body)).document);
  return { registry, app, ask, jobs, begin };
}

/** A registry whose large blob does not come to its end before the gate is opened. */
function hold(registry: FakeRegistry): Gate {
  const gate = new Gate();
  registry.faults.add({ match: { path: /blobs/ }, action: { stallAfter: { bytes: 100_000, gate } } });
  return gate;
}

describe('warm jobs', () => {
  it('run without anybody waiting for them, tell how far they are, and are told of after their end', async () => {
    const { registry, ask, jobs, begin } = await start();
    const gate = hold(registry);
    const begun = await begin({ images: ['app:v1'] });
    expect(begun).toMatchObject({
      state: 'running',
      title: 'docker.io/library/app:v1',
      images: { done: 0, failed: 0, total: 1 },
    });
    await vi.waitFor(async () => expect((await jobs())[0]?.totalBytes).toBeGreaterThan(300_000), SOON);
    gate.open();
    await vi.waitFor(async () => {
      const { document } = await ask(`warm/jobs/${begun.id}`);
      expect(warmJob.parse(document)).toMatchObject({
        state: 'done',
        images: { done: 1, failed: 0, total: 1 },
        endedAt: expect.any(Number),
        failureCount: 0,
      });
    }, SOON);
    expect((await jobs()).map(({ id }) => id)).toEqual([begun.id]);
  });

  it('are cancelled, and keep what they stored', async () => {
    const { registry, ask, jobs, begin } = await start();
    hold(registry);
    const { id } = await begin({ images: ['app:v1'] });
    await vi.waitFor(
      () => expect(registry.requests.some(({ path }) => path.includes('blobs'))).toBe(true),
      SOON,
    );
    expect((await ask(`warm/jobs/${id}/cancel`, {})).document).toMatchObject({ id, state: 'cancelled' });
    expect((await ask(`warm/jobs/${id}/cancel`, {})).document).toMatchObject({ id, state: 'cancelled' });
    expect((await jobs()).map(({ state }) => state)).toEqual(['cancelled']);
    await expect.poll(async () => (await ask('images')).document).toMatchObject({ total: 1 });
  });

  it('are those of commands, too, which are told when somebody cancels them', async () => {
    const { registry, app, ask, jobs } = await start();
    hold(registry);
    const followed = fetch(`${app.adminUrl}/api/v1/warm`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ targets: [{ upstream: 'docker.io', repository: 'library/app', tag: 'v1' }] }),
    });
    await vi.waitFor(async () => expect(await jobs()).toHaveLength(1), SOON);
    await vi.waitFor(
      () => expect(registry.requests.some(({ path }) => path.includes('blobs'))).toBe(true),
      SOON,
    );
    const [job] = await jobs();
    await ask(`warm/jobs/${job?.id}/cancel`, {});
    expect(await (await followed).text()).toContain('"message":"the warm job was cancelled"');
  });

  it('tell what failed', async () => {
    const { begin, ask } = await start();
    const { id } = await begin({ images: ['app:none', 'app:v1'] });
    await vi.waitFor(
      async () =>
        expect((await ask(`warm/jobs/${id}`)).document).toMatchObject({
          state: 'done',
          title: 'docker.io/library/app:none and 1 more',
          images: { done: 2, failed: 1, total: 2 },
          failureCount: 1,
          failures: [{ image: 'docker.io/library/app:none', reason: 'not-found' }],
        }),
      SOON,
    );
  });

  it('are so many at the same time, and fifty are remembered', async () => {
    const { registry, begin, ask, jobs } = await start();
    for (let at = 0; at < 60; at += 1) {
      const { id } = await begin({ images: ['app:none'], dryRun: true });
      await ask(`warm/jobs/${id}/cancel`, {});
    }
    expect((await jobs()).length).toBe(50);
    hold(registry);
    for (let at = 0; at < 16; at += 1) await begin({ images: ['app:v1'] });
    expect(await ask('warm/jobs', { images: ['app:v1'] })).toMatchObject({
      status: 429,
      document: { reason: 'busy', detail: '16 warm jobs are running; try again later' },
    });
  });

  it.each([
    ['warm/jobs', {}, 400, 'the body: accepted is either images or targets'],
    ['warm/jobs', { images: [] }, 400, 'images: accepted is a list of 1 to 20000 images'],
    ['warm/jobs', { images: ['a'], targets: [] }, 400, 'targets: accepted is a list'],
    ['warm/jobs', { images: ['Not/An image'] }, 400, 'images.0: accepted is'],
    ['warm/jobs', { images: ['app@sha256:1'] }, 400, 'images.0: '],
    ['warm/jobs', { images: ['app'], colour: 1 }, 400, 'colour: unknown key'],
    ['warm/jobs/0123456789abcdef/cancel', {}, 404, 'there is no warm job 0123456789abcdef'],
    ['warm/jobs/..%2f..%2f/cancel', {}, 400, 'id: accepted are 16 hexadecimal digits'],
    ['warm/jobs/0123456789abcdef/cancel', { now: true }, 400, 'now: unknown key'],
  ])('%s refuses %j', async (path, body, status, detail) => {
    const { ask, jobs, registry } = await start();
    expect(await ask(path, body)).toMatchObject({
      status,
      document: { detail: expect.stringContaining(detail) },
    });
    expect(await jobs()).toEqual([]);
    expect(registry.requests).toEqual([]);
  });
});
