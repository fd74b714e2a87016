import { execFileSync } from 'node:child_process';
import { lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { certificateAuthority, serverCertificate } from '../upstream/certificates.ts';

const CONFIG = {
  publicUrl: 'https://cache.example.com',
  admin: { token: 'canary-admin-token' },
  upstreams: {
    'docker.io': { auth: { username: 'canary-user', password: 'canary-password' } },
    'quay.io': {},
  },
};

async function setUp(
  config: object,
  ...args: readonly string[]
): Promise<{ code: number; stdout: string; stderr: string; workingDir: string }> {
  const subject = await fakeProcess();
  const { workingDir } = subject.io;
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
  await writeFile(join(workingDir, 'ca.pem'), certificateAuthority);
  // Its lot: the key of a server beside its certificate.
  await writeFile(join(workingDir, 'with-key.pem'), `${serverCertificate.cert}\n${serverCertificate.key}`);
  const code = await runProgram(['setup', ...args, '--config', 'config.yaml'], subject.io);
  return { code, stdout: subject.stdout(), stderr: subject.stderr(), workingDir };
}

test('the list names every client', async () => {
  const subject = await fakeProcess();
  expect(await runProgram(['setup', '--list'], subject.io)).toBe(0);
  for (const client of ['dockerd', 'containerd', 'containerd-1', 'podman', 'crio', 'skopeo', 'buildah'])
    expect(subject.stdout()).toMatch(new RegExp(`^${client} +\\S`, 'm'));
  for (const client of ['buildkit', 'k3s', 'rke2', 'kind', 'minikube', 'microk8s', 'talos', 'openshift'])
    expect(subject.stdout()).toMatch(new RegExp(`^${client} +\\S`, 'm'));
  for (const client of ['nerdctl', 'helm', 'crane', 'oras', 'cosign', 'github-actions', 'gitlab-ci'])
    expect(subject.stdout()).toMatch(new RegExp(`^${client} +\\S`, 'm'));
});

test('files and steps are printed, what the client cannot do on standard error', async () => {
  const { code, stdout, stderr } = await setUp(CONFIG, 'docker');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^==> \/etc\/docker\/daemon\.json \(add to it if it is there already\)\n\{/);
  expect(stdout).toContain('==> then\nsudo systemctl reload docker');
  expect(stderr).toContain('note: The daemon asks registry-mirrors for Docker Hub only.');
  expect(stderr).not.toContain('warning');
});

test('JSON has files, steps and limits', async () => {
  const { code, stdout } = await setUp(CONFIG, 'podman', '--upstream', 'quay.io', '--json', '--ca', 'ca.pem');
  expect(code).toBe(0);
  const made = JSON.parse(stdout) as Record<string, readonly unknown[]>;
  expect(made['files']).toEqual([
    {
      path: '/etc/containers/registries.conf.d/50-entrepot.conf',
      content: expect.stringContaining('cache.example.com/quay.io'),
      mode: '0644',
      merge: false,
    },
    {
      path: '/etc/containers/certs.d/cache.example.com/ca.crt',
      content: `${certificateAuthority}\n`,
      mode: '0644',
      merge: false,
    },
  ]);
  expect(stdout).not.toContain('docker.io');
  expect(made['steps']?.length).toBeGreaterThan(0);
  expect(made['limits']?.length).toBeGreaterThan(0);
});

test('no secret of the configuration, and no key, is printed or written for any client', async () => {
  const listed = await setUp(CONFIG, '--list', '--json');
  for (const { id } of JSON.parse(listed.stdout) as readonly { readonly id: string }[]) {
    const { code, stdout, stderr } = await setUp(CONFIG, id, '--json', '--ca', 'with-key.pem');
    expect(code).toBe(0);
    expect(`${stdout}${stderr}`).not.toMatch(/canary|PRIVATE KEY/);
  }
});

test('a cache that only this machine reaches is warned of', async () => {
  const { stderr } = await setUp({ ...CONFIG, publicUrl: undefined, listen: '127.0.0.1:5000' }, 'k3s');
  expect(stderr).toMatch(/^warning: .*reached from this machine only/);
});

test('--ca is refused where clients speak http, and where it holds no certificate', async () => {
  const plain = await setUp({ ...CONFIG, publicUrl: 'http://cache:5000' }, 'podman', '--ca', 'ca.pem');
  expect(plain).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('over http') });
  const wrong = await setUp(CONFIG, 'podman', '--ca', 'config.yaml');
  expect(wrong).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('PEM file') });
  expect(wrong.stderr).not.toContain('canary');
});

test('a wrong configuration ends with 2, and nothing is printed', async () => {
  const { code, stdout, stderr } = await setUp({ publicURL: 'x' }, 'podman');
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('did you mean publicUrl?');
});

