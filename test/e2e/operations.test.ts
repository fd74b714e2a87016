import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { ChildProgram, type FinishedProgram } from '../support/child-program.ts';
import { runHere } from '../support/command-here.ts';
import { freePort } from '../support/free-port.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess, ENTRY, runEntrepot } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, type BuiltImage, pushTo } from '../support/images.ts';
import { SOON } from '../support/soon.ts';
import { tempDir } from '../support/temp-dir.ts';
import { certificateAuthority, elsewhereCertificate, serverCertificate } from '../upstream/certificates.ts';

const TOKEN = 'canary-admin-token-4d1f';
const ONE = buildImage({ seed: 1, base: { size: 3000, seed: 99 } });
const TWO = buildImage({ seed: 2, base: { size: 3000, seed: 99 } });

type Run = (...args: readonly string[]) => Promise<FinishedProgram>;

interface Scene {
  readonly registry: FakeRegistry;
  readonly workingDir: string;
  readonly adminPort: number;
  /** A command with the configuration of this place, in this process. */
  readonly run: Run;
  /** The same in a process of its own. */
  readonly spawn: Run;
  readonly serve: () => Promise<EntrepotProcess>;
  readonly configure: (more: Readonly<Record<string, unknown>>) => Promise<void>;
}

async function start(): Promise<Scene> {
  const registry = closeAfterTest(await FakeRegistry.start());
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: ONE });
  pushTo(registry, { repository: 'library/app', tag: 'v2', image: TWO });
  const workingDir = await tempDir();
  const adminPort = await freePort();
  const configure = async (more: Readonly<Record<string, unknown>>): Promise<void> =>
    writeFile(
      join(workingDir, 'config.yaml'),
      JSON.stringify({
        listen: '127.0.0.1:0',
        admin: { listen: `127.0.0.1:${adminPort}`, token: TOKEN },
        dataDir: './data',
        upstreams: { 'docker.io': { url: registry.url }, 'quay.io': { url: registry.url } },
        ...more,
      }),
    );
  await configure({});
  const running =
    (how: typeof runEntrepot): Run =>
    async (...args) => {
      const ended = await how([...args, '--config', 'config.yaml'], { workingDir });
      expect(ended.stdout + ended.stderr).not.toContain('canary');
      return ended;
    };
  return {
    registry,
    workingDir,
    adminPort,
    configure,
    run: running(runHere),
    spawn: running(runEntrepot),
    serve: async () => EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], { workingDir }),
  };
}

async function pull(entrepot: EntrepotProcess, tag: string, image: BuiltImage): Promise<void> {
  const base = `${entrepot.url}/v2/library/app`;
  await get(`${base}/manifests/${tag}`, { headers: { accept: image.root.mediaType } });
  for (const { digest } of image.blobs) expect((await get(`${base}/blobs/${digest}`)).status).toBe(200);
}

function parsed<T>({ stdout }: FinishedProgram): T {
  return JSON.parse(stdout) as T;
}

interface Listed {
  readonly images: readonly { readonly tags: readonly string[]; readonly pinned: boolean }[];
}

