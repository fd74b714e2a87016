import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { pullImage } from '../cache/store-operations-contract.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltImage, buildReferrer, pushTo } from '../support/images.ts';
import { type RunningApp, startApp } from '../support/running-app.ts';
import { SOON } from '../support/soon.ts';

const TOKEN = 'canary-admin-token';
const PLATFORMS = ['linux/amd64', 'linux/arm64'];
const WHOLE = buildImage({ platforms: PLATFORMS });
const PART = buildImage({ platforms: PLATFORMS, seed: 2 });
const BROKEN = buildImage({ seed: 3 });

async function start() {
  const registry = closeAfterTest(await FakeRegistry.start());
  for (const [tag, image] of Object.entries({ whole: WHOLE, part: PART, broken: BROKEN }))
    pushTo(registry, { repository: 'library/app', tag, image });
  const { url } = registry;
  const upstreams = [
    { name: 'docker.io', url },
    { name: 'quay.io', url },
  ];
  const app = await startApp({ upstreams, adminToken: TOKEN });
  const run = async (...args: readonly string[]) => {
    const subject = await fakeProcess({});
    const { workingDir } = subject.io;
    const config = {
      dataDir: app.dataDir,
      admin: { listen: new URL(app.adminUrl).host, token: TOKEN },
      upstreams: { 'docker.io': { url }, 'quay.io': { url } },
    };
    await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
    await writeFile(join(workingDir, 'images.txt'), 'app:whole\napp:part # of one platform\n\napp:absent\n');
    await writeFile(join(workingDir, 'wrong.txt'), 'app:whole\nAPP\n');
    // The environment outranks the file.
    const io = { ...subject.io, environment: {} };
    const code = await runProgram([...args, '--config', join(workingDir, 'config.yaml')], io);
    const told = { code, stdout: subject.stdout(), stderr: subject.stderr() };
    expect(told.stdout + told.stderr).not.toContain('canary');
    return told;
  };
  const json = async <T>(...args: readonly string[]) => {
    const { code, stdout } = await run(...args, '--json');
    return { code, value: JSON.parse(stdout) as T };
  };
  return { registry, app, run, json };
}

/** All of one platform, as a client pulls it. */
async function pullPlatform(app: RunningApp, tag: string, image: BuiltImage, platform: string) {
  const base = `${app.url}/v2/library/app`;
  expect((await get(`${base}/manifests/${tag}`)).status).toBe(200);
  const manifest = image.manifests.find((each) => each.platform === platform);
  if (manifest === undefined) throw new Error(`no ${platform}`);
  expect((await get(`${base}/manifests/${manifest.digest}`)).status).toBe(200);
  for (const { digest } of [manifest.config, ...manifest.layers])
    expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
}

const settled = async ({ run }: { run: (...args: string[]) => Promise<{ stdout: string }> }) =>
  vi.waitFor(
    async () =>
      expect(JSON.parse((await run('status', '--json')).stdout)).toMatchObject({ reservedBytes: 0 }),
    SOON,
  );

