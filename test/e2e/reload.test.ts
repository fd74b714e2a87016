import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { expect, it, vi } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess, type LogFacts, runEntrepot } from '../support/entrepot-process.ts';
import type { FakeAuth } from '../support/fake-registry-auth.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { freePort } from '../support/free-port.ts';
import { Gate } from '../support/gate.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { makeCertificate } from '../support/loaded-config.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';

const IMAGE = buildImage({ seed: 5, layerSizes: [3 * 1024 * 1024] });
const [LAYER] = IMAGE.manifests[0]?.layers ?? [];
if (LAYER === undefined) throw new Error('the image has no layer');
const TOKEN = 'canary-admin-token-77';
const READER = { username: 'reader', password: 'canary-reader-password' };

type Settings = Readonly<Record<string, unknown>>;

const DONE = 'the configuration was read again: what changed holds';
const REFUSED = 'the new configuration is refused: the old one holds';

async function startRegistry(auth: FakeAuth = { mode: 'none' }): Promise<FakeRegistry> {
  const registry = closeAfterTest(await FakeRegistry.start({ auth }));
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: IMAGE });
  return registry;
}

async function start(settings: Settings) {
  const workingDir = await tempDir();
  const adminPort = await freePort();
  const write = async (text: string): Promise<void> => writeFile(join(workingDir, 'config.yaml'), text);
  const configure = async (more: Settings): Promise<void> => {
    const own = { listen: '127.0.0.1:0', admin: { listen: `127.0.0.1:${adminPort}`, token: TOKEN } };
    await write(JSON.stringify({ ...own, dataDir: './data', ...more }));
  };
  await configure(settings);
  const entrepot = await EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], { workingDir });
  /** Resolves with the line that says what came of it. */
  const reload = async (message = DONE): Promise<LogFacts> => {
    const said = () => entrepot.log.filter(({ msg }) => msg === message);
    const before = said().length;
    entrepot.signal('SIGHUP');
    return vi.waitFor(() => {
      const line = said()[before];
      if (line === undefined) throw new Error(`not said yet: ${message}`);
      return line;
    }, SOON);
  };
  const status = async (path: string) => (await get(`${entrepot.url}/v2/${path}`)).status;
  const admin = async (path: string) =>
    get(`${entrepot.adminUrl}/${path}`, { headers: { authorization: `Bearer ${TOKEN}` } });
  return { entrepot, workingDir, write, configure, reload, status, admin };
}

it('a broken file is logged with all of its faults and counted, and the old one holds', async () => {
  const registry = await startRegistry();
  const good = { upstreams: { 'docker.io': { url: registry.url } } };
  const { entrepot, write, configure, reload, status, admin } = await start(good);
  await configure({ cache: { maxSizes: 1 }, upstreams: { 'docker.io': { url: 'canary' } } });
  const { problems } = await reload(REFUSED);
  expect(problems).toEqual([
    expect.stringMatching(/^cache\.maxSizes: /),
    expect.stringMatching(/^upstreams\.docker\.io\.url: /),
  ]);
  await write('upstreams: [');
  expect((await reload(REFUSED))['problems']).toHaveLength(1);
  expect(await status('library/app/manifests/v1')).toBe(200);
  expect((await admin('metrics')).body.toString()).toMatch(
    /^entrepot_config_reloads_total\{outcome="refused"\} 2\n(?:.*\n)*entrepot_config_last_reload_successful 0$/m,
  );
  await configure({ ...good, log: { level: 'debug' } });
  expect((await reload())['changed']).toEqual(['log.level']);
  await status('library/app/manifests/v1');
  expect(entrepot.isRunning).toBe(true);
});

