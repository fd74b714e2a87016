import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runProgram } from '../../src/commands/program.ts';
import { OCI_MANIFEST } from '../../src/oci/media-type.ts';
import { closeAfterTest } from '../support/close-after-test.ts';
import { fakeProcess } from '../support/fake-process.ts';
import { FakeProxy } from '../support/fake-proxy.ts';
import { FakeRegistry } from '../support/fake-registry.ts';
import { Gate } from '../support/gate.ts';
import { tempDir } from '../support/temp-dir.ts';
import { selfSignedCertificate } from '../upstream/certificates.ts';
import { manifestText } from '../upstream/upstream-under-test.ts';

interface Checked {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly workingDir: string;
}

async function checked(config: object, ...args: readonly string[]): Promise<Checked> {
  const subject = await fakeProcess();
  const { workingDir } = subject.io;
  await writeFile(join(workingDir, 'config.yaml'), JSON.stringify(config));
  await writeFile(join(workingDir, 'name'), 'me', { mode: 0o600 });
  const io = { ...subject.io, environment: {} };
  const code = await runProgram(['check', '--config', 'config.yaml', ...args], io);
  expect(`${subject.stdout()}${subject.stderr()}`).not.toContain('canary');
  return { code, stdout: subject.stdout(), stderr: subject.stderr(), workingDir };
}

async function registry(): Promise<FakeRegistry> {
  const fake = closeAfterTest(await FakeRegistry.start());
  fake.addManifest('team/app', manifestText(), OCI_MANIFEST, ['v1']);
  fake.addManifest('library/alpine', manifestText('two'), OCI_MANIFEST, ['latest']);
  return fake;
}

const LOCAL = { publicUrl: 'https://cache.example.com' };

test('a table says what each upstream amounts to, without its secrets', async () => {
  const auth = { username: 'me', password: 'canary-password' };
  const upstreams = {
    'docker.io': { auth },
    internal: { url: 'https://10.0.0.1:5000', hosts: ['internal.mirror'], tagTtl: '90s', maxStale: '0s' },
  };
  const { code, stdout, stderr } = await checked({ ...LOCAL, upstreams });
  expect(code).toBe(0);
  expect(stderr).toBe('');
  const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
  expect(rows).toContainEqual([
    'docker.io (default)',
    'https://registry-1.docker.io',
    'docker.io index.docker.io registry-1.docker.io',
    '-',
    'password (me)',
    '1m',
    '30d',
  ]);
  expect(rows).toContainEqual([
    'internal',
    'https://10.0.0.1:5000',
    'internal',
    'internal.mirror',
    'none',
    '90s',
    '0s',
  ]);
});

test.each([
  [{ usernameFile: 'name' }, /^password \(in .*name\)$/],
  [{ token: 'canary-token' }, /^token$/],
  [{ identityToken: 'canary-token' }, /^identityToken$/],
  [{ helper: 'pass' }, /^helper \(pass\)$/],
  [{ ecr: { registryId: '123456789012' } }, /^ecr \(123456789012\)$/],
  [{ google: {} }, /^google$/],
  [{ azure: { clientId: 'some-id' } }, /^azure \(some-id\)$/],
])('credentials %j are shown by their kind and account', async (auth, shown) => {
  const all = 'usernameFile' in auth ? { ...auth, password: 'canary' } : auth;
  const upstreams = { '123456789012.dkr.ecr.eu-west-1.amazonaws.com': { auth: all, default: true } };
  const { code, stdout } = await checked({ ...LOCAL, upstreams }, '--json');
  expect(code).toBe(0);
  const [facts] = (JSON.parse(stdout) as { upstreams: readonly { auth: Record<string, string> }[] })
    .upstreams;
  const { kind = '', account } = facts?.auth ?? {};
  expect(account === undefined ? kind : `${kind} (${account})`).toMatch(shown);
});