describe('entrepot offline', () => {
  it('turns a running server, for a time or some upstreams, and says how it is', async () => {
    const { app, run, registry } = await start();
    expect(await run('offline')).toMatchObject({
      code: 0,
      stdout:
        'upstream   is      by             until\n' +
        'docker.io  online  configuration  -\n' +
        'quay.io    online  configuration  -\n',
      stderr: '',
    });
    const on = await run('offline', 'on', '--upstream', 'quay.io');
    expect(on.code).toBe(0);
    expect(on.stdout).toMatch(/^docker\.io {2}online .*\nquay\.io {4}offline {2}command +the server ends$/m);
    const timed = await run('offline', '--for', '10m');
    expect(timed.stdout).toMatch(/^docker\.io {2}offline {2}command +20\d\d-\d\d-\d\dT[\d:.]+Z$/m);
    expect((await get(`${app.url}/v2/library/app/manifests/whole`)).status).toBe(404);
    expect(registry.requests).toEqual([]);
    const status = await run('status');
    expect(status.stdout).toMatch(/^offline +docker\.io, until 20.*\n +quay\.io, until 20/m);
    const off = await run('offline', 'off', '--json');
    expect(JSON.parse(off.stdout)).toEqual({
      upstreams: ['docker.io', 'quay.io'].map((upstream) => ({
        upstream,
        isOffline: false,
        isConfigured: false,
      })),
    });
    expect((await get(`${app.url}/v2/library/app/manifests/whole`)).status).toBe(200);
  });

  it.each([
    [['maybe'], 'entrepot: "maybe": accepted is on or off; without either it says how it is.'],
    [['on', '--for', '0s'], 'entrepot: --for 0s: accepted is a duration from 1s to 7d, such as 10m.'],
    [['on', '--for', '8d'], 'entrepot: --for 8d: accepted is a duration from 1s to 7d, such as 10m.'],
    [['--upstream', 'quay.io'], 'entrepot: --upstream: say on or off before it.'],
    [
      ['on', '--upstream', 'q.io'],
      'entrepot: --upstream q.io: not configured; there are docker.io, quay.io.',
    ],
  ])('refuses %j', async (args, message) => {
    const { run } = await start();
    expect(await run('offline', ...args)).toEqual({ code: 2, stdout: '', stderr: `${message}\n` });
  });

  it('has nothing to turn where no server runs', async () => {
    const { app, run } = await start();
    await app.close();
    const answer = await run('offline', 'on');
    expect(answer).toMatchObject({ code: 1, stdout: '' });
    expect(answer.stderr).toMatch(/^entrepot: no server uses .*, and offline mode is of one that runs; /);
  });
});

interface Told {
  readonly total: number;
  readonly whole: number;
  readonly percent: number;
  readonly byPlatform: readonly unknown[];
  readonly images: readonly { readonly image: string; readonly state: string }[];
}

