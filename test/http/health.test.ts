import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { Health, type HealthCheck, type HealthDetail } from '../../src/http/health.ts';
import { LoopDelay } from '../../src/loop-delay.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { startApp } from '../support/running-app.ts';

const TOKEN = 'correct horse battery staple';

function healthOf(checks: readonly HealthCheck[], details: readonly HealthDetail[] = []) {
  const clock = new FakeClock();
  const state = { isClosing: false };
  const health = new Health({
    clock,
    version: '1.2.3',
    checks,
    details: () => details,
    isClosing: () => state.isClosing,
  });
  return { clock, health, state };
}

function holdUp(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    adminToken: TOKEN,
  });
  const ask = (path: string, authorization?: string) =>
    get(app.adminUrl + path, { headers: authorization === undefined ? {} : { authorization } });
  return { app, registry, ask };
}

describe('a report', () => {
  it('is ready when every check is well, whatever details say', async () => {
    const details = [{ name: 'upstream quay.io', isWell: false, message: 'down' }];
    const { health } = healthOf([{ name: 'store', look: () => undefined }], details);
    expect(await health.report()).toEqual({
      status: 'ready',
      version: '1.2.3',
      uptimeSeconds: 0,
      checks: [
        { name: 'store', isWell: true, decides: true, ms: 0 },
        { name: 'upstream quay.io', isWell: false, decides: false, ms: 0, message: 'down' },
      ],
    });
  });

  it('is not ready when one check fails, and names it', async () => {
    const { health } = healthOf([
      { name: 'store', look: () => undefined },
      { name: 'index', look: () => Promise.reject(new Error('the disk is gone')) },
    ]);
    const { status, checks } = await health.report();
    expect(status).toBe('not ready');
    expect(checks[1]).toMatchObject({ name: 'index', isWell: false, message: 'the disk is gone' });
  });

  it('is there within 2 s though a check hangs, which runs once however many ask, and is well again', async () => {
    const looked: (() => void)[] = [];
    const look = () => new Promise<undefined>((resolve) => looked.push(() => resolve(undefined)));
    const { clock, health } = healthOf([{ name: 'store', look }]);
    const first = health.report();
    await clock.advance(1_500);
    const second = health.report();
    await clock.advance(500);
    for (const report of [await first, await second]) {
      expect(report.status).toBe('not ready');
      expect(report.checks[0]).toMatchObject({ ms: 2_000, message: 'no answer within 2 s' });
    }
    await clock.advance(60_000);
    const third = health.report();
    await clock.advance(0);
    expect((await third).checks[0]).toMatchObject({ isWell: false, ms: 62_000 });
    expect(looked).toHaveLength(1);
    expect(clock.sleeping).toBe(0);
    looked[0]?.();
    await delay(1);
    const fourth = health.report();
    looked[1]?.();
    expect((await fourth).status).toBe('ready');
  });

  it('is shutting down when the process is, whatever checks say', async () => {
    const { health, state } = healthOf([{ name: 'store', look: () => undefined }]);
    state.isClosing = true;
    expect((await health.report()).status).toBe('shutting down');
  });
});

describe('the delay of the event loop', () => {
  it('is nothing while it is free, and about what it is held for again and again', async () => {
    const loop = closeAfterTest(new LoopDelay(systemClock));
    expect(loop.medianMs).toBe(0);
    loop.begin();
    for (let round = 0; round < 6; round += 1) {
      await delay(1);
      holdUp(700);
    }
    expect(loop.medianMs).toBeGreaterThan(300);
  });

  it('is no trouble for one long turn', async () => {
    const clock = new FakeClock();
    const loop = closeAfterTest(new LoopDelay(clock));
    loop.begin();
    for (let round = 0; round < 20; round += 1) await clock.advance(250);
    expect(loop.medianMs).toBe(0);
    expect(clock.sleeping).toBe(1);
  });
});

describe('health over HTTP', () => {
  it('tells everything, with its time, to who has the token only', async () => {
    const { ask } = await start();
    for (const path of ['/readyz?verbose', '/healthz?verbose', '/readyz?verbose=1']) {
      expect((await ask(path)).status).toBe(401);
      expect((await ask(path)).body.toString()).not.toContain('docker.io');
    }
    const ready = await ask('/readyz?verbose', `Bearer ${TOKEN}`);
    expect(ready.status).toBe(200);
    const report = JSON.parse(ready.body.toString()) as Record<string, unknown>;
    expect(report).toMatchObject({
      status: 'ready',
      version: '0.0.0',
      checks: [
        { name: 'store', isWell: true, decides: true },
        { name: 'index', isWell: true, decides: true },
        { name: 'event loop', isWell: true, decides: true },
        { name: 'upstream docker.io', isWell: true, decides: false, message: 'unknown' },
      ],
    });
    const alive = await ask('/healthz?verbose', `Bearer ${TOKEN}`);
    expect(JSON.parse(alive.body.toString())).toMatchObject({ status: 'ok', version: '0.0.0' });
    expect((await ask('/readyz')).body.toString()).toBe('ready\n');
  });

  it('shows an upstream that is down, and is ready', async () => {
    const { app, registry, ask } = await start();
    await registry.stop();
    for (let n = 0; n < 3; n += 1) await get(`${app.url}/v2/app/manifests/v${n}`, { headers: {} });
    const ready = await ask('/readyz?verbose', `Bearer ${TOKEN}`);
    expect(ready.status).toBe(200);
    const { checks } = JSON.parse(ready.body.toString()) as { checks: unknown[] };
    const message = expect.stringMatching(/^down since .*: ./) as unknown;
    expect(checks).toContainEqual({
      name: 'upstream docker.io',
      isWell: false,
      decides: false,
      ms: 0,
      message,
    });
  });

  it('says until when an upstream is paused that said too many requests, and is ready', async () => {
    const { app, registry, ask } = await start();
    registry.faults.add({ action: { respond: { status: 429, headers: { 'retry-after': '60' } } } });
    expect((await get(`${app.url}/v2/app/manifests/v1`)).status).toBe(429);
    const ready = await ask('/readyz?verbose', `Bearer ${TOKEN}`);
    expect(ready.status).toBe(200);
    const { checks } = JSON.parse(ready.body.toString()) as { checks: { name: string; message?: string }[] };
    const found = checks.find(({ name }) => name === 'upstream docker.io');
    expect(found).toMatchObject({
      isWell: true,
      message: expect.stringMatching(/^up since .*, paused until /),
    });
    const until = Date.parse(found?.message?.split('paused until ')[1] ?? '');
    expect(until).toBeGreaterThan(Date.now() + 30_000);
  });
});
