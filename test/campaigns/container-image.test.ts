import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { DockerDaemon } from '../support/docker-daemon.ts';
import { DockerRegistryProcess } from '../support/docker-registry-process.ts';
import { freePort } from '../support/free-port.ts';
import { get } from '../support/http-get.ts';
import { eachBlobOnce } from '../support/image-layout.ts';
import { buildImage } from '../support/images.ts';
import { canMount } from '../support/mounts.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import { importBaseImages, npmSettings } from '../deploy/base-image.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const IMAGE = 'entrepot:under-test';
/** With the base made and the native module compiled, on two cores that others use as well. */
const TEST_LIMIT_MS = 15 * 60_000;
const BUILD_LIMIT_MS = 10 * 60_000;
const SECRET = 'canary-npm-token';
const DATE = 1_700_000_000;

interface Scene {
  readonly daemon: DockerDaemon;
  /** Of the registry side and of the admin side of the container. */
  readonly url: string;
  readonly adminUrl: string;
  /** A directory on this machine. */
  readonly directory: string;
}

/** A daemon that pulls through the cache which is to run in it, and has its image. */
async function settle(): Promise<Scene> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const url = `http://127.0.0.1:${port}`;
  const storage = canMount('overlay') ? 'overlay2' : 'vfs';
  const daemon = await DockerDaemon.start({ 'registry-mirrors': [url] }, { storage });
  await importBaseImages(daemon);
  return { daemon, url, adminUrl: `http://127.0.0.1:${adminPort}`, directory: await tempDir() };
}

/** `docker build`, as deploy/docker.md has it, with this machine's way to packages as its secrets. */
async function build({ daemon, directory }: Scene): Promise<void> {
  const { lines, ca } = await npmSettings();
  const npmrc = join(directory, 'npmrc');
  // A token for a registry that nobody asks: it must be nowhere in the image.
  await writeFile(npmrc, [...lines, `//registry.test/:_authToken=${SECRET}`, ''].join('\n'));
  const secrets = [
    `--secret=id=npmrc,src=${npmrc}`,
    ...(ca === undefined ? [] : [`--secret=id=ca,src=${ca}`]),
  ];
  const options = [
    `--tag=${IMAGE}`,
    `--file=${ROOT}/deploy/Dockerfile`,
    `--build-arg=SOURCE_DATE_EPOCH=${DATE}`,
  ];
  await daemon.command(['build', '--network=host', '--progress=plain', ...options, ...secrets, ROOT], {
    limitMs: BUILD_LIMIT_MS,
  });
}

/** `docker run`, as strictly as deploy/docker.md says; with the volume that it had before. */
async function run({ daemon, url, adminUrl, directory }: Scene, upstream: string): Promise<void> {
  const config = {
    listen: new URL(url).host,
    admin: { listen: new URL(adminUrl).host, tokenFile: '/run/secrets/token' },
    dataDir: '/var/lib/entrepot',
    upstreams: { 'docker.io': { url: upstream } },
  };
  await writeFile(join(directory, 'config.yaml'), JSON.stringify(config));
  await writeFile(join(directory, 'token'), 'admin-token\n');
  const confinement = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges'];
  const volumes = [
    `--volume=${directory}/config.yaml:/etc/entrepot/config.yaml:ro`,
    `--volume=${directory}/token:/run/secrets/token:ro`,
    '--volume=entrepot-data:/var/lib/entrepot',
  ];
  const options = ['--detach', '--name=entrepot', '--network=host', '--health-interval=1s'];
  await daemon.command(['run', ...options, ...confinement, ...volumes, IMAGE]);
  await expect
    .poll(() => daemon.command(['inspect', '--format={{.State.Health.Status}}', 'entrepot']), {
      timeout: 60_000,
    })
    .toBe('healthy');
}