it.each(['basic', 'bearer'] as const)('credentials are those of the new file (%s)', async (mode) => {
  const registry = await startRegistry({ mode, credentials: [READER] });
  const settings = (password: string) => ({
    upstreams: { 'docker.io': { url: registry.url, auth: { ...READER, password } } },
  });
  const { entrepot, configure, reload, status, admin } = await start(settings('canary-wrong'));
  expect(await status('library/app/manifests/v1')).toBe(403);
  await configure(settings(READER.password));
  expect((await reload())['changed']).toEqual(['upstreams.docker.io.auth']);
  expect(await status('library/app/manifests/v1')).toBe(200);
  const shown = (await admin('api/v1/config')).body.toString();
  const { settings: told } = JSON.parse(shown) as { settings: readonly { key: string; value: unknown }[] };
  expect(told).toContainEqual({
    key: 'upstreams.docker.io.auth.password',
    value: '***',
    source: 'file',
    needsRestart: false,
  });
  expect(entrepot.output + shown).not.toContain('canary');
});

it('upstreams come and go while one of them sends a large layer', async () => {
  const [registry, other] = [await startRegistry(), await startRegistry()];
  const { entrepot, configure, reload, status } = await start({
    upstreams: { 'docker.io': { url: registry.url } },
  });
  const gate = new Gate();
  registry.faults.add({
    match: { method: 'GET', path: new RegExp(LAYER.digest) },
    action: { stallAfter: { bytes: 1024 * 1024, gate } },
  });
  const pulling = get(`${entrepot.url}/v2/library/app/blobs/${LAYER.digest}`);
  await gate.arrived();
  await configure({ upstreams: { 'quay.io': { url: other.url } } });
  expect((await reload())['changed']).toEqual(
    expect.arrayContaining(['upstreams.docker.io', 'upstreams.quay.io']),
  );
  expect(await status('quay.io/library/app/manifests/v1')).toBe(200);
  expect(await status('docker.io/library/app/manifests/v1')).toBe(404);
  gate.open();
  const { status: code, digest } = await pulling;
  expect({ code, digest }).toEqual({ code: 200, digest: LAYER.digest });
  await configure({ upstreams: { 'docker.io': { url: registry.url }, 'quay.io': { url: other.url } } });
  await reload();
  // It is cached, and known to be of this upstream.
  registry.forget();
  expect(await status(`docker.io/library/app/blobs/${LAYER.digest}`)).toBe(200);
  expect(registry.count({ method: 'GET' })).toBe(0);
});

it('is asked for by entrepot reload as well, and says which key needs a restart', async () => {
  const registry = await startRegistry();
  const upstreams = { 'docker.io': { url: registry.url } };
  const { entrepot, workingDir, configure, status } = await start({ upstreams });
  const reload = async () => runEntrepot(['reload', '--config', 'config.yaml'], { workingDir });
  await configure({ upstreams: { ...upstreams, 'quay.io': { url: registry.url } } });
  expect(await reload()).toMatchObject({ code: 0, stdout: 'upstreams.quay.io\n' });
  expect(await status('quay.io/library/app/manifests/v1')).toBe(200);
  await configure({ upstreams, listen: '127.0.0.1:1' });
  const refused = await reload();
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toContain('\n  listen: cannot change without a restart');
  expect(await status('quay.io/library/app/manifests/v1')).toBe(200);
  expect(entrepot.output + refused.stderr).not.toContain('canary');
});

it('the certificate of a listener may be of other files', async () => {
  const registry = await startRegistry();
  const pairs = [makeCertificate(await tempDir()), makeCertificate(await tempDir())];
  const settings = (at: number) => ({
    tls: pairs[at],
    admin: { listen: '127.0.0.1:0' },
    upstreams: { 'docker.io': { url: registry.url } },
  });
  const { entrepot, configure, reload } = await start(settings(0));
  const shown = async (): Promise<string> =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(entrepot.url);
      const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
        resolve(socket.getPeerX509Certificate()?.serialNumber ?? '');
        socket.destroy();
      });
      socket.once('error', reject);
    });
  const before = await shown();
  await configure(settings(1));
  expect((await reload())['changed']).toEqual(['tls']);
  expect(await shown()).not.toBe(before);
  await configure({ ...settings(1), tls: undefined });
  expect((await reload(REFUSED))['problems']).toEqual(['tls: cannot change without a restart']);
});
