import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { runHere } from '../support/command-here.ts';
import { freePort } from '../support/free-port.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';

const IMAGE = buildImage();
const TOKEN = 'canary-admin-token-9e02';

async function start(more: Readonly<Record<string, unknown>> = {}) {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  const workingDir = await tempDir();
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: `127.0.0.1:${await freePort()}`, token: TOKEN },
    dataDir: './data',
    upstreams: { 'docker.io': { url: registry.url }, 'quay.io': { url: registry.url } },
    ...more,
  };
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
  await writeFile(join(workingDir, 'images.txt'), 'app:v1\napp:v2\n');
  const run = async (...args: readonly string[]) => {
    const ended = await runHere([...args, '--config', 'config.yaml'], { workingDir });
    expect(ended.stdout + ended.stderr).not.toContain('canary');
    return ended;
  };
  const serve = () => EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], { workingDir });
  return { registry, run, serve };
}

test('an outage is rehearsed on a running server, ends by itself, and a restart forgets it', async () => {
  const { registry, run, serve } = await start();
  const first = await serve();
  const base = `${first.url}/v2/library/app`;
  await get(`${base}/manifests/v1`);
  for (const { digest } of IMAGE.blobs) expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
  registry.forget();

  expect(await run('offline', '--for', '1h')).toMatchObject({ code: 0, stderr: '' });
  expect((await get(`${base}/manifests/v1`)).status).toBe(200);
  const missing = await get(`${base}/manifests/v2`);
  expect(missing.status).toBe(404);
  expect(missing.body.toString()).toMatch(/docker\.io is not asked: entrepot is offline until 20/);
  expect(missing.totalMs).toBeLessThan(5000);
  expect(registry.requests).toEqual([]);
  expect((await run('status')).stdout).toMatch(/^offline +docker\.io, until 20/m);
  expect(await run('offline', '--for', '2s')).toMatchObject({ code: 0, stderr: '' });
  await vi.waitFor(
    async () => expect((await run('offline')).stdout).toMatch(/^docker\.io +online +configuration/m),
    { ...SOON, interval: 500 },
  );
  await first.logged('online: upstreams are asked again');
  expect(first.log.filter(({ msg }) => msg === 'offline: upstreams are not asked')).toHaveLength(1);

  const told = await run('rehearsal', '--from', 'images.txt');
  expect(told.code).toBe(1);
  expect(told.stdout).toMatch(/^docker\.io {2}library\/app {2}manifest {2}v2 /m);
  expect(told.stdout).toMatch(/^1 of 2 could be pulled: 50 %$/m);
  expect((await run('rehearsal', 'app:v1')).code).toBe(0);

  expect((await run('offline', 'on')).code).toBe(0);
  await first.stop();
  expect((await run('offline', 'on')).code).toBe(1);
  expect(await run('rehearsal', 'app:v1')).toMatchObject({
    code: 0,
    stdout: '1 of 1 could be pulled: 100 %\n',
  });
  const second = await serve();
  expect((await run('offline')).stdout).toMatch(/^docker\.io +online +configuration/m);
  expect(second.announcement['offline']).toBeUndefined();
});

test('upstreams that are offline by configuration are said to be, and one may be asked all the same', async () => {
  const { registry, run, serve } = await start({ offline: true });
  const entrepot = await serve();
  expect(entrepot.announcement['offline']).toEqual(['docker.io', 'quay.io']);
  expect((await get(`${entrepot.url}/v2/library/app/manifests/v1`)).status).toBe(404);
  expect(registry.connections).toBe(0);
  expect((await run('check')).stderr).toContain('offline is true: no upstream is ever asked');
  expect((await run('offline', 'off', '--upstream', 'docker.io')).code).toBe(0);
  expect((await get(`${entrepot.url}/v2/library/app/manifests/v1`)).status).toBe(200);
  expect((await get(`${entrepot.url}/v2/quay.io/library/app/manifests/v1`)).status).toBe(404);
});