/** The same with a server and without one. @param isServed whether one is to run */
async function goThrough(run: Run, isServed: boolean): Promise<void> {
  const status = await run('status', '--json');
  expect(parsed(status)).toMatchObject({
    isServed,
    blobs: new Set([...ONE.blobs, ...TWO.blobs].map(({ digest }) => digest)).size + 2,
  });
  expect((await run('status')).stdout).toMatch(/^stored +\d+(?:\.\d)? KiB in 9 blobs$/m);

  const listed = await run('images', '--json', '--sort', 'name');
  expect(listed.code).toBe(0);
  expect(parsed<Listed>(listed).images.map(({ tags }) => tags)).toEqual([['v1'], ['v2']]);
  const table = await run('images', 'app:v1');
  expect(table.stdout).toMatch(/^upstream +repository +tags +digest +size +exclusive +last use +pinned\n/);
  expect(table.stdout).toMatch(/^docker\.io +library\/app +v1 +sha256:[0-9a-f]{12} /m);
  expect(table.stderr).toMatch(/^1 image, /);

  const explained = await run('explain', 'app:v1');
  expect(explained.code).toBe(0);
  expect(explained.stdout).toMatch(/^docker\.io\/library\/app:v1: (?:HIT|REVALIDATED)\n.*\.\n/);
  expect(explained.stdout).toMatch(/^quota +0 (?:to 2 )?pulls /m);
  expect(parsed(await run('explain', 'quay.io/not/here', '--json'))).toMatchObject({
    answer: { outcome: 'miss' },
    rule: { isAllowed: true },
  });
  expect((await run('explain', 'quay.io/not/here')).stdout).toMatch(
    /^to fetch +not known, since manifests /m,
  );
  expect((await run('explain', 'example.com/app')).code).toBe(1);

  const pinned = await run('pin', 'app:v1');
  expect([pinned.code, pinned.stdout]).toEqual([0, 'docker.io/library/app:v1 is pinned.\n']);
  const pins = await run('pins', '--json');
  expect(parsed(pins)).toEqual({ pins: [{ pattern: 'docker.io/library/app:v1', source: 'command' }] });
  expect((await run('pin', '--list')).stdout).toContain('docker.io/library/app:v1  command\n');

  const plan = await run('evict', '--to', '0', '--dry-run');
  expect(plan.code).toBe(1);
  expect(plan.stdout).toMatch(
    /^sha256:[0-9a-f]{12} .* layer of docker\.io\/library\/app, last used just now$/m,
  );
  expect(plan.stdout).toMatch(/are pinned, and stay\.\n$/);
  const evicted = await run('evict', '--to', '0', '--json');
  expect(evicted.code).toBe(1);
  expect(parsed(evicted)).toMatchObject({ isEnough: false, dryRun: false });
  expect(parsed<Listed>(await run('images', '--json')).images).toMatchObject([
    { tags: ['v1'], pinned: true },
  ]);

  expect((await run('verify')).stdout).toMatch(/^5 blobs, \d+(?:\.\d)? KiB verified: all sound\.\n$/);

  const dry = await run('purge', 'app', '--dry-run');
  expect(dry.stdout).toMatch(/^docker\.io\/library\/app would be purged: 5 blobs, .* would be freed\.\n$/);
  const purged = await run('purge', 'app:v1');
  expect(purged.stdout).toMatch(/^docker\.io\/library\/app:v1 is purged: 5 blobs, .* were freed\.\n$/);
  expect(purged.stderr).toContain('The pin docker.io/library/app:v1 stays');
  expect(purged.code).toBe(0);
  expect(parsed(await run('images', '--json'))).toEqual({ images: [] });

  expect((await run('unpin', 'app:v1')).code).toBe(0);
  expect((await run('unpin', 'app:v1')).code).toBe(1);
}

test('with a server every command does what it says, and says it in the right place', async () => {
  const scene = await start();
  const entrepot = await scene.serve();
  await pull(entrepot, 'v1', ONE);
  await pull(entrepot, 'v2', TWO);
  await vi.waitFor(
    async () => expect(parsed(await scene.run('status', '--json'))).toMatchObject({ blobs: 9 }),
    SOON,
  );
  const begun = new Set<string>();
  await goThrough(async (command = '', ...args) => {
    const run = begun.has(command) ? scene.run : scene.spawn;
    begun.add(command);
    return run(command, ...args);
  }, true);
  expect(begun.size).toBe(9);
  expect(entrepot.output).not.toContain('canary');
}, 120_000);

test('and without one the same', async () => {
  const scene = await start();
  const entrepot = await scene.serve();
  await pull(entrepot, 'v1', ONE);
  await pull(entrepot, 'v2', TWO);
  await entrepot.stop();
  await goThrough(scene.run, false);
  // Nothing is left open or half done: a server takes over.
  const again = await scene.serve();
  await pull(again, 'v2', TWO);
}, 120_000);

