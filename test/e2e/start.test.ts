import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { closeAfterTest } from '../support/close-after-test.ts';
import { EntrepotProcess, runEntrepot } from '../support/entrepot-process.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { get } from '../support/http-get.ts';
import { buildImage, pushTo } from '../support/images.ts';
import { tempDir } from '../support/temp-dir.ts';

/** The built program as its users start it. */

const FREE_PORTS = { ENTREPOT_LISTEN: '127.0.0.1:0', ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0' };

test('it prints its help, its version and the help of its commands, and ends with 0', async () => {
  const workingDir = await tempDir();
  const help = await runEntrepot(['--help'], { workingDir });
  expect(help).toMatchObject({ code: 0, stderr: '' });
  expect(help.stdout).toContain('Usage: entrepot');
  expect(help.stdout).toContain('Example');
  const serve = await runEntrepot(['serve', '--help'], { workingDir });
  expect(serve).toMatchObject({ code: 0, stderr: '' });
  expect(serve.stdout).toContain('--config <file>');
  const version = await runEntrepot(['--version'], { workingDir });
  expect(version).toMatchObject({ code: 0, stderr: '' });
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test.each([[['serve', '--colour']], [['serve', 'here']], [['sirve']], [['--colour']]])(
  'wrong usage, %j, ends it with 2 and a sentence on standard error',
  async (args) => {
    const workingDir = await tempDir();
    const { code, stdout, stderr } = await runEntrepot(args, { workingDir });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^error: .+/);
    expect(await readdir(workingDir)).toEqual([]);
  },
);

test('every problem of a configuration is told at once, ends it with 2, and nothing was started', async () => {
  const workingDir = await tempDir();
  const config = {
    listen: 'nowhere',
    dataDir: join(workingDir, 'data'),
    cache: { maxSize: 'much', tagTTL: '1m' },
    upstreams: { 'docker.io': { auth: { password: 'canary-password' } } },
  };
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
  const { code, stdout, stderr } = await runEntrepot(['serve', '--config', 'config.yaml'], { workingDir });
  expect(code).toBe(2);
  expect(stdout).toBe('');
  const [summary, ...problems] = stderr.trimEnd().split('\n');
  expect(summary).toBe('entrepot: the configuration has 4 problems; nothing was started.');
  expect(problems.join('\n')).toMatch(/listen.*nowhere/);
  expect(problems.join('\n')).toMatch(/cache\.maxSize.*much/);
  expect(problems.join('\n')).toMatch(/cache\.tagTTL.*tagTtl/);
  expect(problems.join('\n')).toMatch(/upstreams\.docker\.io\.auth\.username/);
  expect(stderr).not.toContain('canary-password');
  expect(await readdir(workingDir)).toEqual(['config.yaml']);
});

test('a configuration file that is missing ends it with 2 and its path', async () => {
  const workingDir = await tempDir();
  const { code, stderr } = await runEntrepot(['serve', '--config', 'absent.yaml'], { workingDir });
  expect(code).toBe(2);
  expect(stderr).toContain(join(workingDir, 'absent.yaml'));
});

test.each(['1', '2'])(
  'a port in use ends it with 1 and one sentence that names it (%s workers)',
  async (workers) => {
    const workingDir = await tempDir();
    await writeFile(join(workingDir, 'config.yaml'), `workers: ${workers}\n`);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    closeAfterTest({ close: () => new Promise((resolve) => server.close(resolve)) });
    for (const variable of ['ENTREPOT_LISTEN', 'ENTREPOT_ADMIN_LISTEN']) {
      const environment = { ...FREE_PORTS, [variable]: `127.0.0.1:${port}` };
      const { code, stdout, stderr } = await runEntrepot(['serve', '--config', 'config.yaml'], {
        workingDir,
        environment,
      });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(new RegExp(`^entrepot: .*127\\.0\\.0\\.1:${port}: the port is in use\\.\\n$`));
    }
  },
);

test('a file where the data directory should be ends it with 1 and one sentence', async () => {
  const workingDir = await tempDir();
  await writeFile(join(workingDir, 'data'), 'a file');
  const { code, stdout, stderr } = await runEntrepot(['serve'], { workingDir, environment: FREE_PORTS });
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^entrepot: The data directory .*\.\n$/);
  expect(stderr).toContain(join(workingDir, 'data'));
});

test('a file where the content should be ends it with 1 and one sentence', async () => {
  const workingDir = await tempDir();
  await mkdir(join(workingDir, 'data'));
  await writeFile(join(workingDir, 'data', 'content'), 'a file');
  const { code, stderr } = await runEntrepot(['serve'], { workingDir, environment: FREE_PORTS });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^entrepot: The data directory .*\.\n$/);
});

