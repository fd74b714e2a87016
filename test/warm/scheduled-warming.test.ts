import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../../src/clock.ts';
import { parseImageName } from '../../src/oci/image-reference.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The right one, until `hurry` is called: what is waited for until `due` passes at once then, and puts the clock on. */
function clockThatHurries(due: number): Clock & { readonly hurry: () => void } {
  let ahead = 0;
  let isHurried = false;
  const now = () => systemClock.now() + ahead;
  return {
    ...systemClock,
    now,
    hurry: () => void (isHurried = true),
    sleep: async (ms, signal) => {
      if (ms < 1000 || ms > 30_000) return systemClock.sleep(ms, signal);
      const begunAt = now();
      for (let left = ms; left > 0; left -= 20) {
        await systemClock.sleep(20, signal);
        if (!isHurried || begunAt >= due) continue;
        ahead += Math.max(0, Math.min(left, due - now()));
        return;
      }
    },
  };
}

test('a schedule of the configuration warms the cache of a server, and is seen in status, metrics and log', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage({});
  pushTo(registry, { repository: 'library/app', tag: 'v1', image });
  const directory = await tempDir();
  const list = join(directory, 'list.txt');
  await writeFile(list, 'app:v1\n');
  const absent = parseImageName('docker.io/library/absent:1', [{ name: 'docker.io', default: true }]);
  if ('problem' in absent) throw new Error(absent.problem);
  const due = new Date((Math.floor(systemClock.now() / 60_000) + 5) * 60_000);
  const cron = `${due.getUTCMinutes()} ${due.getUTCHours()} * * *`;
  const common = { cron, timezone: 'UTC', platforms: [], withReferrers: false };
  const clock = clockThatHurries(due.getTime());
  const app = await startApp({
    upstreams: [{ name: 'docker.io', url: registry.url }],
    clock,
    warm: [
      { ...common, name: 'whole', images: [], from: [list] },
      { ...common, name: 'broken', images: [absent], from: [join(directory, 'none')] },
    ],
  });
  clock.hurry();
  const status = async () => JSON.parse(String((await get(`${app.adminUrl}/api/v1/status`)).body)) as object;
  await expect.poll(status, { timeout: 15_000 }).toMatchObject({
    schedules: [
      {
        name: 'whole',
        isRunning: false,
        nextAt: due.getTime() + 86_400_000,
        last: { outcome: 'done', images: 1, failedImages: 0 },
      },
      {
        name: 'broken',
        last: {
          outcome: 'failed',
          images: 1,
          failedImages: 1,
          fetchedBytes: 0,
          problem: `${join(directory, 'none')}: there is no such file or directory`,
        },
      },
    ],
  });
  for (const { digest } of image.blobs) {
    const blob = await get(`${app.url}/v2/library/app/blobs/${digest}`, { digestOnly: true });
    expect(blob).toMatchObject({ status: 200, complete: true, digest });
    expect(blob.headers['x-cache']).toBe('HIT');
  }
  const metrics = String((await get(`${app.adminUrl}/metrics`)).body);
  expect(metrics).toMatch(/^entrepot_warm_runs_total\{schedule="whole",outcome="done"\} 1$/m);
  expect(metrics).toMatch(/^entrepot_warm_runs_total\{schedule="broken",outcome="failed"\} 1$/m);
  expect(metrics).toMatch(/^entrepot_warm_failed_images\{schedule="broken"\} 1$/m);
  expect(metrics).toMatch(/^entrepot_warm_running\{schedule="whole"\} 0$/m);
  expect(metrics).toMatch(/^entrepot_warm_fetched_bytes_total\{schedule="whole"\} [1-9]\d+$/m);
  expect(metrics).toMatch(/^entrepot_warm_last_success_timestamp_seconds\{schedule="whole"\} \d/m);
  expect(metrics).not.toMatch(/^entrepot_warm_last_success_timestamp_seconds\{schedule="broken"\}/m);
  const lines = app.logLines
    .filter(({ schedule }) => schedule === 'broken')
    .map(({ level, msg }) => `${level} ${msg}`);
  expect(lines).toEqual([
    'warn what is to be warmed cannot be read yet',
    'info warming as scheduled',
    'warn what is to be warmed cannot be read',
    'warn an image could not be warmed',
    'warn not all could be warmed as scheduled',
  ]);
});
