import { describe, expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { OtlpCollector } from '../support/otlp-collector.ts';
import { type RunningAppOptions, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const IMAGE = buildImage();
const [SERVER, CLIENT] = [2, 3];

async function start({ sampleRatio = 1, endpoint }: { sampleRatio?: number; endpoint?: string } = {}) {
  const collector = closeAfterTest(await OtlpCollector.start());
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'latest', image: IMAGE });
  const headers = { authorization: 'Bearer canary-otlp' };
  const options: RunningAppOptions = {
    upstreams: [{ name: 'docker.io', url: registry.url }],
    tracing: { endpoint: endpoint ?? collector.url, headers, sampleRatio },
  };
  const app = await startApp(options);
  const ask = (path: string, traceparent?: string) =>
    get(`${app.url}/v2/library/app/${path}`, traceparent === undefined ? {} : { headers: { traceparent } });
  return { collector, registry, app, ask };
}

describe('a request', () => {
  it('is a span, and what was asked upstream for it are spans below that', async () => {
    const { collector, registry, ask, app } = await start();
    const { headers } = await ask('manifests/latest');
    await ask('manifests/latest');
    await ask(`blobs/${IMAGE.blobs[0]?.digest}`);
    await app.close();
    const requests = collector.spans.filter(({ kind }) => kind === SERVER);
    expect(requests.map(({ name, parentSpanId }) => [name, parentSpanId])).toEqual([
      ['GET manifest', undefined],
      ['GET manifest', undefined],
      ['GET blob', undefined],
    ]);
    const [miss, hit] = requests;
    expect(miss?.attributes).toEqual({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
      'http.response.body.size': IMAGE.root.size,
      'entrepot.request': headers['x-request-id'],
      'entrepot.kind': 'manifest',
      'entrepot.upstream': 'docker.io',
      'entrepot.repository': 'library/app',
      'entrepot.outcome': 'miss',
      'entrepot.reason': 'tag-unknown',
    });
    const below = (span = miss) =>
      collector.spans.filter(({ parentSpanId }) => parentSpanId === span?.spanId).map(({ name }) => name);
    expect(below()).toEqual(['upstream HEAD manifest', 'upstream GET manifest']);
    expect(below(hit)).toEqual([]);
    expect(below(requests[2])).toContain('upstream GET blob');
    const upstream = collector.spans.filter(({ kind }) => kind === CLIENT);
    expect(new Set(upstream.map(({ traceId }) => traceId)).size).toBe(2);
    for (const { durationMs } of collector.spans) {
      expect(durationMs).toBeGreaterThanOrEqual(0);
      expect(durationMs).toBeLessThan(60_000);
    }
    expect(new Set(collector.services)).toEqual(new Set(['entrepot']));
    expect(collector.headers[0]?.authorization).toBe('Bearer canary-otlp');
    // Where a client's trace goes on is nothing that a registry is told.
    expect(registry.requests.filter(({ headers: sent }) => 'traceparent' in sent)).toEqual([]);
  });

  it('goes on with the trace of its client, which may ask for less, and not for more', async () => {
    const { collector, ask, app } = await start();
    const [trace, parent] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
    await ask('manifests/latest', `00-${trace}-${parent}-01`);
    await ask('manifests/latest', `00-${trace.replace('0', '1')}-${parent}-00`);
    await ask('manifests/latest', `00-${'0'.repeat(32)}-${parent}-01`);
    await ask('manifests/latest', 'nonsense');
    await app.close();
    const requests = collector.spans.filter(({ kind }) => kind === SERVER);
    expect(requests.map(({ parentSpanId }) => parentSpanId)).toEqual([parent, undefined, undefined]);
    expect(requests[0]?.traceId).toBe(trace);
    expect(collector.spans.filter(({ traceId }) => traceId === trace)).toHaveLength(3);
  });

  it('is not sent by a client that samples itself, where the ratio is 0', async () => {
    const { collector, ask, app } = await start({ sampleRatio: 0 });
    await ask('manifests/latest', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    await app.close();
    expect(collector.spans).toEqual([]);
  });

  it('that fails upstream is marked, and so is what failed', async () => {
    const { collector, registry, ask, app } = await start();
    registry.faults.add({ match: {}, action: { respond: { status: 500 } } });
    expect((await ask('tags/list')).status).toBe(503);
    await app.close();
    expect(collector.spans.filter(({ status }) => status === 2).map(({ name }) => name)).toEqual(
      collector.spans.map(({ name }) => name),
    );
    expect(collector.spans.at(-1)?.name).toBe('GET tags');
  });
});

describe('a collector that', () => {
  it.each([
    ['refuses', async (collector: OtlpCollector) => void (collector.answer = 400)],
    ['is not there', (collector: OtlpCollector) => collector.close()],
  ])('%s is said once, and no pull is slower or fails', async (_, break_) => {
    const { collector, ask, app } = await start();
    await break_(collector);
    await ask('manifests/latest');
    const said = () => app.logLines.filter(({ msg }) => msg.startsWith('traces cannot be sent'));
    await vi.waitFor(() => expect(said()).toHaveLength(1), SOON);
    const begun = performance.now();
    for (let at = 0; at < 300; at += 1) expect((await ask('manifests/latest')).status).toBe(200);
    // Waiting for it once each would be minutes.
    expect(performance.now() - begun).toBeLessThan(60_000);
    expect(said()).toHaveLength(1);
    await app.close();
  });

  it('does not answer keeps no more than some thousand spans waiting, nor the end', async () => {
    const { collector, ask, app } = await start();
    collector.answer = 'hang';
    await ask('manifests/latest');
    await vi.waitFor(() => expect(collector.requests).toBeGreaterThan(0), SOON);
    for (let at = 0; at < 500; at += 1) expect((await ask('manifests/latest')).status).toBe(200);
    // One batch on its way at a time.
    expect(collector.requests).toBe(1);
    const begun = performance.now();
    await app.close();
    expect(performance.now() - begun).toBeLessThan(8_000);
  });
});