test('the stale policy is shown for every upstream, and for repositories that have another', async () => {
  const upstreams = {
    'docker.io': {
      maxStale: '7d',
      stale: { '429': '2h', '401': 'stale' },
      repositories: { 'team/**': { stale: { timeout: 'fail' } } },
    },
    'quay.io': { maxStale: '0s' },
  };
  const { stdout } = await checked({ ...LOCAL, upstreams });
  const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
  expect(rows).toContainEqual(['stale answers up to, on', 'timeout', '5xx', '429', '401', '403', '404']);
  expect(rows).toContainEqual(['docker.io', '7d', '7d', '2h', '7d', 'fail', 'fail']);
  expect(rows).toContainEqual(['docker.io team/**', 'fail', '7d', '2h', '7d', 'fail', 'fail']);
  expect(rows).toContainEqual(['quay.io', 'fail', 'fail', 'fail', 'fail', 'fail', 'fail']);
});

test('what is allowed and denied, and the limits, are shown where there are any', async () => {
  const upstreams = {
    'docker.io': {
      allow: ['library/*', 'alpine'],
      deny: ['**/secret'],
      limits: { connections: 5, pullsPerSecond: 0.5 },
    },
    'ghcr.io': { limits: { requestsPerSecond: 7 } },
    'quay.io': {},
  };
  const { stdout } = await checked({ ...LOCAL, upstreams });
  const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
  expect(rows).toContainEqual(['access and limits', 'allow', 'deny', 'connections', 'requests/s', 'pulls/s']);
  expect(rows).toContainEqual(['docker.io', 'library/* library/alpine', '**/secret', '5', '-', '0.5']);
  expect(rows).toContainEqual(['ghcr.io', 'all', '-', '-', '7', '-']);
  expect(rows.filter(([name]) => name === 'quay.io')).toHaveLength(2);
  const { stdout: json } = await checked({ ...LOCAL, upstreams }, '--json');
  const facts = JSON.parse(json) as { upstreams: readonly Record<string, unknown>[] };
  expect(facts.upstreams.map(({ allow, deny, limits }) => ({ allow, deny, limits }))).toEqual([
    {
      allow: ['library/*', 'library/alpine'],
      deny: ['**/secret'],
      limits: { connections: 5, pullsPerSecond: 0.5 },
    },
    { allow: undefined, deny: [], limits: { requestsPerSecond: 7 } },
    { allow: undefined, deny: [], limits: {} },
  ]);
});

test('it works beside a running server: no data directory is made or locked', async () => {
  const { code, workingDir } = await checked({ ...LOCAL, dataDir: 'somewhere/data' });
  expect(code).toBe(0);
  expect(await readdir(workingDir)).toEqual(['config.yaml', 'name']);
});

test('a wrong configuration ends with 2 and all of its problems, as JSON too', async () => {
  const wrong = await checked({ lisen: 'x', upstreams: { 'quay.io': { tagTtl: 'soon' } } }, '--json');
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain('the configuration has 2 problems; it cannot be served.');
  expect(JSON.parse(wrong.stdout)).toEqual({
    problems: [
      expect.stringMatching(/^upstreams\.quay\.io\.tagTtl: "soon": accepted is a duration/),
      'lisen: unknown key; did you mean listen?',
    ],
  });
});

test.each([
  [{ listen: '0.0.0.0:5000' }, /publicUrl is missing while it listens beyond loopback/],
  [{ listen: '0.0.0.0:5000' }, /over plain http: clients must be told/],
  [{ listen: '0.0.0.0:5000', publicUrl: 'http://localhost:5000' }, /publicUrl is a loopback address/],
  [{ listen: '127.0.0.1:5000' }, /listens on loopback only/],
  [{ admin: { listen: '0.0.0.0:5001', token: 'canary' } }, /its token can be read on the way/],
  [{ cache: { maxSize: '8000TiB' } }, /larger than the disk/],
  [{ offline: true }, /no upstream is ever asked/],
  [
    { warm: [{ name: 'a', cron: '@daily', from: ['none.txt', 'name'] }] },
    /warm\.0\.from: \/.*\/none\.txt: there is no such file or directory; until it is there, runs fail/,
  ],
  [{ upstreams: { 'quay.io': {} } }, /no upstream is the default/],
  [
    { upstreams: { 'docker.io': { url: 'http://10.0.0.1', auth: { username: 'u', password: 'canary' } } } },
    /upstreams\.docker\.io: credentials are sent over plain http/,
  ],
  [{ upstreams: { 'docker.io': { tls: { insecure: true } } } }, /upstreams\.docker\.io: tls\.insecure/],
  [{ upstreams: { 'docker.io': {}, 'a.example:5000': {} } }, /only clients that send ns can ask for it/],
])('%j is warned of, and is no failure', async (config, warning) => {
  const { code, stderr, stdout } = await checked(config, '--json');
  expect(code).toBe(0);
  expect(stderr).toMatch(warning);
  expect((JSON.parse(stdout) as { warnings: readonly string[] }).warnings.join('\n')).toMatch(warning);
});

