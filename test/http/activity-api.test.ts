import { expect, it, vi } from 'vitest';
import type { z } from 'zod';
import {
  clientActivity,
  requestRecord,
  savingsReport,
  trafficStep,
} from '../../src/activity/activity-events.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage({ platforms: ['linux/amd64', 'linux/arm64'] });

/** Mixed traffic: misses, hits, joined, a probe, a HEAD, what is not there, a broken name and another upstream. */
async function traffic(): Promise<RunningApp> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth: { mode: 'bearer' } }));
  const other = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'latest', image: IMAGE });
  pushTo(other, { repository: 'team/app', tag: 'v1', image: buildImage({ seed: 2 }) });
  const large = registry.addBlob('library/app', { size: 3_000_000, seed: 1 });
  const app = await startApp({
    upstreams: [
      { name: 'docker.io', url: registry.url },
      { name: 'quay.io', url: other.url },
    ],
  });
  const ask = (path: string, options = {}) => get(`${app.url}/v2/${path}`, options);
  for (let round = 0; round < 3; round += 1) {
    await ask('library/app/manifests/latest');
    for (const { digest } of IMAGE.manifests) await ask(`library/app/manifests/${digest}`);
    await Promise.all(
      [...IMAGE.blobs, ...IMAGE.blobs].map(({ digest }) => ask(`library/app/blobs/${digest}`)),
    );
  }
  await ask(`library/app/blobs/${large}`, { headers: { range: 'bytes=5-99' } });
  await Promise.all([0, 1, 2].map(() => ask(`library/app/blobs/${large}`)));
  await ask(`library/app/blobs/${large}`, { abortAfter: 1000 });
  await ask(`library/app/manifests/latest`, { method: 'HEAD' });
  await ask('quay.io/team/app/manifests/v1');
  await ask('quay.io/team/app/tags/list');
  for (const path of ['library/none/manifests/latest', 'library/app/blobs/bad', '', 'x.example/a/tags/list'])
    await ask(path);
  return app;
}

async function admin<T>({ adminUrl }: RunningApp, path: string, schema: z.ZodType<T>, key?: string) {
  const { status, body } = await get(`${adminUrl}/api/v1/${path}`);
  expect(status).toBe(200);
  const value = JSON.parse(body.toString()) as Record<string, unknown>;
  return schema.parse(key === undefined ? value : value[key]);
}

/** The sum of a metric's series of which the labels match. */
async function metric({ adminUrl }: RunningApp, name: string, labels = /./): Promise<number> {
  const { body } = await get(`${adminUrl}/metrics`);
  const lines = body.toString().split('\n');
  return lines
    .filter((line) => line.startsWith(`entrepot_${name}{`) && labels.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

/** All requests are over: what is counted is counted. */
async function settled(app: RunningApp): Promise<void> {
  await vi.waitFor(async () => {
    const { body } = await get(`${app.adminUrl}/metrics`);
    expect(body.toString()).toContain('entrepot_fills_in_flight 0');
    const lines = app.logLines.filter(({ msg, bytes }) => bytes !== undefined && msg !== undefined);
    expect(await metric(app, 'requests_total')).toBe(lines.length);
  }, SOON);
}

it('the report, the minutes and the clients agree with each other and with the metrics', async () => {
  const app = await traffic();
  await settled(app);
  const report = await admin(app, 'report', savingsReport);
  const [step, ...more] = await admin(app, 'activity/history', trafficStep.array(), 'steps');
  const [client, ...others] = await admin(app, 'activity/clients', clientActivity.array(), 'clients');
  expect([more, others]).toEqual([[], []]);
  const expected = {
    requests: await metric(app, 'requests_total', /outcome="(?!none)/),
    bytes: await metric(app, 'response_bytes_total'),
    hits: await metric(app, 'requests_total', /outcome="(?:hit|revalidated|stale)"/),
    hitBytes: await metric(app, 'response_bytes_total', /outcome="(?:hit|revalidated|stale)"/),
  };
  expect(expected.hitBytes).toBeGreaterThan(10_000);
  expect(expected.bytes).toBeGreaterThan(expected.hitBytes + 9_000_000);
  const upstream = {
    upstreamBytes: await metric(app, 'upstream_bytes_total'),
    upstreamPulls: await metric(
      app,
      'upstream_requests_total',
      /(?=.*kind="manifest")(?=.*method="GET").*code="200"/,
    ),
  };
  expect(upstream.upstreamPulls).toBe(4);
  expect(upstream.upstreamBytes).toBeGreaterThan(3_000_000);
  expect(report).toMatchObject({ ...expected, ...upstream });
  expect(step).toMatchObject({ ...expected, ...upstream });
  expect(client).toMatchObject({ client: '127.0.0.1', ...expected });
  for (const { upstream: name, bytes, upstreamBytes, hitBytes } of report.byUpstream) {
    const labels = new RegExp(`upstream="${name}"`);
    expect(bytes).toBe(await metric(app, 'response_bytes_total', labels));
    expect(upstreamBytes).toBe(await metric(app, 'upstream_bytes_total', labels));
    const hits = new RegExp(`(?=.*upstream="${name}").*outcome="(?:hit|revalidated|stale)"`);
    expect(hitBytes).toBe(await metric(app, 'response_bytes_total', hits));
  }
  expect(report.byUpstream.map(({ upstream: name }) => name).toSorted()).toEqual([
    'docker.io',
    'none',
    'quay.io',
  ]);
  expect(report).toMatchObject({
    bytesAvoided: expected.bytes - upstream.upstreamBytes,
    pullsAvoided: report.pulls - upstream.upstreamPulls,
  });
  // Three rounds of three manifests, and one.
  expect(report.pulls).toBe(10);
  expect(report.topImages.map(({ image }) => image)).toEqual(['docker.io/library/app', 'quay.io/team/app']);
  expect(report.timeSavedAssumption).toMatch(/blobs at [\d.]+ MB\/s/);
});

it('recent requests say why each was no hit, and what went wrong', async () => {
  const app = await traffic();
  await settled(app);
  const requests = await admin(app, 'activity/recent?limit=1000', requestRecord.array(), 'requests');
  expect(requests).toHaveLength(await metric(app, 'requests_total'));
  const ids = app.logLines.filter(({ bytes }) => bytes !== undefined).map(({ request }) => request);
  expect(requests.map(({ id }) => id)).toEqual(ids.toReversed());
  expect(requests.at(-1)).toMatchObject({
    client: '127.0.0.1',
    method: 'GET',
    kind: 'manifest',
    upstream: 'docker.io',
    repository: 'library/app',
    reference: 'latest',
    status: 200,
    outcome: 'miss',
    reason: 'this tag was not asked for before, or was forgotten since',
    isComplete: true,
  });
  const unexplained = requests.filter(
    ({ outcome, reason, status }) => outcome !== 'hit' && status !== 200 && reason === undefined,
  );
  expect(unexplained).toEqual([]);
  const broken = await admin(
    app,
    'activity/recent?outcome=none&upstream=docker.io',
    requestRecord.array(),
    'requests',
  );
  expect(
    broken.filter(({ kind }) => kind !== 'base').map(({ status, reason }) => [status, typeof reason]),
  ).toEqual([[404, 'string']]);
});

it.each(['limit=0', 'limit=1001', 'limit=x', 'client=', 'nope=1'])(
  'recent requests with %s are refused with what is accepted',
  async (query) => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
    const { status, headers } = await get(`${app.adminUrl}/api/v1/activity/recent?${query}`);
    expect([status, headers['content-type']]).toEqual([400, 'application/problem+json']);
  },
);
