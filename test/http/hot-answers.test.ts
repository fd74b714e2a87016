import type { IncomingMessage } from 'node:http';
import { expect, it } from 'vitest';
import type { UpstreamConfig } from '../../src/config.ts';
import { type HotAnswer, HotAnswers, type KeepAnswer } from '../../src/http/hot-answers.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get, type GetResult } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startReloadable } from '../support/reloadable-app.ts';
import { startApp } from '../support/running-app.ts';

const IMAGE = buildImage({ seed: 31, layerSizes: [4096] });
const [BLOB] = IMAGE.blobs.toSorted((one, other) => other.size - one.size);
/** More than make an answer hot. */
const TIMES = 8;

const ANSWER: HotAnswer = {
  record: {
    kind: 'manifest',
    upstream: 'docker.io',
    repository: 'a',
    reference: 'v1',
    outcome: 'hit',
    reason: undefined,
    error: undefined,
  },
  headers: ['Content-Length', 2],
  body: Buffer.from('{}'),
};

async function start(upstream: Partial<UpstreamConfig> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  for (const repository of ['library/app', 'library/other'])
    pushTo(registry, { repository, tag: 'v1', image: IMAGE });
  const clock = new FakeClock();
  const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url, ...upstream }], clock });
  const tag = async (repository = 'app', accept = IMAGE.root.mediaType) =>
    get(`${app.url}/v2/library/${repository}/manifests/v1`, { headers: { accept } });
  const blob = async () => get(`${app.url}/v2/library/app/blobs/${BLOB?.digest}`);
  return { registry, clock, app, tag, blob };
}

/** Asked until it is stored, and then often, one after the other; the last one's answer. */
async function heated(ask: () => Promise<GetResult>): Promise<GetResult> {
  await expect.poll(async () => (await ask()).headers['x-cache'], { timeout: 15_000 }).toBe('HIT');
  for (let time = 1; time < TIMES; time += 1) expect((await ask()).status).toBe(200);
  return ask();
}

it('an answer that is asked for many times a second is given again, each time as an answer of its own', async () => {
  const { app, blob } = await start();
  const before = await heated(blob);
  expect(before.headers['x-cache']).toBe('HIT');
  const again = await blob();
  expect(again.body.equals(before.body)).toBe(true);
  const ids = [before, again].map(({ headers }) => headers['x-request-id']);
  const others = { date: expect.anything(), 'x-request-id': expect.anything() };
  expect(again.headers).toEqual({ ...before.headers, ...others });
  expect(ids[0]).not.toBe(ids[1]);
  const lines = app.logLines.filter(({ msg, kind }) => msg === 'request' && kind === 'blob');
  expect(lines.map(({ outcome, bytes }) => [outcome, bytes]).slice(-TIMES)).toEqual(
    Array.from({ length: TIMES }, () => ['hit', BLOB?.size]),
  );
  expect(new Set(lines.map(({ request }) => request)).size).toBe(lines.length);
});

it('an answer is kept from the fourth request of a second on, and until the second is over', async () => {
  const clock = new FakeClock();
  let generation = 1;
  const hot = new HotAnswers(clock, () => generation);
  const asked = (...rawHeaders: string[]) =>
    hot.find({ method: 'GET', httpVersion: '1.1', url: '/v2/a/manifests/v1', rawHeaders } as IncomingMessage);
  const keep = (): void => {
    expect([asked(), asked(), asked()]).toEqual([undefined, undefined, undefined]);
    const keeper = asked();
    if (typeof keeper !== 'function') throw new Error('nothing keeps the answer');
    keeper(ANSWER, Infinity);
    expect(asked()).toBe(ANSWER);
  };
  keep();
  expect(asked('Accept', '*/*')).toBeUndefined();
  generation += 1;
  keep();
  await clock.advance(999);
  expect(asked()).toBe(ANSWER);
  await clock.advance(1);
  keep();
});

it('what was decided before a change is not kept after it', () => {
  let generation = 1;
  const hot = new HotAnswers(new FakeClock(), () => generation);
  const request = {
    method: 'GET',
    httpVersion: '1.1',
    url: '/v2/a/manifests/v1',
    rawHeaders: [] as string[],
  };
  const asked = () => hot.find(request as IncomingMessage);
  const [, , , keeper] = [asked(), asked(), asked(), asked()];
  generation += 1;
  if (typeof keeper !== 'function') throw new Error('nothing keeps the answer');
  keeper(ANSWER, Infinity);
  expect(asked()).toBeUndefined();
});