test('files of secrets that cannot be used are problems of their upstreams, and end it with 1', async () => {
  const missing = { username: 'me', passwordFile: '/nowhere/password' };
  const upstreams = {
    'docker.io': { auth: missing },
    'quay.io': { mirrors: [{ url: 'https://m.example', auth: { tokenFile: '/dev/zero' } }] },
    'ghcr.io': { repositories: { 'team/**': { auth: { google: { keyFile: 'config.yaml' } } } } },
    'other.example': {
      prefixes: ['other'],
      auth: { azure: { clientSecretFile: '.', tenantId: 't', clientId: 'c' } },
    },
  };
  const { code, stdout, stderr } = await checked({ ...LOCAL, upstreams }, '--json');
  expect(code).toBe(1);
  const { problems } = JSON.parse(stdout) as { problems: readonly string[] };
  expect(problems).toEqual([
    'no credentials for docker.io: upstreams.docker.io.auth.passwordFile cannot be read: there is no such file',
    'no credentials for quay.io: upstreams.quay.io.mirrors.0.auth.tokenFile cannot be read: it is not a regular file',
    'no credentials for ghcr.io: upstreams.ghcr.io.repositories.team/**.auth.google.keyFile is malformed: it is not a JSON key of Google',
    'no credentials for other.example: upstreams.other.example.auth.azure.clientSecretFile cannot be read: it is a directory',
  ]);
  expect(stderr).toBe(problems.map((problem) => `problem: ${problem}\n`).join(''));
});

test('credentials that may be had later, and those that every user can read, are warned of', async () => {
  const directory = await tempDir();
  const file = async (name: string, text: string, mode = 0o600) => {
    await writeFile(join(directory, name), text, { mode });
    return join(directory, name);
  };
  const entry = { auth: Buffer.from('me:canary').toString('base64') };
  const upstreams = {
    'docker.io': { auth: { username: 'me', passwordFile: await file('open', 'canary', 0o644) } },
    'a.example': { auth: { dockerConfig: '/nowhere/config.json' } },
    'b.example': { auth: { dockerConfig: await file('garbage', 'canary') } },
    'c.example': { auth: { helper: 'that-is-nowhere' } },
    'd.example': {
      auth: { dockerConfig: await file('helped', '{"credHelpers":{"d.example":"that-is-nowhere"}}') },
    },
    'e.example': {
      auth: { dockerConfig: await file('world', JSON.stringify({ auths: { 'e.example': entry } }), 0o644) },
    },
  };
  const { code, stdout } = await checked({ ...LOCAL, upstreams }, '--json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    problems: [],
    warnings: [
      'upstreams.docker.io.auth.passwordFile: holds secrets that every user can read',
      'no credentials for a.example: upstreams.a.example.auth.dockerConfig cannot be read: there is no such file',
      expect.stringMatching(
        /^no credentials for b\.example: upstreams\.b\.example\.auth\.dockerConfig is malformed/,
      ),
      'upstreams.c.example.auth.helper names docker-credential-that-is-nowhere, which is not on the PATH',
      'upstreams.d.example.auth.dockerConfig: its credHelpers.d.example names docker-credential-that-is-nowhere, which is not on the PATH',
      'upstreams.e.example.auth.dockerConfig: holds secrets that every user can read',
    ],
  });
});

test('a configuration without anything odd is not warned of', async () => {
  const { stderr } = await checked({ listen: '0.0.0.0:5000', publicUrl: 'https://cache.example.com' });
  expect(stderr).toBe('');
});

