import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import type { SavingsReport } from '../../src/activity/activity-events.ts';
import { runProgram } from '../../src/commands/program.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const TOKEN = 'canary-admin-token';
const IMAGE = buildImage();
const DAY_MS = 86_400_000;

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const { url } = registry;
  const options = {
    upstreams: [{ name: 'docker.io', url }],
    adminToken: TOKEN,
    keepUsageMs: 400 * DAY_MS,
  };
  const app = await startApp(options);
  const configured = { usage: { keep: '400d' } };
  const run = async (...args: readonly string[]) => {
    const subject = await fakeProcess({});
    const file = join(subject.io.workingDir, 'config.yaml');
    const admin = { listen: new URL(app.adminUrl).host, token: TOKEN };
    const config = { dataDir: app.dataDir, admin, upstreams: { 'docker.io': { url } }, ...configured };
    await writeFile(file, JSON.stringify(config));
    // The environment outranks the file.
    const io = { ...subject.io, environment: {} };
    const code = await runProgram(['report', ...args, '--config', file], io);
    const told = { code, stdout: subject.stdout(), stderr: subject.stderr() };
    expect(told.stdout + told.stderr).not.toContain('canary');
    return told;
  };
  const json = async (...args: readonly string[]) =>
    JSON.parse((await run(...args, '--json')).stdout) as SavingsReport;
  const restart = () => startApp({ ...options, dataDir: app.dataDir });
  return { registry, app, run, json, restart, configured };
}

/** What two answers of the same must have in common: times pass. */
function lasting(report: SavingsReport): Partial<SavingsReport> {
  const { until: _until, since: _since, keptSince: _kept, ...rest } = report;
  return rest;
}

describe('entrepot report', () => {
  it('says the same with the server, without it, and after a restart', async () => {
    const { app, json, restart } = await start();
    for (let round = 0; round < 3; round += 1) await pullImage(app, 'library/app', 'v1', IMAGE);
    await vi.waitFor(async () => expect((await json()).pulls).toBe(6), SOON);
    const served = await json();
    expect(served).toMatchObject({ pulls: 6, pullsAvoided: 5, upstreamPulls: 1 });
    expect(served.bytesAvoided).toBe(served.bytes - served.upstreamBytes);
    expect(served.bytesAvoided).toBeGreaterThan(0);
    expect(served.topImages.map(({ image }) => image)).toEqual(['docker.io/library/app']);
    expect(served.topClients.map(({ client }) => client)).toEqual(['127.0.0.1']);
    expect(served).toMatchObject({ sharedShare: 0, unusedCount: 0 });
    expect(served.since % DAY_MS).toBe(0);
    await app.close();
    expect(lasting(await json())).toEqual(lasting(served));
    const again = await restart();
    const { body } = await get(`${again.adminUrl}/api/v1/report`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    expect(lasting(JSON.parse(body.toString()) as SavingsReport)).toEqual(lasting(served));
  });

  it('is a page of text, with its assumption, and the lists as long as they were asked for', async () => {
    const { app, run } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await vi.waitFor(
      async () => expect((await run()).stdout).toContain('4, 3 of them not asked upstream'),
      SOON,
    );
    const { code, stdout, stderr } = await run('--since', '7d', '--top', '1');
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^period +\d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d \(UTC\), kept since \d{4}-\d\d-\d\d\n/,
    );
    expect(stdout).toMatch(/\ntime saved +about \d+ s: answers from the cache would have come/);
    expect(stdout).toMatch(
      /\nimage +pulls +requests +hits +failed +bytes +hit bytes\ndocker\.io\/library\/app +4 +/,
    );
    expect(stdout).toMatch(/\nclient +pulls .*\n127\.0\.0\.1 +4 +/);
  });

  it('says how many answers failed', async () => {
    const { registry, app, run, json } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    registry.faults.add({ action: { respond: { status: 503, headers: { 'retry-after': '600' } } } });
    for (let round = 0; round < 3; round += 1)
      expect((await get(`${app.url}/v2/library/app/manifests/other`)).status).toBeGreaterThan(428);
    await vi.waitFor(async () => expect(await json()).toMatchObject({ failures: 3 }), SOON);
    const { stdout } = await run();
    expect(stdout).toMatch(/\nfailed +3 answers: /);
    expect(stdout).toMatch(/\nclient .*\n127\.0\.0\.1 +\d+ +\d+ +\d+ % +3 +/);
  });

  it('of a cache that was never asked is empty, and makes no file', async () => {
    const { app, json } = await start();
    await app.close();
    const before = await readdir(app.dataDir);
    expect(await json()).toMatchObject({
      requests: 0,
      bytes: 0,
      topImages: [],
      topClients: [],
      byUpstream: [],
    });
    expect(await readdir(app.dataDir)).toEqual(before);
    expect(before).not.toContain('usage.sqlite');
  });

  it.each([
    [['--since', '0s'], '--since 0s: accepted is a duration'],
    [['--since', 'yesterday'], '--since yesterday: accepted is a duration'],
    [['--top', '0'], '--top 0: accepted is a number from 1 to 1000'],
    [['--top', '1001'], '--top 1001: accepted is a number from 1 to 1000'],
  ])('refuses %s', async (args, message) => {
    const { run } = await start();
    const { code, stderr } = await run(...args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(message)]);
  });
});

describe('where usage is never kept', () => {
  it('nothing is written, what was kept is removed at the start, and the report is of this process alone', async () => {
    const { registry, app } = await start();
    await pullImage(app, 'library/app', 'v1', IMAGE);
    await app.close();
    expect(await readdir(app.dataDir)).toContain('usage.sqlite');
    const again = await startApp({
      upstreams: [{ name: 'docker.io', url: registry.url }],
      dataDir: app.dataDir,
    });
    expect((await readdir(app.dataDir)).filter((file) => file.startsWith('usage'))).toEqual([]);
    await pullImage(again, 'library/app', 'v1', IMAGE);
    const report = async () =>
      JSON.parse((await get(`${again.adminUrl}/api/v1/report`)).body.toString()) as SavingsReport;
    await vi.waitFor(async () => expect(await report()).toMatchObject({ pulls: 2, upstreamPulls: 0 }), SOON);
    expect((await report()).keptSince).toBeGreaterThan(0);
    await again.close();
    expect((await readdir(app.dataDir)).filter((file) => file.startsWith('usage'))).toEqual([]);
  });
});