describe('entrepot rehearsal', () => {
  it.each(['with a server', 'without one'])('says which images would be missing, %s', async (how) => {
    const scene = await start();
    const { app, run, json } = scene;
    await pullImage(app, 'library/app', 'whole', WHOLE);
    await pullPlatform(app, 'part', PART, 'linux/arm64');
    await pullPlatform(app, 'broken', BROKEN, 'linux/amd64');
    await settled(scene);
    if (how === 'without one') await app.close();

    const all = await json<Told>('rehearsal', 'app:whole', 'app:part', 'app:absent', 'quay.io/org/app:v1');
    const [amd64] = PART.manifests;
    expect(all).toMatchObject({
      code: 1,
      value: {
        total: 4,
        whole: 1,
        percent: 25,
        byPlatform: [
          { platform: 'linux/arm64', total: 2, whole: 2 },
          { platform: 'linux/amd64', total: 2, whole: 1 },
        ],
        images: [
          {
            image: 'docker.io/library/app:whole',
            state: 'whole',
            digest: WHOLE.root.digest,
            missing: { manifests: 0, blobs: 0, bytes: 0 },
            atLeast: false,
          },
          {
            image: 'docker.io/library/app:part',
            state: 'partly',
            missing: { manifests: 1, blobs: 0, bytes: amd64?.size },
            atLeast: true,
            platforms: [
              { platform: 'linux/amd64', isWhole: false },
              { platform: 'linux/arm64', isWhole: true },
            ],
          },
          { image: 'docker.io/library/app:absent', state: 'missing' },
          { image: 'quay.io/org/app:v1', state: 'missing' },
        ],
      },
    });
    const asText = await run('rehearsal', '--from', 'images.txt');
    expect(asText.code).toBe(1);
    expect(asText.stdout).toMatch(
      /^docker\.io\/library\/app:part +partly +linux\/amd64: at least 1 manifest, .*images\.txt:2$/m,
    );
    expect(asText.stdout).toMatch(
      /^docker\.io\/library\/app:absent +not at all +nothing is known of it here +.*images\.txt:4$/m,
    );
    expect(asText.stdout).toMatch(/^1 of 3 could be pulled: 33 %$/m);
    expect(asText.stdout).toMatch(/^Whole by platform: linux\/arm64 2 of 2, linux\/amd64 1 of 2\.$/m);
    expect(await run('rehearsal', 'app:whole', 'app:part', '--platform', 'linux/arm64')).toMatchObject({
      code: 0,
      stdout: '2 of 2 could be pulled: 100 %\n',
    });
    expect(await run('rehearsal', 'app:whole', '--platform', 'linux/s390x')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('not at all       it is made for linux/amd64, linux/arm64'),
    });
    expect(await json('rehearsal', '--seen-within', '1h')).toMatchObject({
      code: 1,
      value: { total: 3, whole: 2 },
    });
    const [child] = WHOLE.manifests;
    expect(await json('rehearsal', `app@${WHOLE.root.digest}`, `app@${child?.digest}`)).toMatchObject({
      code: 0,
      value: { total: 2, whole: 2 },
    });
  });

  it('counts what is stored but was never seen in the repository as missing, as its clients would', async () => {
    const scene = await start();
    const { app, json, registry } = scene;
    const [amd64, arm64] = WHOLE.manifests;
    pushTo(registry, { repository: 'library/other', tag: 'v1', image: WHOLE });
    await pullImage(app, 'library/app', 'whole', WHOLE);
    // Here only the index is known: its children are stored, by the other repository's grace.
    expect((await get(`${app.url}/v2/library/other/manifests/v1`)).status).toBe(200);
    await settled(scene);
    expect(await json('rehearsal', 'other:v1')).toMatchObject({
      code: 1,
      value: {
        images: [{ state: 'partly', missing: { manifests: 2, blobs: WHOLE.blobs.length }, atLeast: false }],
      },
    });
    const turned = await scene.run('offline', 'on');
    expect(turned.code).toBe(0);
    for (const { digest } of [amd64, arm64].filter((each) => each !== undefined))
      expect((await get(`${app.url}/v2/library/other/manifests/${digest}`)).status).toBe(404);
  });

  it('tells of single blobs that are gone, of the platforms that use them', async () => {
    const scene = await start();
    const { app, json, run } = scene;
    await pullPlatform(app, 'broken', BROKEN, 'linux/amd64');
    await pullPlatform(app, 'part', PART, 'linux/amd64');
    const [manifest] = PART.manifests;
    const base = `${app.url}/v2/library/app`;
    const arm64 = PART.manifests[1];
    expect((await get(`${base}/manifests/${arm64?.digest}`)).status).toBe(200);
    await settled(scene);
    expect(await json('rehearsal', 'app:part')).toMatchObject({
      code: 1,
      value: {
        images: [
          {
            state: 'partly',
            atLeast: false,
            missing: {
              manifests: 0,
              blobs: 3,
              bytes: [arm64?.config, ...(arm64?.layers ?? [])].reduce(
                (sum, blob) => sum + (blob?.size ?? 0),
                0,
              ),
            },
            platforms: [
              { platform: manifest?.platform, isWhole: true, blobs: 0 },
              { platform: arm64?.platform, isWhole: false, blobs: 3 },
            ],
          },
        ],
      },
    });
    expect((await run('rehearsal', 'app:part')).stdout).toMatch(/partly +linux\/arm64: 3 blobs, \d/);
  });

  it('counts a damaged manifest as missing, and goes on', async () => {
    const scene = await start();
    const { app, json } = scene;
    await pullImage(app, 'library/app', 'whole', WHOLE);
    await pullImage(app, 'library/app', 'broken', BROKEN);
    await settled(scene);
    const [child] = WHOLE.manifests;
    const root = join(app.dataDir, 'content', 'v1', 'sha256');
    const names = await readdir(root, { recursive: true });
    const name = names.find((path) => path.endsWith(child?.digest.slice(-62) ?? '?')) ?? '?';
    const bytes = await readFile(join(root, name));
    bytes[Math.floor(bytes.length / 2)] = 0;
    await writeFile(join(root, name), bytes);
    expect(await json('rehearsal', 'app:whole', 'app:broken')).toMatchObject({
      code: 1,
      value: {
        whole: 1,
        images: [{ state: 'partly', missing: { manifests: 1 }, atLeast: true }, { state: 'whole' }],
      },
    });
  });

  it('with referrers also wants those that are known here', async () => {
    const scene = await start();
    const { app, json, registry } = scene;
    await pullImage(app, 'library/app', 'broken', BROKEN);
    const sbom = buildReferrer(BROKEN.root, { artifactType: 'text/spdx', payload: 'an SBOM' });
    for (const { bytes } of sbom.blobs) registry.addBlob('library/app', bytes);
    registry.addManifest('library/app', sbom.manifest.bytes, sbom.manifest.mediaType);
    expect((await get(`${app.url}/v2/library/app/referrers/${BROKEN.root.digest}`)).status).toBe(200);
    await settled(scene);
    expect((await json('rehearsal', 'app:broken')).code).toBe(0);
    expect(await json('rehearsal', 'app:broken', '--with-referrers')).toMatchObject({
      code: 1,
      value: { images: [{ state: 'partly', missing: { manifests: 1 } }] },
    });
    for (const { digest } of [sbom.manifest, ...sbom.blobs]) {
      const kind = digest === sbom.manifest.digest ? 'manifests' : 'blobs';
      expect((await get(`${app.url}/v2/library/app/${kind}/${digest}`)).status).toBe(200);
    }
    await settled(scene);
    expect((await json('rehearsal', 'app:broken', '--with-referrers')).code).toBe(0);
    // By cosign's tags, too: of this one only the tag is known.
    const signature = buildImage({ seed: 9 });
    const tag = `${BROKEN.root.digest.replace(':', '-')}.sig`;
    pushTo(registry, { repository: 'library/app', tag, image: signature });
    expect((await get(`${app.url}/v2/library/app/manifests/${tag}`)).status).toBe(200);
    await settled(scene);
    expect(await json('rehearsal', 'app:broken', '--with-referrers')).toMatchObject({
      code: 1,
      value: { images: [{ state: 'partly', missing: { manifests: 0, blobs: signature.blobs.length } }] },
    });
  });

  it('tells what failed while it was offline, and forgets it with the server alone', async () => {
    const { app, run, json } = await start();
    const none = await run('rehearsal');
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toMatch(/^entrepot: no rehearsal to tell of: there was none since the server began/);
    await run('offline', 'on');
    expect(await run('rehearsal')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Offline since 20.*Z \(docker\.io, quay\.io\): 0 requests failed\.\n/),
    });
    for (let round = 0; round < 2; round += 1) await get(`${app.url}/v2/library/app/manifests/v1`);
    await run('offline', 'off');
    const told = await run('rehearsal');
    expect(told.code).toBe(1);
    expect(told.stdout).toMatch(
      /^Offline from 20.*Z to 20.*Z \(docker\.io, quay\.io\): 2 requests failed\.$/m,
    );
    expect(told.stdout).toMatch(/^docker\.io {2}library\/app {2}manifest {2}v1 +2 /m);
    expect(await json('rehearsal')).toMatchObject({
      code: 1,
      value: { last: { failures: 2, requests: [{ reference: 'v1', count: 2 }] } },
    });
    await app.close();
    expect((await run('rehearsal')).stderr).toMatch(/^entrepot: no rehearsal to tell of: no server uses /);
  });

  it('names what it cannot read, and looks at the rest', async () => {
    const scene = await start();
    await pullImage(scene.app, 'library/app', 'whole', WHOLE);
    await settled(scene);
    const told = await scene.run('rehearsal', '--from', 'wrong.txt', 'nowhere.txt');
    expect(told.code).toBe(1);
    expect(told.stdout).toBe('1 of 1 could be pulled: 100 %\n');
    expect(told.stderr).toMatch(/^problem: wrong\.txt:2: "APP": /m);
    expect(told.stderr).toMatch(/^problem: .*nowhere\.txt/m);
    expect(await scene.run('rehearsal', 'APP')).toMatchObject({ code: 2, stdout: '' });
  });
});
