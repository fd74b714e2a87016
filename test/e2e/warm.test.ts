import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChildProgram, type FinishedProgram } from '../support/child-program.ts';
import { runHere } from '../support/command-here.ts';
import { freePort } from '../support/free-port.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess, ENTRY, runEntrepot } from '../support/entrepot-process.ts';
import { FakeRegistry, type FakeRegistryOptions } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

const PASSWORD = 'canary-upstream-p4ss';
const ONE = buildImage({ seed: 1, base: { size: 3000, seed: 99 } });
const TWO = buildImage({ seed: 2, base: { size: 3000, seed: 99 } });

async function start(options: FakeRegistryOptions = {}) {
  const registry = closeAfterTest(await FakeRegistry.start(options));
  pushTo(registry, { repository: 'library/app', tag: 'v1', image: ONE });
  pushTo(registry, { repository: 'library/app', tag: 'v2', image: TWO });
  const workingDir = await tempDir();
  const adminPort = await freePort();
  const config = {
    listen: '127.0.0.1:0',
    admin: { listen: `127.0.0.1:${adminPort}` },
    dataDir: './data',
    upstreams: {
      'docker.io': { url: registry.url, auth: { username: 'robot', password: PASSWORD } },
    },
  };
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
  const running =
    (how: typeof runEntrepot) =>
    async (...args: readonly string[]): Promise<FinishedProgram> => {
      const finished = await how(['warm', '--config', 'config.yaml', ...args], { workingDir });
      expect(finished.stdout + finished.stderr).not.toContain('canary');
      return finished;
    };
  /** In this process, and in one of its own. */
  const [run, spawn] = [running(runHere), running(runEntrepot)];
  const serve = () => EntrepotProcess.spawn(['serve', '--config', 'config.yaml'], { workingDir });
  return { registry, workingDir, run, spawn, serve };
}