/** Keepers of one request: many may be answered at the same moment. */
function keepersOf(hot: HotAnswers, url: string, count: number): readonly KeepAnswer[] {
  const request = { method: 'GET', httpVersion: '1.1', url, rawHeaders: [] as string[] };
  const found = Array.from({ length: count + 3 }, () => hot.find(request as unknown as IncomingMessage));
  return found.slice(3).map((keeper) => {
    if (typeof keeper !== 'function') throw new Error('nothing keeps the answer');
    return keeper;
  });
}

it('what is kept twice, or no longer, takes its room once, or none', async () => {
  const clock = new FakeClock();
  const hot = new HotAnswers(clock, () => 1);
  const answer = { ...ANSWER, body: Buffer.alloc(64 * 1024) };
  const isKept = (url: string): boolean => {
    const request = { method: 'GET', httpVersion: '1.1', url, rawHeaders: [] as string[] };
    return typeof hot.find(request as unknown as IncomingMessage) === 'object';
  };
  // Each time more than all that is kept may take.
  for (const keep of keepersOf(hot, '/twice', 600)) keep(answer, Infinity);
  keepersOf(hot, '/other', 1)[0]?.(answer, Infinity);
  expect([isKept('/twice'), isKept('/other')]).toEqual([true, true]);
  for (let time = 0; time < 600; time += 1) {
    keepersOf(hot, '/short', 1)[0]?.(answer, 1);
    expect(isKept('/short')).toBe(true);
    await clock.advance(1);
    expect(isKept('/short')).toBe(false);
  }
});

it('all that is kept has a bound, also when all of it is kept for less than a second', () => {
  const hot = new HotAnswers(new FakeClock(), () => 1);
  const answer = { ...ANSWER, body: Buffer.alloc(64 * 1024) };
  let kept = 0;
  for (let at = 0; at < 600; at += 1) {
    const url = `/${at}`;
    for (const keep of keepersOf(hot, url, 2)) keep(answer, 100);
    const request = { method: 'GET', httpVersion: '1.1', url, rawHeaders: [] as string[] };
    if (typeof hot.find(request as unknown as IncomingMessage) === 'object') kept += 1;
  }
  // 32 MiB of them.
  expect(kept).toBe(512);
});

it('a tag is given again no longer than it is fresh', async () => {
  const { registry, clock, tag } = await start({ tagTtlMs: 300 });
  expect((await heated(tag)).headers['x-cache']).toBe('HIT');
  const heads = registry.count({ path: /manifests/, method: 'HEAD' });
  await clock.advance(200);
  expect((await tag()).headers['x-cache']).toBe('HIT');
  await clock.advance(150);
  expect((await tag()).headers['x-cache']).toBe('REVALIDATED');
  expect(registry.count({ path: /manifests/, method: 'HEAD' })).toBe(heads + 1);
});

it('who asks with other headers is decided upon anew', async () => {
  const { registry, tag } = await start();
  await heated(tag);
  const asked = registry.count({ path: /app\/manifests/ });
  expect((await tag('app', 'application/vnd.oci.image.index.v1+json')).headers['x-cache']).not.toBe('HIT');
  expect(registry.count({ path: /app\/manifests/ })).toBeGreaterThan(asked);
  expect((await tag('nothing')).status).toBe(404);
});

it('a purge ends it at once, also of what another repository holds', async () => {
  const { app, tag } = await start();
  await tag('other');
  expect((await heated(tag)).headers['x-cache']).toBe('HIT');
  const purged = await fetch(`${app.adminUrl}/api/v1/purge`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ upstream: 'docker.io', repository: 'library/app', tag: 'v1' }),
  });
  expect(await purged.text()).toContain('"event":"done"');
  expect((await tag()).headers['x-cache']).not.toBe('HIT');
  expect((await tag('other')).headers['x-cache']).toBe('HIT');
});

it('a reload that forbids the repository ends it at once', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const settings = (deny: readonly string[]) => ({
    upstreams: { 'docker.io': { url: registry.url, ...(deny.length > 0 && { deny }) } },
  });
  const scene = await startReloadable(settings([]));
  const tag = async () =>
    get(`${scene.app.url}/v2/library/app/manifests/v1`, { headers: { accept: IMAGE.root.mediaType } });
  expect((await heated(tag)).headers['x-cache']).toBe('HIT');
  expect((await scene.change(settings(['library/app']))).status).toBe(200);
  expect((await tag()).status).toBe(403);
});
