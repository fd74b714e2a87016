import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { FakeRegistry } from '../support/fake-registry.ts';
import { freePort } from '../support/free-port.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { BootedSystemd } from './booted-systemd.ts';
import { SYSTEMD, UNIT } from './unit-file.ts';

const CONFIG = '/etc/entrepot/config.yaml';

/** As deploy/systemd/README.md says; with ports of its own, and an upstream that is here. */
async function install(systemd: BootedSystemd, config: Readonly<Record<string, unknown>>): Promise<void> {
  const write = async (path: string, text: string) =>
    systemd.succeed('sh', '-c', 'mkdir -p "$(dirname "$1")" && printf %s "$2" >"$1"', 'sh', path, text);
  await write(
    '/etc/sysusers.d/entrepot.conf',
    await readFile(join(SYSTEMD, 'entrepot.sysusers.conf'), 'utf8'),
  );
  await systemd.succeed('systemd-sysusers');
  await write(CONFIG, JSON.stringify(config));
  await write(
    '/etc/tmpfiles.d/entrepot.conf',
    await readFile(join(SYSTEMD, 'entrepot.tmpfiles.conf'), 'utf8'),
  );
  await systemd.succeed('systemd-tmpfiles', '--create', 'entrepot.conf');
  await write('/etc/systemd/system/entrepot.service', await readFile(UNIT, 'utf8'));
  await systemd.succeed('systemctl', 'daemon-reload');
}

async function shown(systemd: BootedSystemd, property: string): Promise<string> {
  return (await systemd.succeed('systemctl', 'show', '--value', `--property=${property}`, 'entrepot')).trim();
}

describeWith(
  { programs: ['systemctl', 'unshare', 'nsenter'], root: true, mounts: ['overlay'] },
  'the unit under a real systemd',
  () => {
    it('serves with nothing but what it may, is reloaded with a sound configuration alone, and stops', async () => {
      const registry = await FakeRegistry.start();
      onTestFinished(() => registry.close());
      const image = buildImage();
      pushTo(registry, { repository: 'library/sample', tag: 'v1', image });
      const [port, adminPort] = [await freePort(), await freePort()];
      const config = {
        listen: `127.0.0.1:${port}`,
        admin: { listen: `127.0.0.1:${adminPort}` },
        dataDir: '/var/lib/entrepot',
        upstreams: { 'docker.io': { url: registry.url } },
      };
      const systemd = await BootedSystemd.start();
      await install(systemd, config);
      await systemd.succeed('systemctl', 'start', 'entrepot');
      const ready = async () =>
        get(`http://127.0.0.1:${adminPort}/readyz`).then(
          ({ status }) => status,
          () => 0,
        );
      await expect.poll(ready, { timeout: 30_000 }).toBe(200);

      const base = `http://127.0.0.1:${port}/v2/library/sample`;
      expect((await get(`${base}/manifests/v1`)).digest).toBe(image.root.digest);
      for (const { digest } of image.blobs)
        expect((await get(`${base}/blobs/${digest}`)).digest).toBe(digest);

      const pid = await shown(systemd, 'MainPID');
      const status = await systemd.succeed('cat', `/proc/${pid}/status`);
      const user = (await systemd.succeed('id', '--user', 'entrepot')).trim();
      expect(status).toContain(`Uid:\t${user}\t${user}\t${user}\t${user}\n`);
      expect(status).toMatch(/^CapBnd:\t0+$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).toMatch(/^Seccomp:\t2$/m);
      const owned = await systemd.succeed(
        'stat',
        '--format=%U %a',
        '/var/lib/entrepot',
        '/etc/entrepot/config.yaml',
      );
      expect(owned).toBe('entrepot 750\nroot 640\n');

      await systemd.succeed('systemctl', 'reload', 'entrepot');
      await systemd.succeed('sh', '-c', `mv ${CONFIG} /etc/entrepot/sound && echo 'bogus: 1' >${CONFIG}`);
      expect((await systemd.run('systemctl', 'reload', 'entrepot')).code).not.toBe(0);
      expect([await ready(), await shown(systemd, 'MainPID')]).toEqual([200, pid]);

      await systemd.succeed('systemctl', 'stop', 'entrepot');
      expect([await shown(systemd, 'Result'), await shown(systemd, 'ExecMainStatus')]).toEqual([
        'success',
        '0',
      ]);
      // With the broken configuration it does not start, and is not tried again.
      await systemd.run('systemctl', 'start', 'entrepot');
      await expect.poll(() => shown(systemd, 'ActiveState'), { timeout: 20_000 }).toBe('failed');
      expect([await shown(systemd, 'ExecMainStatus'), await shown(systemd, 'NRestarts')]).toEqual(['2', '0']);
    }, 120_000);
  },
);