test('--write puts the files below a directory, and leaves nothing else there', async () => {
  const { code, stdout, workingDir } = await setUp(CONFIG, 'containerd', '--write', 'root');
  expect(code).toBe(0);
  const root = join(workingDir, 'root');
  const files = (await readdir(root, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
  expect(files.toSorted()).toEqual([
    '/etc/containerd/certs.d/docker.io/hosts.toml',
    '/etc/containerd/certs.d/quay.io/hosts.toml',
    '/etc/containerd/config.toml',
  ]);
  for (const file of files) {
    expect(stdout).toContain(`written ${join(root, file)}\n`);
    expect((await stat(join(root, file))).mode & 0o777).toBe(0o644);
  }
});

test('--write replaces no file that has other content, and writes none then, unless it is forced', async () => {
  const { workingDir } = await setUp(CONFIG, '--list');
  const root = join(workingDir, 'root');
  const config = join(root, 'etc/containerd/config.toml');
  await mkdir(dirname(config), { recursive: true });
  await writeFile(config, 'version = 3\n');
  const refused = await setUp(CONFIG, 'containerd', '--write', root);
  expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining(config) });
  expect(await readdir(join(root, 'etc/containerd'))).toEqual(['config.toml']);
  expect(await readFile(config, 'utf8')).toBe('version = 3\n');

  const forced = await setUp(CONFIG, 'containerd', '--write', root, '--force');
  expect(forced.code).toBe(0);
  expect(forced.stdout).toContain(`replaced ${config}\n`);
  const again = await setUp(CONFIG, 'containerd', '--write', root);
  expect(again.code).toBe(0);
  expect(again.stdout).toContain(`unchanged ${config}\n`);
  expect(again.stdout).not.toContain('written');
});

test('--ca that is no regular file is refused at once', async () => {
  const { workingDir } = await setUp(CONFIG, '--list');
  const pipe = join(workingDir, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const [file, problem] of [
    [pipe, 'it is not a regular file'],
    ['/dev/zero', 'it is not a regular file'],
    [workingDir, 'it is a directory'],
    [join(workingDir, 'nothing'), 'there is no such file'],
  ] as const) {
    const { code, stderr } = await setUp(CONFIG, 'podman', '--ca', file);
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `entrepot: --ca ${file}: cannot be read: ${problem}.\n`,
    });
  }
});

test('every client is told of --ca where https comes without it', async () => {
  const { stdout } = await setUp(CONFIG, '--list', '--json');
  for (const { id } of JSON.parse(stdout) as readonly { readonly id: string }[]) {
    const notes = async (config: object, ...args: readonly string[]): Promise<readonly string[]> =>
      (await setUp(config, id, ...args)).stderr.split('\n').filter((line) => line.includes('say --ca FILE'));
    expect(await notes(CONFIG)).toHaveLength(1);
    expect(await notes(CONFIG, '--ca', 'ca.pem')).toEqual([]);
    expect(await notes({ ...CONFIG, publicUrl: 'http://cache:5000' })).toEqual([]);
  }
});

test('--write into a place where nothing can be made says so', async () => {
  const { code, stderr } = await setUp(CONFIG, 'podman', '--write', `/proc/${process.pid}`);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^entrepot: nothing was written: .*ENOENT/m);
});

test('--write goes by no link that leads out of the directory', async () => {
  const { workingDir } = await setUp(CONFIG, '--list');
  const [root, elsewhere] = [join(workingDir, 'root'), join(workingDir, 'elsewhere')];
  await mkdir(join(root, 'etc'), { recursive: true });
  await mkdir(elsewhere);
  await symlink(elsewhere, join(root, 'etc/containers'));
  const refused = await setUp(CONFIG, 'podman', '--write', root, '--force');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`${join(root, 'etc/containers')} leads out of ${root}`);
  expect(await readdir(elsewhere)).toEqual([]);

  await rm(join(root, 'etc/containers'));
  await mkdir(join(root, 'real'));
  await symlink('../real', join(root, 'etc/containers'));
  const inside = await setUp(CONFIG, 'podman', '--write', root);
  expect(inside.code).toBe(0);
  expect(await readdir(join(root, 'real/registries.conf.d'))).toEqual(['50-entrepot.conf']);
});

test('--write reads and changes nothing that a link in the place of a file leads to', async () => {
  const { workingDir } = await setUp(CONFIG, '--list');
  const [root, elsewhere] = [join(workingDir, 'root'), join(workingDir, 'elsewhere')];
  const place = join(root, 'etc/containers/registries.conf.d/50-entrepot.conf');
  await mkdir(dirname(place), { recursive: true });
  await writeFile(elsewhere, 'mine');
  await symlink(elsewhere, place);
  const refused = await setUp(CONFIG, 'podman', '--write', root);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(place) });
  const forced = await setUp(CONFIG, 'podman', '--write', root, '--force');
  expect(forced.code).toBe(0);
  expect(await readFile(elsewhere, 'utf8')).toBe('mine');
  expect((await lstat(place)).isFile()).toBe(true);
});

test('--write waits for no pipe in the place of a file', async () => {
  const { workingDir } = await setUp(CONFIG, '--list');
  const root = join(workingDir, 'root');
  const place = join(root, 'etc/containers/registries.conf.d/50-entrepot.conf');
  await mkdir(dirname(place), { recursive: true });
  execFileSync('mkfifo', [place]);
  const refused = await setUp(CONFIG, 'podman', '--write', root);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(place) });
});

test('--write says what keeps it from writing', async () => {
  const { code, stderr } = await setUp(CONFIG, 'podman', '--write', 'config.yaml');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^entrepot: nothing was written: .*ENOTDIR/m);
});
