import { describe, expect, it } from 'vitest';
import { Courtesy } from '../../src/warm/courtesy.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { hurriedClock } from '../support/hurried-clock.ts';
import { Gate } from '../support/gate.ts';
import type { RecordedRequest } from '../support/recorded-request.ts';
import { get, openGet } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { warm } from './warming-under-test.ts';

const never = new AbortController().signal;

function start() {
  const clock = new FakeClock();
  const waiting = new Map<string, number>();
  const courtesy = new Courtesy({ clock, clientFills: (upstream) => waiting.get(upstream) ?? 0 });
  let running = 0;
  const open: (() => void)[] = [];
  const run = (upstream: string, signal = never) =>
    courtesy.run(
      upstream,
      async () => {
        running += 1;
        await new Promise<void>((resolve) => void open.push(resolve));
        running -= 1;
      },
      signal,
    );
  const turn = () => clock.advance(100);
  return { courtesy, clock, waiting, run, open, turn, running: () => running };
}

describe('courtesy', () => {
  it('lets all run while no client waits, and one while any does', async () => {
    const { waiting, run, open, turn, running } = start();
    const first = [run('docker.io'), run('docker.io'), run('docker.io')];
    await turn();
    expect(running()).toBe(3);
    waiting.set('docker.io', 1);
    const later = [run('docker.io'), run('docker.io')];
    await turn();
    expect(running()).toBe(3);
    for (const end of open.splice(0, 3)) end();
    await Promise.all(first);
    await turn();
    // Never starved: one goes on though clients never stop.
    expect(running()).toBe(1);
    await turn();
    expect(running()).toBe(1);
    waiting.clear();
    await turn();
    expect(running()).toBe(2);
    for (const end of open) end();
    await Promise.all(later);
  });

  it('is owed to the clients of one upstream, not of another', async () => {
    const { waiting, run, open, turn, running } = start();
    waiting.set('docker.io', 5);
    const all = [run('quay.io'), run('quay.io'), run('docker.io'), run('docker.io')];
    await turn();
    expect(running()).toBe(3);
    waiting.clear();
    await turn();
    for (const end of open) end();
    await Promise.all(all);
  });

  it('ends with the signal', async () => {
    const { waiting, run, open, turn } = start();
    waiting.set('docker.io', 1);
    const first = run('docker.io');
    const leaving = new AbortController();
    const second = run('docker.io', leaving.signal);
    await turn();
    leaving.abort(new Error('enough'));
    await expect(second).rejects.toThrow('enough');
    for (const end of open) end();
    await first;
  });
});

describe('a client that pulls while the cache is warmed', () => {
  it('is served first: warming begins one blob at a time until it has what it waits for', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
    const image = buildImage({ layerSizes: Array.from({ length: 12 }, () => 50_000) });
    pushTo(registry, { repository: 'library/warmed', tag: 'v1', image });
    const wanted = registry.addBlob('library/pulled', { size: 2_000_000, seed: 77 });
    const gate = new Gate();
    const slow = new Gate();
    registry.faults.add({
      match: { path: new RegExp(`pulled/blobs/${wanted}`) },
      action: { stallAfter: { bytes: 1_000_000, gate } },
    });
    registry.faults.add({ match: { path: /warmed\/blobs\// }, action: { gate: slow } });
    const warming = warm(app, ['docker.io/library/warmed:v1'], { concurrency: 4 });
    await slow.arrived(4);
    const url = `${app.url}/v2/library/pulled/blobs/${wanted}`;
    const client = await openGet(url, { digestOnly: true });
    // It does not wait for what is being warmed.
    await client.read(900_000);
    const begun = new Set(registry.requests);
    const isWarming = (request: RecordedRequest) =>
      request.path.includes('warmed/blobs/') && !begun.has(request);
    // All but what had begun come one after the other, and are not starved meanwhile.
    let most = 0;
    registry.intercept((request, plain) => {
      most = Math.max(most, registry.requests.filter((one) => isWarming(one) && !one.finished).length);
      return plain(request);
    });
    slow.open();
    await expect.poll(() => registry.count({ where: isWarming })).toBeGreaterThan(4);
    expect(most).toBe(1);
    gate.open();
    expect(await client.finished()).toMatchObject({ status: 200, complete: true, digest: wanted });
    expect((await warming).done).toMatchObject({ images: { whole: 1 }, blobs: { fetched: 13 } });
  });

  it('has its manifest next where manifests wait their turn', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const limits = { pullsPerSecond: 1 };
    const app = await startApp({
      upstreams: [{ name: 'docker.io', url: registry.url, limits }],
      clock: hurriedClock(4),
    });
    const names = Array.from({ length: 5 }, (_, seed) => {
      pushTo(registry, { repository: 'library/app', tag: `v${seed}`, image: buildImage({ seed }) });
      return `docker.io/library/app:v${seed}`;
    });
    pushTo(registry, { repository: 'library/pulled', tag: 'v1', image: buildImage({ seed: 9 }) });
    const warming = warm(app, names);
    await registry.received({ method: 'GET', path: /app\/manifests\// });
    await get(`${app.url}/v2/library/pulled/manifests/v1`);
    const gets = registry.requests.filter(
      ({ method, path }) => method === 'GET' && /\/manifests\//.test(path),
    );
    expect(gets.findIndex(({ path }) => path.includes('library/pulled'))).toBeLessThanOrEqual(2);
    expect((await warming).done.images.whole).toBe(5);
  });

  it('joins what is being warmed, and has it at full pace', async () => {
    const registry = closeAfterTest(await FakeRegistry.start());
    const app = await startApp({ upstreams: [{ name: 'docker.io', url: registry.url }] });
    const image = buildImage({ layerSizes: [3_000_000] });
    pushTo(registry, { repository: 'library/app', tag: 'v1', image });
    const layer = image.manifests[0]?.layers[0];
    if (layer === undefined) throw new Error('no layer');
    const gate = new Gate();
    registry.faults.add({
      match: { path: new RegExp(layer.digest) },
      action: { stallAfter: { bytes: 2_000_000, gate } },
    });
    const warming = warm(app, ['docker.io/library/app:v1']);
    await gate.arrived();
    const client = await openGet(`${app.url}/v2/library/app/blobs/${layer.digest}`, { digestOnly: true });
    await client.read(1_900_000);
    gate.open();
    const { headers, digest } = await client.finished();
    expect([headers['x-cache'], digest]).toEqual(['JOINED', layer.digest]);
    await warming;
    expect(registry.blobBodyBytes(layer.digest)).toBe(layer.size);
    expect((await get(`${app.url}/v2/library/app/manifests/v1`)).headers['x-cache']).toBe('HIT');
  });
});
