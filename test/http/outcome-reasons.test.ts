import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { OUTCOME_REASONS } from '../../src/pull-through/outcome-reason.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningAppOptions, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const MINUTE_MS = 60_000;
const [IMAGE, OTHER] = [buildImage({ platforms: ['linux/amd64', 'linux/arm64'] }), buildImage({ seed: 2 })];
const [SINGLE] = IMAGE.manifests;
if (SINGLE === undefined) throw new Error('the image has no manifest');

/** The product in front of a registry, and how each request was answered and why, as its log line has it. */
async function start(options: Partial<RunningAppOptions> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'latest', image: IMAGE });
  const clock = new FakeClock();
  const upstreams = [{ name: 'docker.io', url: registry.url }];
  const app = await startApp({ upstreams, clock, ...options });
  const ask = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const { headers: answer } = await get(`${app.url}/v2/library/${path}`, { headers, method });
    const id = answer['x-request-id'];
    const line = await vi.waitFor(() => {
      const found = app.logLines.find(({ request, bytes }) => request === id && bytes !== undefined);
      if (found === undefined) throw new Error('there is no line yet');
      return found;
    }, SOON);
    return [line['outcome'], line['reason']];
  };
  return { registry, clock, app, ask };
}

const LATEST = 'app/manifests/latest';

it('a tag: unknown, taken as it was, asked again, moved, and not to be had', async () => {
  const { registry, clock, ask } = await start();
  expect(await ask(LATEST)).toEqual(['miss', 'tag-unknown']);
  expect(await ask(LATEST)).toEqual(['hit', undefined]);
  await clock.advance(2 * MINUTE_MS);
  expect(await ask(LATEST)).toEqual(['revalidated', 'tag-expired']);
  await clock.advance(2 * MINUTE_MS);
  expect(await ask(LATEST, {}, 'HEAD')).toEqual(['revalidated', 'tag-expired']);
  pushTo(registry, { repository: 'library/app', tag: 'latest', image: OTHER });
  await clock.advance(2 * MINUTE_MS);
  expect(await ask(LATEST, {}, 'HEAD')).toEqual(['miss', 'tag-moved']);
  expect(await ask(LATEST)).toEqual(['miss', 'tag-moved']);
  await clock.advance(2 * MINUTE_MS);
  registry.faults.add({
    match: {},
    action: { respond: { status: 429, headers: { 'retry-after': '3600' } } },
  });
  expect(await ask(LATEST)).toEqual(['stale', 'rate-limited']);
});

it('a tag whose manifest is of a type that the client does not take', async () => {
  const { ask } = await start();
  await ask(LATEST);
  expect(await ask(LATEST, { accept: SINGLE.mediaType })).toEqual(['revalidated', 'other-types']);
});

it('an upstream that does not answer', async () => {
  const { registry, clock, ask } = await start();
  await ask(LATEST);
  await registry.stop();
  await clock.advance(2 * MINUTE_MS);
  const asked = ask(LATEST);
  const state = { isOver: false };
  const over = asked.finally(() => (state.isOver = true));
  while (!state.isOver) {
    if (clock.nextWakeMs === undefined) await nextTurn();
    else await clock.advance(Math.min(clock.nextWakeMs, 500));
  }
  expect(await over).toEqual(['stale', 'upstream-failed']);
});

it('offline', async () => {
  const { app, clock, ask } = await start();
  await ask(LATEST);
  await ask('app/tags/list');
  await fetch(`${app.adminUrl}/api/v1/offline`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"offline":true}',
  });
  await clock.advance(2 * MINUTE_MS);
  expect(await ask(LATEST)).toEqual(['stale', 'offline']);
  expect(await ask('app/tags/list')).toEqual(['stale', 'offline']);
});

it('a manifest and a blob by digest: not here, and here but not known to be in this repository', async () => {
  const { registry, ask } = await start();
  pushTo(registry, { repository: 'library/fork', tag: 'latest', image: IMAGE });
  const [layer] = SINGLE.layers;
  for (const what of [`manifests/${SINGLE.digest}`, `blobs/${layer?.digest}`]) {
    expect(await ask(`app/${what}`)).toEqual(['miss', 'not-stored']);
    await vi.waitFor(async () => expect(await ask(`app/${what}`)).toEqual(['hit', undefined]), SOON);
  }
  expect(await ask(`fork/blobs/${layer?.digest}`, {}, 'HEAD')).toEqual(['miss', 'not-seen-here']);
  for (const what of [`manifests/${SINGLE.digest}`, `blobs/${SINGLE.config.digest}`]) {
    await ask(`app/${what}`);
    await vi.waitFor(async () => expect(await ask(`app/${what}`)).toEqual(['hit', undefined]), SOON);
  }
  expect(await ask(`fork/manifests/${SINGLE.digest}`)).toEqual(['revalidated', 'not-seen-here']);
});

it('lists: not asked for before, and asked again', async () => {
  const { clock, ask } = await start();
  expect(await ask('app/tags/list')).toEqual(['miss', 'list-unknown']);
  expect(await ask('app/tags/list')).toEqual(['hit', undefined]);
  await clock.advance(2 * MINUTE_MS);
  expect(await ask('app/tags/list')).toEqual(['miss', 'list-expired']);
});

it('one that joined another, and a small part of what is not cached', async () => {
  const { registry, ask } = await start();
  const digest = registry.addBlob('library/app', { size: 1_000_000, seed: 1 });
  expect(await ask(`app/blobs/${digest}`, { range: 'bytes=0-99' })).toEqual(['miss', 'probe']);
  const gate = new Gate();
  registry.faults.add({ match: { method: 'GET' }, action: { gate } });
  const first = ask(`app/blobs/${digest}`);
  await gate.arrived();
  const second = ask(`app/blobs/${digest}`);
  await registry.received({ method: 'GET', path: /blobs/ }, 2);
  gate.open();
  expect([await first, await second]).toEqual([
    ['miss', 'not-stored'],
    ['joined', 'in-flight'],
  ]);
});

it('no room, whole, in part and as a manifest', async () => {
  const { registry, ask } = await start({ cache: { maxBlobBytes: 100 } });
  const digest = registry.addBlob('library/app', { size: 100_000, seed: 1 });
  expect(await ask(`app/blobs/${digest}`)).toEqual(['bypass', 'no-room']);
  expect(await ask(`app/blobs/${digest}`, { range: 'bytes=0-50000' })).toEqual(['bypass', 'no-room']);
  expect(await ask(LATEST)).toEqual(['bypass', 'no-room']);
});

it('every reason is a sentence', () => {
  for (const [reason, sentence] of Object.entries(OUTCOME_REASONS)) {
    expect(reason).toMatch(/^[a-z]+(?:-[a-z]+)*$/);
    expect(sentence).toMatch(/^[a-z].{10,120}[a-z]$/);
  }
});