/** The image has what the program needs, dated, and nothing that only built it. */
async function expectLeanImage({ daemon }: Scene): Promise<void> {
  const within = (script: string) =>
    daemon.command(['run', '--rm', '--read-only', '--network=none', '--entrypoint=sh', IMAGE, '-c', script]);
  expect(await within('ls /app')).toBe('LICENSE\nconfig.example.yaml\ndist\nnode_modules\npackage.json');
  const packages = (await within('ls /app/node_modules')).split('\n');
  const { dependencies } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  expect(packages).toEqual(
    expect.arrayContaining(Object.keys(dependencies).map((name) => name.split('/')[0])),
  );
  expect(
    packages.filter((name) => /^(?:typescript|vitest|oxlint|prettier|playwright-core)$/.test(name)),
  ).toEqual([]);
  expect(await within(`find /app/dist /app/node_modules -type f -printf '%Ts\\n' | sort --unique`)).toBe(
    String(DATE),
  );
  expect(await within('find /app/dist -name "*.map"; find /app -name "*.o" -o -name sqlite3.c')).toBe('');
  expect(await within('find /app /etc/entrepot ! -user root; command -v gcc python3 curl; true')).toBe('');
  expect(await within('find /app /etc/entrepot ! -perm -444 -o -type d ! -perm -555')).toBe('');
  // The very program that is built here, file by file.
  const sums = await within('cd /app/dist && find . -type f | sort | xargs sha256sum');
  for (const line of sums.split('\n')) {
    const [sum = '', path = ''] = line.split(/ +/);
    const own = createHash('sha256').update(await readFile(join(ROOT, 'dist', path)));
    expect(`${own.digest('hex')} ${path}`).toBe(`${sum} ${path}`);
  }
  const history = await daemon.command(['history', '--no-trunc', IMAGE]);
  const found = await within(`grep -r -l ${SECRET} /app /etc /root /tmp /run /var 2>/dev/null; true`);
  expect([history.includes(SECRET), found]).toEqual([false, '']);
  // The configuration that it holds, as every command finds it.
  expect(await daemon.command(['run', '--rm', '--read-only', '--network=none', IMAGE, 'check'])).toContain(
    'docker.io',
  );
}

/** What the kernel says of the process. */
async function expectConfined({ daemon }: Scene): Promise<void> {
  const [pid = '', readOnly] = (
    await daemon.command(['inspect', '--format={{.State.Pid}} {{.HostConfig.ReadonlyRootfs}}', 'entrepot'])
  ).split(' ');
  expect(readOnly).toBe('true');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  expect(status).toMatch(/^Uid:\t10001\t10001\t10001\t10001$/m);
  expect(status).toMatch(/^Gid:\t10001\t10001\t10001\t10001$/m);
  expect(status).toMatch(/^CapEff:\t0+$/m);
  expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  await expect(daemon.command(['exec', 'entrepot', 'sh', '-c', 'touch /app/x'])).rejects.toThrow('Read-only');
}

describeWith(
  { programs: ['dockerd', 'debootstrap', 'docker-registry', 'npm'], root: true },
  'the container image',
  () => {
    test(
      'is built as the page says, runs read-only and as nobody, and a daemon pulls through it, warm after a restart',
      async () => {
        const scene = await settle();
        const { daemon } = scene;
        await build(scene);
        await expectLeanImage(scene);

        const image = buildImage({ layerSizes: [1000, 2_000_000] });
        const upstream = await DockerRegistryProcess.start();
        await upstream.push('library/sample', 'v1', image);
        upstream.forget();
        await run(scene, upstream.url);
        await expectConfined(scene);
        await daemon.pull('sample:v1');
        expect((await daemon.image('sample:v1')).Id).toBe(image.manifests[0]?.config.digest);
        expect(upstream.blobGets).toEqual(eachBlobOnce(image));

        // The token of the file is asked for; health, and the commands inside, need nothing more.
        expect((await get(`${scene.adminUrl}/metrics`)).status).toBe(401);
        const headers = { authorization: 'Bearer admin-token' };
        expect((await get(`${scene.adminUrl}/metrics`, { headers })).status).toBe(200);
        expect(await daemon.command(['exec', 'entrepot', 'entrepot', 'health', '--ready'])).toBe('ready');
        expect(await daemon.command(['exec', 'entrepot', 'entrepot', 'images'])).toContain('library/sample');

        await daemon.command(['stop', 'entrepot']);
        expect(await daemon.command(['inspect', '--format={{.State.ExitCode}}', 'entrepot'])).toBe('0');
        await daemon.command(['rm', 'entrepot']);
        await daemon.remove('sample:v1');
        await upstream.stop();
        await run(scene, upstream.url);
        await daemon.pull('sample:v1');
        expect((await daemon.image('sample:v1')).Id).toBe(image.manifests[0]?.config.digest);
        await daemon.command(['rm', '--force', '--volumes', 'entrepot']);
      },
      TEST_LIMIT_MS,
    );
  },
);