test('--online asks every upstream, and ends with 0 when all is well', async () => {
  const [hub, internal] = [await registry(), await registry()];
  const upstreams = { 'docker.io': { url: hub.url }, internal: { url: internal.url } };
  const { code, stdout } = await checked(
    { ...LOCAL, upstreams },
    '--online',
    '--image',
    'internal/team/app:v1',
  );
  expect(code).toBe(0);
  expect(stdout).toMatch(/^docker\.io {2,}manifest {2,}ok {2,}sha256:/m);
  expect(stdout).toMatch(/^internal {2,}manifest {2,}ok {2,}sha256:/m);
  // What is well known at Docker Hub, and what was named.
  expect(hub.count({ method: 'HEAD', path: /^\/v2\/library\/alpine\/manifests\/latest$/ })).toBe(1);
  expect(internal.count({ method: 'HEAD', path: /^\/v2\/team\/app\/manifests\/v1$/ })).toBe(1);
});

test('--online ends with 1 when an upstream is not well, and tells of the others too', async () => {
  const [hub, gone] = [await registry(), await registry()];
  await gone.stop();
  const upstreams = {
    'docker.io': { url: hub.url },
    gone: { url: gone.url },
    nameless: { url: 'https://registry.invalid' },
  };
  const { code, stdout } = await checked({ ...LOCAL, upstreams }, '--online', '--json');
  expect(code).toBe(1);
  const { online } = JSON.parse(stdout) as {
    online: readonly { upstream: string; steps: Record<string, { outcome: string }> }[];
  };
  expect(
    online.map(({ upstream, steps }) => [upstream, steps['name']?.outcome, steps['connection']?.outcome]),
  ).toEqual([
    ['docker.io', 'ok', 'ok'],
    ['gone', 'ok', 'failed'],
    ['nameless', 'failed', 'skipped'],
  ]);
});

test('--online asks the mirrors too, with what is theirs', async () => {
  const [hub, mirror] = [await registry(), await registry()];
  const auth = { username: 'me', password: 'canary' };
  const upstreams = { 'docker.io': { url: hub.url, auth, mirrors: [mirror.url] } };
  const well = await checked({ ...LOCAL, upstreams }, '--online');
  expect(well.code).toBe(0);
  expect(mirror.count({ method: 'HEAD' })).toBe(1);
  expect(hub.count({ method: 'HEAD' })).toBe(1);
  await mirror.stop();
  const { code, stdout } = await checked({ ...LOCAL, upstreams }, '--online');
  expect(code).toBe(1);
  expect(stdout).toMatch(new RegExp(`^docker\\.io mirror ${mirror.host} +connection +failed`, 'm'));
});

test('--online names the keys to look at for a proxy that refuses and for a certificate that is not accepted', async () => {
  const hub = await registry();
  const proxy = closeAfterTest(await FakeProxy.start({ refuse: 403 }));
  const secret = closeAfterTest(await FakeRegistry.start({ tls: selfSignedCertificate }));
  const upstreams = {
    'docker.io': { url: hub.url, proxy: 'none', mirrors: [secret.url] },
    'a.example': {},
    'b.example': { proxy: `http://me:canary@${proxy.host}` },
    'c.example': { url: secret.url, proxy: 'none' },
  };
  const { code, stdout } = await checked(
    { ...LOCAL, proxy: `http://me:canary@${proxy.host}`, upstreams },
    '--online',
  );
  expect(code).toBe(1);
  const refusal = (hostname: string, key: string): string =>
    `${hostname}: the proxy ${proxy.host} (${key}) does not let us connect (403)`;
  for (const detail of [
    refusal('a.example', 'proxy, for upstreams.a.example'),
    refusal('b.example', 'upstreams.b.example.proxy'),
    'not accepted (DEPTH_ZERO_SELF_SIGNED_CERT); see upstreams.c.example.tls.ca',
    'not accepted (DEPTH_ZERO_SELF_SIGNED_CERT); see upstreams.docker.io.mirrors.0.tls.ca',
  ])
    expect(stdout).toContain(detail);
});

const login = (name: string) => ({ username: name, password: `canary-${name}` });