test('a second process on the same data directory ends with 1, and the first goes on', async () => {
  const workingDir = await tempDir();
  const first = await EntrepotProcess.spawn(['serve'], { workingDir, environment: FREE_PORTS });
  const second = await runEntrepot(['serve'], { workingDir, environment: FREE_PORTS });
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/^entrepot: The data directory .* another process is using it\.\n$/);
  expect((await get(`${first.adminUrl}/readyz`)).status).toBe(200);
});

test('without a configuration it serves the well-known registries, and says where and how', async () => {
  const workingDir = await tempDir();
  const entrepot = await EntrepotProcess.spawn(['serve'], { workingDir, environment: FREE_PORTS });
  expect(entrepot.announcement).toMatchObject({
    level: 'info',
    registry: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    admin: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    dataDir: join(workingDir, 'data'),
    dockerDaemonJson: JSON.stringify({ 'registry-mirrors': [entrepot.url] }),
  });
  expect(entrepot.announcement['upstreams']).toEqual([
    'docker.io',
    'quay.io',
    'ghcr.io',
    'gcr.io',
    'registry.k8s.io',
    'mcr.microsoft.com',
    'public.ecr.aws',
    'registry.gitlab.com',
    'nvcr.io',
    'registry.access.redhat.com',
    'registry.redhat.io',
  ]);
  expect((await get(`${entrepot.url}/v2/`)).status).toBe(200);
  expect(await entrepot.stop()).toEqual({ code: 0, signal: null });
  expect(await readdir(workingDir)).toEqual(['data']);
});

test('the example configuration starts it', async () => {
  const workingDir = await tempDir();
  const example = join(import.meta.dirname, '..', '..', 'config.example.yaml');
  const entrepot = await EntrepotProcess.spawn(['serve', '--config', example], {
    workingDir,
    environment: { ...FREE_PORTS, ENTREPOT_DATA_DIR: join(workingDir, 'data') },
  });
  expect((await get(`${entrepot.adminUrl}/readyz`)).status).toBe(200);
});

test('health, readiness and metrics answer on the admin listener, and only there', async () => {
  const entrepot = await EntrepotProcess.start();
  expect((await get(`${entrepot.adminUrl}/healthz`)).body.toString()).toBe('ok\n');
  expect((await get(`${entrepot.adminUrl}/readyz`)).body.toString()).toBe('ready\n');
  expect(await entrepot.metrics()).toMatch(/^# TYPE entrepot_requests_total counter$/m);
  for (const path of ['/healthz', '/readyz', '/metrics']) {
    expect((await get(`${entrepot.url}${path}`)).status).toBe(404);
  }
});

test('each request is one line of the log and is counted', async () => {
  const registry = closeAfterTest(await FakeRegistry.start());
  const image = buildImage();
  pushTo(registry, { repository: 'library/app', tag: 'v1', image });
  const upstreams = { 'docker.io': { url: registry.url, default: true } };
  const entrepot = await EntrepotProcess.start({ config: { upstreams } });
  for (const outcome of ['miss', 'hit']) {
    const answer = await get(`${entrepot.url}/v2/library/app/manifests/v1`);
    expect(answer.headers['x-cache']).toBe(outcome.toUpperCase());
    const line = await entrepot.logged('request', (facts) => facts['outcome'] === outcome);
    expect(line).toMatchObject({
      level: 'info',
      method: 'GET',
      kind: 'manifest',
      upstream: 'docker.io',
      repository: 'library/app',
      status: 200,
      bytes: image.root.size,
      ms: expect.any(Number),
    });
  }
  // Lines are gathered for a moment.
  await expect.poll(() => entrepot.requests).toHaveLength(2);
  const metrics = await entrepot.metrics();
  for (const outcome of ['miss', 'hit']) {
    const labels = `upstream="docker.io",kind="manifest",outcome="${outcome}",code="200"`;
    expect(metrics).toContain(`entrepot_requests_total{${labels}} 1\n`);
  }
});