function eventsIn({ stdout }: FinishedProgram): readonly Record<string, unknown>[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('entrepot warm', () => {
  it('without a server fills the directory itself, and what it serves then needs no upstream', async () => {
    const { registry, spawn, serve } = await start({
      auth: { mode: 'bearer', credentials: [{ username: 'robot', password: PASSWORD }] },
    });
    const first = await spawn('app:v1', 'docker.io/library/app:v2');
    expect(first).toMatchObject({ code: 0 });
    expect(first.stdout).toMatch(
      /^2 of 2 images are in the cache: 2 manifests and 7 blobs fetched, .* in .* s; 0 B were here\.\ndocker\.io: took 2 pulls\.\n$/,
    );
    expect(first.stderr).toContain('docker.io/library/app:v1: ');
    const again = await spawn('app:v1', 'app:v2');
    expect(again.stdout).toContain('0 manifests and 0 blobs fetched');
    await registry.stop();
    const server = await serve();
    for (const { digest } of ONE.blobs) {
      const blob = await get(`${server.url}/v2/library/app/blobs/${digest}`);
      expect(blob).toMatchObject({ status: 200, digest });
      expect(blob.headers['x-cache']).toBe('HIT');
    }
  });

  it('asks the server that holds the directory, and tells events as JSON', async () => {
    const { registry, run, serve, workingDir } = await start();
    const server = await serve();
    await writeFile(join(workingDir, 'images.txt'), '# what the site needs\napp:v1\nApp:typo\napp:none\n');
    const finished = await run('--from', 'images.txt', '--json');
    expect(finished).toMatchObject({ code: 1, stderr: '' });
    const events = eventsIn(finished);
    expect(events[0]).toMatchObject({ event: 'problem', place: 'images.txt:3' });
    expect(events.filter(({ event }) => event === 'failed')).toMatchObject([
      { image: 'docker.io/library/app:none', place: 'images.txt:4', reason: 'not-found' },
    ]);
    expect(events.at(-1)).toMatchObject({ event: 'done', images: { total: 2, whole: 1, failed: 1 } });
    expect((await get(`${server.url}/v2/library/app/manifests/v1`)).headers['x-cache']).toBe('HIT');
    expect(registry.blobBodyBytes()).toBe(ONE.blobs.reduce((sum, { size }) => sum + size, 0));
  });

  it('says in a sentence what cannot be asked for, before anything is done', async () => {
    const { registry, run } = await start();
    expect(await run()).toMatchObject({ code: 2, stderr: expect.stringContaining('which images?') });
    expect(await run('App:v1')).toMatchObject({ code: 2, stderr: expect.stringContaining('App:v1') });
    const platform = await run('app:v1', '--platform', 'linux/amd64,plan9');
    expect(platform).toMatchObject({ code: 2, stderr: expect.stringContaining('--platform "plan9"') });
    const count = await run('app:v1', '--concurrency', '99');
    expect(count).toMatchObject({ code: 2, stderr: expect.stringContaining('accepted is 1 to 32') });
    expect(await run('app', '--tags', '(')).toMatchObject({ code: 2 });
    expect(registry.requests).toEqual([]);
    expect(await run('--help')).toMatchObject({ code: 0, stdout: expect.stringContaining('Examples:') });
  });

  it('does the rest when something is not there, and lists what failed', async () => {
    const { run } = await start();
    const finished = await run('app:gone', 'app:v1', '--platform', 'linux/amd64');
    expect(finished.code).toBe(1);
    expect(finished.stdout).toContain('1 of 2 images is in the cache');
    expect(finished.stdout).toMatch(
      /Failed: 1 image \(1 not-found\)\.\n {2}docker\.io\/library\/app:gone: .*\[not-found\]\n/,
    );
  });

  it('goes on where it was killed', async () => {
    const { registry, run, workingDir } = await start();
    const big = buildImage({ seed: 7, layerSizes: Array.from({ length: 12 }, () => 400_000) });
    pushTo(registry, { repository: 'library/big', tag: 'v1', image: big });
    const slow = registry.faults.add({ match: { path: /\/blobs\// }, action: { bytesPerSecond: 1_000_000 } });
    const args = [ENTRY, 'warm', '--config', 'config.yaml', 'big:v1'];
    const program = new ChildProgram(process.execPath, args, {
      environment: { PATH: process.env['PATH'] },
      workingDir,
    });
    closeAfterTest({ close: async () => void (await program.stop()) });
    await registry.received({ method: 'GET', path: /\/blobs\// }, 7);
    program.signal('SIGKILL');
    await program.ended;
    slow.remove();
    const before = registry.blobBodyBytes();
    const total = big.blobs.reduce((sum, { size }) => sum + size, 0);
    const finished = await run('big:v1', '--json');
    expect(finished.code).toBe(0);
    const done = eventsIn(finished).at(-1);
    expect(done).toMatchObject({ images: { whole: 1 }, blobs: { failed: 0 } });
    expect(done?.['presentBytes']).toBeGreaterThan(0);
    expect(registry.blobBodyBytes() - before).toBeLessThan(total);
    expect((await run('big:v1', '--json')).stdout).toContain('"fetchedBytes":0');
  });

  it('ended by a signal says so by its exit code', async () => {
    const { registry, workingDir } = await start();
    registry.faults.add({ match: { path: /\/blobs\// }, action: { delayMs: 30_000 } });
    const args = [ENTRY, 'warm', '--config', 'config.yaml', 'app:v1'];
    const program = new ChildProgram(process.execPath, args, {
      environment: { PATH: process.env['PATH'] },
      workingDir,
    });
    closeAfterTest({ close: async () => void (await program.stop()) });
    await registry.received({ method: 'GET', path: /\/blobs\// });
    program.signal('SIGINT');
    expect(await program.ended).toMatchObject({ code: 130 });
  });

  it('ends, and says why, when the server that does it is stopped', async () => {
    const { registry, workingDir, serve } = await start();
    registry.faults.add({ match: { path: /\/blobs\// }, action: { delayMs: 30_000 } });
    const server = await serve();
    const args = [ENTRY, 'warm', '--config', 'config.yaml', 'app:v1'];
    const program = new ChildProgram(process.execPath, args, {
      environment: { PATH: process.env['PATH'] },
      workingDir,
    });
    closeAfterTest({ close: async () => void (await program.stop()) });
    await registry.received({ method: 'GET', path: /\/blobs\// });
    expect(await server.stop()).toMatchObject({ code: 0 });
    expect(await program.ended).toMatchObject({ code: 1 });
    expect(program.output).toMatch(/entrepot: .*(?:broke off|shutting down)/);
  });

  it('waits for the upstream when its pulls are used up but for the reserve, and stays alive for it', async () => {
    const { run, workingDir } = await start({ pullLimit: { limit: 100, remaining: 11 } });
    await mkdir(join(workingDir, 'data'), { recursive: true });
    const args = [ENTRY, 'warm', '--config', 'config.yaml', 'app:v1', 'app:v2'];
    const program = new ChildProgram(process.execPath, args, {
      environment: { PATH: process.env['PATH'] },
      workingDir,
    });
    closeAfterTest({ close: async () => void (await program.stop()) });
    await program.until(
      () =>
        /10 of 100 pulls are left, and 10 are kept for clients; waits until/.exec(program.output)
          ? true
          : undefined,
      'word that it waits',
    );
    await program.until(
      () => (/library\/app:v1: .* fetched/.exec(program.output) ? true : undefined),
      'word that the other image is here',
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(program.isRunning).toBe(true);
    program.signal('SIGTERM');
    expect(await program.ended).toMatchObject({ code: 143 });
    const dry = await run('app:v1', 'app:v2', '--dry-run');
    expect(dry.code).toBe(0);
    expect(dry.stdout).toContain('missing are at least 1 manifest and 0 blobs');
    expect(dry.stdout).toContain('docker.io: would take 1 pull; 10 of 100 pulls are left.');
  });
});
