import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';

const CANARY = 'canary-password';

test('a secret that is not there is the trouble of its upstream alone, until it is there', async () => {
  const credentials = { username: 'me', password: CANARY };
  const locked = closeAfterTest(
    await FakeRegistry.start({ auth: { mode: 'basic', credentials: [credentials] } }),
  );
  const open = closeAfterTest(await FakeRegistry.start());
  for (const registry of [locked, open])
    pushTo(registry, { repository: 'team/app', tag: 'v1', image: buildImage() });
  const file = join(await tempDir(), 'password');
  const app = await startApp({
    upstreams: [
      { name: 'open', url: open.url },
      { name: 'locked', url: locked.url, auth: { username: 'me', password: { file } } },
    ],
  });
  const told = () => app.logLines.filter(({ level }) => level === 'error');
  await vi.waitFor(() => expect(told()).toHaveLength(1), SOON);
  const problem =
    'no credentials for locked: upstreams.locked.auth.passwordFile cannot be read: there is no such file';
  expect(told()[0]).toMatchObject({ upstream: 'locked', key: 'upstreams.locked.auth.passwordFile', problem });

  const pull = async (upstream: string) => get(`${app.url}/v2/${upstream}/team/app/manifests/v1`);
  const refused = await pull('locked');
  expect(refused.status).toBe(503);
  expect(refused.body.toString('utf8')).toContain(problem);
  // But for what made the registry ask for them.
  expect(locked.requests.map(({ status }) => status)).toEqual([401]);
  expect((await pull('open')).status).toBe(200);

  await writeFile(`${file}.new`, `${CANARY}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  await vi.waitFor(async () => expect((await pull('locked')).status).toBe(200), {
    ...SOON,
    interval: 200,
  });
  expect(told()).toHaveLength(1);
  expect(JSON.stringify(app.logLines)).not.toContain(CANARY);
});