test.each(['basic', 'bearer'] as const)(
  '--online signs in with the credentials of repositories too (%s)',
  async (mode) => {
    const auth = { mode, credentials: [login('team'), login('other')] };
    const fake = closeAfterTest(await FakeRegistry.start({ auth }));
    const repositories = { 'team/**': { auth: login('team') }, 'a/*/b': { auth: login('other') } };
    const well = await checked(
      { ...LOCAL, upstreams: { 'docker.io': { url: fake.url, auth: login('team'), repositories } } },
      '--online',
    );
    expect(well.stdout).toMatch(/^docker\.io team\/\*\* {2,}manifest {2,}ok /m);
    expect(well.stdout).toMatch(/^docker\.io a\/\*\/b {2,}manifest {2,}ok /m);
    const wrong = { ...repositories, 'a/*/b': { auth: { username: 'other', password: 'canary' } } };
    const { code, stdout } = await checked(
      { ...LOCAL, upstreams: { other: { url: fake.url, auth: login('team'), repositories: wrong } } },
      '--online',
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(/^other team\/\*\* {2,}manifest {2,}ok /m);
    expect(stdout).toMatch(/^other a\/\*\/b {2,}(?:token|manifest) {2,}failed .*401/m);
  },
);

test('--online asks all at once, so that slow ones do not add up', async () => {
  const registries = await Promise.all(Array.from({ length: 8 }, registry));
  const gate = new Gate();
  for (const { faults } of registries) faults.add({ match: { path: /^\/v2\/$/ }, action: { gate } });
  const upstreams = Object.fromEntries(registries.map(({ url }, at) => [`slow${at}.example`, { url }]));
  const asked = checked({ ...LOCAL, upstreams }, '--online', '--timeout', '30s');
  await gate.arrived(registries.length);
  // None of them was given up before the last was asked.
  expect(gate.waiting).toBe(registries.length);
  gate.open();
  await asked;
  const deaf = await registry();
  deaf.faults.add({ match: { path: /^\/v2\/$/ }, action: { hang: true } });
  const upstream = { 'deaf.example': { url: deaf.url } };
  expect(await checked({ ...LOCAL, upstreams: upstream }, '--online', '--timeout', '500ms')).toMatchObject({
    code: 1,
  });
});

test('--online --upstream asks only these', async () => {
  const [hub, other] = [await registry(), await registry()];
  const upstreams = { 'docker.io': { url: hub.url }, other: { url: other.url } };
  expect((await checked({ ...LOCAL, upstreams }, '--online', '--upstream', 'other')).code).toBe(0);
  expect(hub.requests).toEqual([]);
  expect(other.requests.length).toBeGreaterThan(0);
});

test.each([
  [
    ['--online', '--upstream', 'nobody.example'],
    /--upstream nobody\.example: not configured; there are docker\.io/,
  ],
  [
    ['--online', '--image', 'nobody.example/app'],
    /--image nobody\.example\/app: nobody\.example is not an upstream/,
  ],
  [['--online', '--image', 'App'], /--image App: accepted is/],
  [['--online', '--image', 'app@sha256:12'], /--image app@sha256:12: /],
  [['--online', '--timeout', 'soon'], /--timeout soon: accepted is a duration/],
])('%j is wrong usage', async (args, message) => {
  const { code, stdout, stderr } = await checked({ ...LOCAL, upstreams: { 'docker.io': {} } }, ...args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toMatch(message);
});

test('an upstream that is offline is warned of, and --online passes it over', async () => {
  const { url } = await registry();
  const upstreams = {
    'docker.io': { url, offline: true },
    'quay.io': { url, offline: true },
    'registry.example': { url },
  };
  const all = await checked({ ...LOCAL, upstreams }, '--online');
  expect(all.stderr).toContain('warning: upstreams.docker.io: it is offline, and never asked\n');
  const asked = all.stdout.slice(all.stdout.lastIndexOf('\n\n'));
  expect(asked).toMatch(/registry\.example/);
  expect(asked).not.toMatch(/docker\.io|quay\.io/);
  expect(await checked({ ...LOCAL, upstreams }, '--online', '--upstream', 'quay.io')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--upstream quay.io: it is offline by configuration'),
  });
});

test('offline: true and --online contradict each other', async () => {
  expect(await checked({ ...LOCAL, offline: true }, '--online')).toMatchObject({
    code: 2,
    stderr: 'entrepot: offline is true: no upstream may be asked.\n',
  });
});

test('the disk of a data directory that is not there yet is that of the nearest one that is', async () => {
  const subject = await fakeProcess();
  await mkdir(join(subject.io.workingDir, 'there'));
  const { stderr } = await checked({
    ...LOCAL,
    dataDir: join(subject.io.workingDir, 'there', 'not', 'yet'),
    cache: { maxSize: '8000TiB' },
  });
  expect(stderr).toMatch(/larger than the disk/);
});