test('the status of a server that runs fits on a screen, and is told again until SIGINT', async () => {
  const scene = await start();
  const entrepot = await scene.serve();
  await pull(entrepot, 'v1', ONE);
  // What was pulled is committed a moment later.
  const shown = await vi.waitFor(async () => {
    const told = await scene.run('status');
    expect(told.stdout).toMatch(/^0 requests being answered, 0 blobs being fetched$/m);
    return told;
  }, SOON);
  expect(shown.stdout).toMatch(/^docker\.io +up(?: since .*)? +closed +\d+ \/ \d+ ms +0 of \d+ /m);
  expect(shown.stdout).toMatch(/^since the start +\d+ +\d+ % +/m);
  expect(shown.stdout.split('\n').length).toBeLessThan(50);
  expect(parsed(await scene.run('status', '--json'))).toMatchObject({
    upstreams: [{ upstream: 'docker.io' }, { upstream: 'quay.io' }],
    history: expect.any(Array),
    live: { fills: [] },
  });

  const args = [ENTRY, 'status', '--watch', '--config', 'config.yaml'];
  const program = new ChildProgram(process.execPath, args, {
    environment: { PATH: process.env['PATH'] },
    workingDir: scene.workingDir,
  });
  closeAfterTest({ close: async () => void (await program.stop()) });
  const blocks = (count: number) =>
    program.until(
      () => program.output.split('data directory').length > count || undefined,
      `${count} blocks`,
    );
  await blocks(2);
  // A server that is away for a moment ends nothing.
  await entrepot.stop();
  await blocks(3);
  expect(program.output).toContain('none is running');
  expect(program.output).not.toContain('\u001B');
  program.signal('SIGINT');
  expect((await program.ended).code).toBe(0);
});

test('status --watch ends when nobody reads it any more', async () => {
  const scene = await start();
  await pull(await scene.serve(), 'v1', ONE);
  const args = [ENTRY, 'status', '--watch', '--config', 'config.yaml'];
  const program = spawn(process.execPath, args, {
    cwd: scene.workingDir,
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  closeAfterTest({ close: async () => void program.kill('SIGKILL') });
  const ended = once(program, 'exit');
  await once(program.stdout, 'data');
  program.stdout.destroy();
  expect(await ended).toEqual([0, null]);
});

test('what is purged is asked for upstream again, and what it shared with others is not', async () => {
  const scene = await start();
  const entrepot = await scene.serve();
  await pull(entrepot, 'v1', ONE);
  await pull(entrepot, 'v2', TWO);
  await vi.waitFor(async () => expect((await scene.run('purge', 'app:v1')).code).toBe(0), SOON);
  const before = scene.registry.requests.length;
  await pull(entrepot, 'v2', TWO);
  expect(scene.registry.requests.slice(before).filter(({ method }) => method === 'GET')).toEqual([]);
  await pull(entrepot, 'v1', ONE);
  const asked = scene.registry.requests.slice(before).filter(({ method }) => method === 'GET');
  const shared = ONE.blobs.filter(({ digest }) => TWO.blobs.some((blob) => blob.digest === digest));
  expect(asked.some(({ path }) => path.includes('/manifests/'))).toBe(true);
  for (const { digest } of shared) expect(asked.some(({ path }) => path.includes(digest))).toBe(false);
});

test.each([
  [['images', 'Nginx'], 2, 'accepted is [upstream/]repository'],
  [['images', 'app@sha256:1'], 2, 'a digest is'],
  [['images', '--sort', 'age'], 2, '--sort age: accepted is name, size, use'],
  [['images', 'nothing'], 1, 'nothing is cached of docker.io/library/nothing.'],
  [['images', 'gchr.io/org/app'], 1, 'nothing is cached of gchr.io/org/app.'],
  [['purge', 'nothing:v1'], 1, 'nothing is cached of docker.io/library/nothing:v1.'],
  [['purge', 'quay.io'], 2, '--yes purges all of it'],
  [['purge', 'quay.io', '--yes'], 1, 'nothing is cached of quay.io.'],
  [['purge'], 2, 'missing required argument'],
  [['verify', 'nothing'], 1, 'nothing is cached of docker.io/library/nothing.'],
  [['evict', '--to', '1GB'], 2, '--to 1GB: accepted is a number of bytes'],
  [['evict'], 2, '--to <size>'],
  [['pin', 'Nginx'], 2, 'accepted is [upstream/]repository'],
  [['pin', 'gchr.io/a/b'], 2, 'gchr.io is not an upstream'],
  [['pin'], 2, 'or --list'],
  [['unpin', 'nothing'], 1, 'docker.io/library/nothing is not pinned'],
])('%j ends with %i and a sentence', async (args, code, sentence) => {
  const scene = await start();
  await mkdir(join(scene.workingDir, 'data'), { mode: 0o700 });
  const ended = await scene.run(...args);
  expect(ended.stderr).toContain(sentence);
  expect(ended.stdout).toBe('');
  expect(ended.code).toBe(code);
});

test('a data directory that is not there is not made', async () => {
  const scene = await start();
  const ended = await scene.run('images');
  expect([ended.code, ended.stdout]).toEqual([1, '']);
  expect(ended.stderr).toMatch(/^entrepot: there is no data directory .*\.\n$/);
  expect(await readdir(scene.workingDir)).toEqual(['config.yaml']);
});

test('a server that cannot be asked is told in one sentence', async () => {
  const scene = await start();
  await scene.serve();
  const { adminPort } = scene;
  const other = await freePort();
  const sentences: string[] = [];
  for (const admin of [
    { listen: `127.0.0.1:${other}`, token: TOKEN },
    { listen: `127.0.0.1:${adminPort}`, token: 'canary-wrong' },
    { listen: `127.0.0.1:${adminPort}` },
    { listen: '127.0.0.1:0', token: TOKEN },
  ]) {
    await scene.configure({ admin });
    const { code, stdout, stderr } = await scene.run('images');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^entrepot: [^\n]*\.\n$/);
    sentences.push(stderr);
  }
  expect(sentences[0]).toContain(`127.0.0.1:${other}, does not answer (ECONNREFUSED)`);
  expect(sentences[1]).toContain("does not take this configuration's token");
  expect(sentences[2]).toContain('wants a token');
  expect(sentences[3]).toContain('admin.listen has port 0');
});

test('over TLS the token is sent to the very certificate of the configuration, and to no other', async () => {
  const scene = await start();
  const put = async (name: string, text: string): Promise<void> =>
    writeFile(join(scene.workingDir, name), text, { mode: 0o600 });
  await put('cert.pem', `${serverCertificate.cert}\n${certificateAuthority}\n`);
  await put('key.pem', serverCertificate.key);
  const listen = `127.0.0.1:${scene.adminPort}`;
  await scene.configure({ admin: { listen, token: TOKEN, tls: { cert: 'cert.pem', key: 'key.pem' } } });
  await scene.serve();
  expect((await scene.run('status')).code).toBe(0);

  await put('other.pem', elsewhereCertificate.cert);
  await put('other-key.pem', elsewhereCertificate.key);
  await scene.configure({
    admin: { listen, token: TOKEN, tls: { cert: 'other.pem', key: 'other-key.pem' } },
  });
  const refused = await scene.run('status');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/^entrepot: .*https:.* does not answer \(.*\)\.\n$/);
});

