import { copyFile, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ChildProgram, succeed } from '../support/child-program.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { freePort } from '../support/free-port.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const INSTALL_LIMIT_MS = 5 * 60_000;
/** 468 KB when this was written. */
const PACKED_BYTES_LIMIT = 1_000_000;

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly files: readonly { readonly path: string }[];
}

/** What npm that runs these tests sets for its own scripts is not for another npm. */
function environment(): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
}

/** `npm pack` of what is built: building anew would change it under other tests. */
async function pack(directory: string): Promise<Packed> {
  const options = ['pack', '--ignore-scripts', '--json', `--pack-destination=${directory}`];
  const text = await succeed('npm', options, { workingDir: ROOT, environment: environment() });
  const [packed] = JSON.parse(text) as readonly Packed[];
  expect.assert(packed !== undefined);
  return packed;
}

async function nativeVersion(root: string): Promise<string> {
  const text = await readFile(join(root, 'node_modules/better-sqlite3/package.json'), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** Installs it; its native module is compiled only where the one that is compiled here is of another version. */
async function install(directory: string, tarball: string): Promise<void> {
  const run = (...args: readonly string[]) =>
    succeed('npm', args, { workingDir: directory, environment: environment(), limitMs: INSTALL_LIMIT_MS });
  await run(
    'install',
    '--ignore-scripts',
    '--omit=dev',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    tarball,
  );
  if ((await nativeVersion(directory)) !== (await nativeVersion(ROOT)))
    await run('rebuild', 'better-sqlite3');
  else {
    const place = 'node_modules/better-sqlite3/build/Release';
    await mkdir(join(directory, place), { recursive: true });
    const file = join(place, 'better_sqlite3.node');
    await copyFile(join(ROOT, file), join(directory, file));
  }
}

/** npx ends at a signal and leaves the server: it is asked itself. */
async function stopServer(home: string): Promise<void> {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (words.startsWith('node\0') && words.includes(`\0${home}/`) && words.includes('\0serve\0'))
      process.kill(Number(pid), 'SIGTERM');
  }
}

describe('the npm package', () => {
  it('holds the program, its licence, its page and its example, and nothing that only made it', async () => {
    const { files, size } = await pack(await tempDir());
    const paths = files.map(({ path }) => path);
    expect(paths.filter((path) => !path.startsWith('dist/')).toSorted()).toEqual([
      'LICENSE',
      'README.md',
      'config.example.yaml',
      'package.json',
    ]);
    expect(paths.filter((path) => !/\.(?:c?js|css|svg)$/.test(path) && path.startsWith('dist/'))).toEqual([]);
    for (const path of ['dist/entry.cjs', 'dist/main.js', 'dist/hash-worker.js', 'dist/front-main.js'])
      expect(paths).toContain(path);
    expect(size).toBeLessThan(PACKED_BYTES_LIMIT);
  });
});

describeWith({ programs: ['npm', 'npx'] }, 'the npm package in an empty folder', () => {
  it(
    'is installed, serves by npx, and an image is pulled through it',
    async () => {
      const directory = await tempDir();
      const packed = await pack(directory);
      const home = join(directory, 'home');
      await mkdir(home);
      await install(home, join(directory, packed.filename));
      // What only developers need is not there.
      await expect(stat(join(home, 'node_modules', 'typescript'))).rejects.toThrow('ENOENT');

      const registry = await FakeRegistry.start();
      onTestFinished(() => registry.close());
      const image = buildImage();
      pushTo(registry, { repository: 'library/sample', tag: 'v1', image });
      const [port, adminPort] = [await freePort(), await freePort()];
      const config = {
        listen: `127.0.0.1:${port}`,
        admin: { listen: `127.0.0.1:${adminPort}` },
        upstreams: { 'docker.io': { url: registry.url } },
      };
      await writeFile(join(home, 'config.yaml'), JSON.stringify(config));
      const npx = (...args: readonly string[]) =>
        new ChildProgram('npx', ['--no-install', 'entrepot', ...args, '--config', 'config.yaml'], {
          workingDir: home,
          environment: environment(),
        });
      const server = npx('serve');
      onTestFinished(() => stopServer(home));
      await server.until(
        () => (server.output.includes('listening') ? true : undefined),
        'line that it listens',
      );

      const manifest = await get(`http://127.0.0.1:${port}/v2/library/sample/manifests/v1`);
      expect(manifest.digest).toBe(image.root.digest);
      for (const { digest } of image.blobs)
        expect(await get(`http://127.0.0.1:${port}/v2/library/sample/blobs/${digest}`)).toMatchObject({
          status: 200,
          complete: true,
          digest,
        });
      // The page and all that it loads.
      const page = await get(`http://127.0.0.1:${adminPort}/`);
      const assets = [...page.body.toString().matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map(
        ([, path]) => path,
      );
      expect(assets.length).toBeGreaterThan(2);
      for (const path of assets) expect((await get(`http://127.0.0.1:${adminPort}${path}`)).status).toBe(200);
      const health = npx('health', '--ready');
      expect([await health.ended, health.stdout]).toEqual([{ code: 0, signal: null }, 'ready\n']);

      await stopServer(home);
      await server.until(() => (server.output.includes('"msg":"stopped"') ? true : undefined), 'end');
      await server.ended;
      await expect(get(`http://127.0.0.1:${adminPort}/healthz`)).rejects.toThrow('ECONNREFUSED');
    },
    INSTALL_LIMIT_MS + 60_000,
  );
});