test('a maxSize below what is pinned is a warning of check, with a server and without, and of the start', async () => {
  const scene = await start();
  const entrepot = await scene.serve();
  await pull(entrepot, 'v1', ONE);
  await vi.waitFor(
    async () => expect(parsed(await scene.run('pin', 'app', '--json'))).toMatchObject({ images: 1 }),
    SOON,
  );
  await scene.configure({ cache: { maxSize: '4KiB' } });
  const warning = 'cache.maxSize is below what is pinned (1 MiB): nothing else can be stored';
  await vi.waitFor(async () => expect((await scene.run('check')).stderr).toContain(warning), SOON);
  await entrepot.stop();
  const before = await readdir(join(scene.workingDir, 'data'));
  expect((await scene.run('check')).stderr).toContain(warning);
  expect(await readdir(join(scene.workingDir, 'data'))).toEqual(before);
  const again = await scene.serve();
  await again.logged('cache.maxSize is below what is pinned: nothing else can be stored');
  await scene.configure({ cache: { maxSize: '1GiB' } });
  expect((await scene.run('check')).stderr).not.toContain('below what is pinned');
});

test.each(['images', 'purge', 'verify', 'evict', 'pin', 'unpin', 'pins', 'status'])(
  '%s --help has an example',
  async (command) => {
    const { code, stdout } = await runHere([command, '--help'], { workingDir: await tempDir() });
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`Examples:\\n  entrepot ${command}`));
    expect(stdout).toContain('--config <file>');
    expect(stdout).toContain('--json');
  },
);
