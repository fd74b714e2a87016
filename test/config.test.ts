import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, asyncProperty, domain, integer, json, oneof, property, string } from 'fast-check';
import { format } from 'prettier';
import { expect, test } from 'vitest';
import { profileFor } from '../src/config-profile.ts';
import { GENERIC } from '../src/config-profiles.ts';
import { jsonSchema } from '../src/config-schema.ts';
import { parseDuration, parseHost, parseListen, parseSize, substitute } from '../src/config-text.ts';
import {
  type Config,
  ConfigError,
  type ConfigProblem,
  loadConfig,
  type ProxyConfig,
  type ProxyServer,
} from '../src/config.ts';
import { parseRepositoryPattern } from '../src/oci/repository-pattern.ts';
import { tempDir } from './support/temp-dir.ts';

const ROOT = join(import.meta.dirname, '..');
const CANARY = 'hunter2-canary';

type Environment = Record<string, string>;

function load(environment: Environment = {}, file?: string, workingDir = ROOT): Config {
  return loadConfig({ environment, file, workingDir });
}

async function loadText(text: string, environment: Environment = {}): Promise<Config> {
  const dir = await tempDir();
  await writeFile(join(dir, 'entrepot.yaml'), text);
  return load(environment, 'entrepot.yaml', dir);
}

function problemsIn(attempt: () => Config): readonly ConfigProblem[] {
  try {
    attempt();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

async function problemsOf(text: string, environment: Environment = {}): Promise<readonly ConfigProblem[]> {
  const dir = await tempDir();
  const file = join(dir, 'entrepot.yaml');
  await writeFile(file, text);
  return problemsIn(() => load(environment, file, dir));
}

const pathsOf = (problems: readonly ConfigProblem[]) => problems.map(({ path }) => path);

test('without a file and a variable the built-in defaults hold', () => {
  const config = load();
  expect({ ...config, upstreams: undefined }).toEqual({
    listeners: [{ host: '127.0.0.1', port: 5000 }],
    connectionsPerClient: 512,
    admin: { listen: { host: '127.0.0.1', port: 5001 } },
    dataDir: join(ROOT, 'data'),
    cache: {
      maxSize: { bytes: 50 * 2 ** 30 },
      finishFillBytes: 64 * 2 ** 20,
      fillLingerMs: 10_000,
      pins: [],
    },
    offline: false,
    shutdownGraceMs: 30_000,
    log: { level: 'info' },
    upstreams: undefined,
  });
  expect(config.upstreams.map(({ name }) => name)).toEqual([
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
  expect(config.upstreams.slice(0, 2)).toEqual([
    {
      name: 'docker.io',
      url: 'https://registry-1.docker.io',
      default: true,
      prefixes: ['docker.io', 'index.docker.io', 'registry-1.docker.io'],
      hosts: [],
      trustedHosts: [],
      profile: profileFor({ name: 'docker.io', url: 'https://registry-1.docker.io' }),
      tagTtlMs: 60_000,
      maxStaleMs: 30 * 86_400_000,
    },
    {
      name: 'quay.io',
      url: 'https://quay.io',
      default: false,
      prefixes: ['quay.io'],
      hosts: [],
      trustedHosts: [],
      profile: profileFor({ name: 'quay.io', url: 'https://quay.io' }),
      tagTtlMs: 60_000,
      maxStaleMs: 30 * 86_400_000,
    },
  ]);
});

test.each([
  '',
  '# nothing but a comment\n',
  '{}',
  'upstreams:\n',
  'upstreams: {}\ncache:\nadmin:\n',
  '---\n...\n',
])('a file that sets nothing means the defaults: %j', async (text) => {
  expect({ ...(await loadText(text)), dataDir: '' }).toEqual({ ...load(), dataDir: '' });
});

test('a configuration is frozen to its leaves', () => {
  const config = load();
  const [upstream] = config.upstreams;
  for (const part of [
    config,
    config.cache,
    config.cache.maxSize,
    config.upstreams,
    upstream,
    upstream?.prefixes,
  ])
    expect(Object.isFrozen(part)).toBe(true);
});

test('the example file sets every default and changes nothing', () => {
  expect(load({}, 'config.example.yaml')).toEqual(load());
});

test('the example file with its examples taken in is valid and knows every key', async () => {
  const dir = await tempDir();
  const certificate = makeCertificate(dir);
  await writeFile(join(dir, 'secret'), 'a-secret\n');
  const text = (await readFile(join(ROOT, 'config.example.yaml'), 'utf8'))
    .replaceAll(/^( *)#(?= {2,}\S|[a-zA-Z])(?! {2,}(?:Environment))/gm, '$1')
    .replace(/^ *tokenFile: .*\n/m, '')
    .replaceAll(/\/run\/secrets\/\S+/g, join(dir, 'secret'))
    .replaceAll(/\/etc\/entrepot\/(?:ca|client|tls|proxy-ca)\.pem/g, certificate.cert)
    .replaceAll(/\/etc\/entrepot\/(?:client|tls)-key\.pem/g, certificate.key);
  await writeFile(join(dir, 'entrepot.yaml'), text);
  const config = load({ ADMIN_TOKEN: 'top-secret', DOCKERHUB_TOKEN: 'dckr' }, 'entrepot.yaml', dir);
  expect(config.publicUrl).toBe('https://cache.example.com');
  expect(config.admin.token).toBe('top-secret');
  expect(config.upstreams[0]?.auth).toEqual({ username: 'me', password: 'dckr' });
  expect(config.upstreams.at(-1)).toEqual({
    name: 'internal',
    url: 'https://registry.internal:5000/optional/path',
    default: false,
    prefixes: ['internal'],
    hosts: ['internal.mirror.local'],
    trustedHosts: ['minio.internal:9000'],
    profile: {
      name: 'harbor',
      hubNames: false,
      referrers: true,
      headBlobs: true,
      tagsPerPage: 100,
      hidesMissing: true,
      textManifests: false,
      tokenHosts: ['auth.example.com'],
      pullsPerSecond: { anonymous: 50, authenticated: 50 },
    },
    auth: { username: { file: join(dir, 'secret') }, password: { file: join(dir, 'secret') } },
    tls: {
      ca: await readFile(certificate.cert, 'utf8'),
      cert: await readFile(certificate.cert, 'utf8'),
      key: await readFile(certificate.key, 'utf8'),
      files: { ca: certificate.cert, cert: certificate.cert, key: certificate.key },
      insecure: false,
    },
    limits: { connections: 96, requestsPerSecond: 50, pullsPerSecond: 10 },
    mirrors: [
      {
        url: 'https://mirror.internal',
        trustedHosts: ['storage.internal'],
        auth: { username: 'reader', password: { file: join(dir, 'secret') } },
        limits: { connections: 20 },
        profile: GENERIC,
      },
    ],
    allow: ['team/**', 'tools/*'].map(parseRepositoryPattern),
    deny: [parseRepositoryPattern('team/secret/**')],
    immutableTags: [{ text: 'v\\d+\\.\\d+\\.\\d+', matches: expect.any(Function) }],
    stale: { timeout: 'stale', '5xx': 'stale', '429': 'stale', '401': 'fail', '403': 'fail', '404': 'fail' },
    tagTtlMs: 10_000,
    maxStaleMs: 7 * 86_400_000,
    repositories: [
      {
        pattern: parseRepositoryPattern('team/app/**'),
        auth: { username: 'app', password: { file: join(dir, 'secret') } },
        tagTtlMs: 300_000,
        maxStaleMs: 86_400_000,
        immutableTags: [{ text: '.*', matches: expect.any(Function) }],
        stale: { '404': 7_200_000 },
      },
    ],
  });
  const written = new Set(
    Array.from(text.matchAll(/([A-Za-z]+)File?:|([A-Za-z0-9]+)'?:/g), ([key]) => key.replace(/'?:$/, '')),
  );
  written.add('tokenFile');
  expect(schemaKeys(jsonSchema()).filter((key) => !written.has(key))).toEqual([]);
});

test('the JSON Schema beside the deployment files is current', async () => {
  // `npx vitest run test/config.test.ts --update` writes it anew.
  const text = await format(JSON.stringify(jsonSchema()), { parser: 'json', printWidth: 110 });
  await expect(text).toMatchFileSnapshot('../deploy/config.schema.json');
});

test('all problems are told at once, each with its key, its value and what is accepted', async () => {
  const problems = await problemsOf(
    `
listen: 5000
cahce: { maxSize: 1GiB }
cache: { maxSize: lots, tagTtl: 5 minutes, finishFill: -1 }
offline: maybe
log: { level: loud }
upstreams:
  docker.io: { defualt: true, prefixes: [Docker/Hub], url: ftp://x }
  quay.io: { default: true, hosts: ['bad host'] }
  ghcr.io: { default: true }
`,
    { ENTREPOT_ADMIN_LISTEN: 'nowhere', ENTREPOT_ADMIN_TOKNE: CANARY },
  );
  expect(new Map(problems.map(({ path, value, message }) => [path, `${value} | ${message}`]))).toEqual(
    new Map([
      ['ENTREPOT_ADMIN_TOKNE', 'undefined | is not a known variable; did you mean ENTREPOT_ADMIN_TOKEN?'],
      ['listen', expect.stringMatching(/^5000 \| accepted is host:port/)],
      ['cahce', 'undefined | unknown key; did you mean cache?'],
      ['cache.maxSize', expect.stringMatching(/^"lots" \| accepted is a number of bytes.*80%/)],
      ['cache.tagTtl', expect.stringMatching(/^"5 minutes" \| accepted is a duration such as 250ms/)],
      ['cache.finishFill', expect.stringMatching(/^-1 \| accepted is a number of bytes/)],
      ['offline', '"maybe" | accepted is true or false'],
      ['log.level', '"loud" | accepted is debug, info, warn or error'],
      ['ENTREPOT_ADMIN_LISTEN', expect.stringMatching(/^"nowhere" \| accepted is host:port/)],
      ['upstreams.docker.io.defualt', 'undefined | unknown key; did you mean default?'],
      ['upstreams.docker.io.prefixes.0', expect.stringMatching(/^"Docker\/Hub" \| accepted is one segment/)],
      ['upstreams.docker.io.url', expect.stringMatching(/^"ftp:\/\/x" \| accepted is http\(s\):/)],
      ['upstreams.quay.io.hosts.0', '"bad host" | accepted is host or host:port'],
      ['upstreams.ghcr.io.default', 'true | only one upstream can be the default, and quay.io is'],
    ]),
  );
});

test.each([['upstreams: { quay.io: { maxSize: 1GiB } }', 'upstreams.quay.io.maxSize']])(
  'a setting of a later release is said to be not supported yet: %s',
  async (text, path) => {
    expect(await problemsOf(text)).toEqual([{ path, message: 'this version does not support it yet' }]);
  },
);

test.each([
  ['a: 1\nb: [', /^line \d+, column \d+: /],
  ['listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n', /^line 2, column 1: Map keys must be unique/],
  [`upstreams:\n  x: { auth: { password: "${CANARY}" ${CANARY}`, /^line 2/],
  ['listen: !!js/function x', /^line 1/],
])('a file that is not YAML is told with its line and without quoting it: %j', async (text, message) => {
  const problems = await problemsOf(text);
  expect(problems.length).toBeGreaterThan(0);
  expect(problems[0]?.path).toMatch(/entrepot\.yaml$/);
  expect(problems[0]?.message).toMatch(message);
  expect(JSON.stringify(problems)).not.toContain(CANARY);
});

test.each([
  ['- a', 'the file'],
  ['just text', 'the file'],
  ['upstreams: [docker.io]', 'upstreams'],
  ['cache: big', 'cache'],
  ['__proto__: { listen: 1 }', '__proto__'],
])('a value of the wrong kind is told: %s', async (text, path) => {
  expect(pathsOf(await problemsOf(text))).toEqual([path]);
});

test('what else is wrong is told beside an upstream whose name is no host', async () => {
  const problems = await problemsOf('upstreams: { "x:99999": { tls: { ca: nowhere } }, y: { auth: {} } }');
  expect(pathsOf(problems)).toEqual(['upstreams.x:99999', 'upstreams.x:99999.tls.ca', 'upstreams.y.auth']);
});

test('pins are kept in full, and one that is none is told with its place', async () => {
  const taken = await loadText('cache: { pins: [nginx, "ghcr.io/org/app:v1.*", docker.io] }');
  expect(taken.cache.pins.map(({ text }) => text)).toEqual([
    'docker.io/library/nginx',
    'ghcr.io/org/app:v1.*',
    'docker.io/**',
  ]);
  const problems = await problemsOf('cache: { pins: [nginx, gchr.io/org/app, "Nginx:*"] }');
  expect(problems).toEqual([
    {
      path: 'cache.pins.1',
      value: '"gchr.io/org/app"',
      message: expect.stringContaining('gchr.io is not an upstream; there are docker.io'),
    },
    { path: 'cache.pins.2', value: '"Nginx:*"', message: expect.stringContaining('accepted is [upstream/]') },
  ]);
});

test('a star that YAML takes for an alias is told by its place', async () => {
  const problems = await problemsOf(
    'upstreams:\n  a: { allow: &list [x] }\n  b: { deny: *list, allow: [*library] }\n',
  );
  expect(problems.map(({ message }) => message)).toEqual([
    'line 3, column 29: an alias without an anchor; text that begins with * goes in quotes',
  ]);
});

test.each([
  ['a pipe', 'it is not a regular file'],
  ['a device', 'it is not a regular file'],
  ['a directory', 'it is a directory'],
])('%s in place of any file is a problem at its key, at once', async (kind, reason) => {
  const dir = await tempDir();
  const file = kind === 'a device' ? '/dev/zero' : join(dir, 'file');
  if (kind === 'a pipe') execFileSync('mkfifo', [file]);
  if (kind === 'a directory') await mkdir(file);
  const own = problemsIn(() => load({}, file, dir));
  expect(own).toEqual([{ path: file, message: `the configuration file cannot be read: ${reason}` }]);
  const tls = { cert: file, key: file };
  const text = JSON.stringify({
    tls,
    admin: { tokenFile: file },
    upstreams: {
      a: {
        tls: { ...tls, ca: file },
        proxy: { url: 'https://p', username: 'u', passwordFile: file, ca: file },
      },
    },
  });
  const problems = await problemsOf(text);
  expect(pathsOf(problems)).toEqual([
    'admin.tokenFile',
    'tls.cert',
    'tls.key',
    'upstreams.a.proxy.passwordFile',
    'upstreams.a.proxy.ca',
    'upstreams.a.tls.ca',
    'upstreams.a.tls.cert',
    'upstreams.a.tls.key',
  ]);
  for (const { message } of problems) expect(message).toBe(`cannot be read: ${reason}`);
});

test('a file that cannot be read is a problem that names it', () => {
  expect(problemsIn(() => load({}, '/nowhere/entrepot.yaml'))).toEqual([
    {
      path: '/nowhere/entrepot.yaml',
      message: 'the configuration file cannot be read: there is no such file',
    },
  ]);
});

test('variables are put into text, and text that becomes a number, a size or a switch is one', async () => {
  const text = `
offline: \${OFF:-true}
cache: { maxSize: '\${SIZE}' , tagTtl: "\${TTL:-5m}" }
upstreams: { x: { auth: { username: 'a$\${b}', password: '\${PW}' } } }`;
  const config = await loadText(text, { SIZE: '12345', PW: 'true', TTL: '' });
  expect(config.offline).toBe(true);
  expect(config.cache.maxSize).toEqual({ bytes: 12_345 });
  expect(config.upstreams[0]).toMatchObject({
    tagTtlMs: 300_000,
    auth: { username: 'a${b}', password: 'true' },
  });
});

test('a variable that is not set is a problem that names it', async () => {
  const problems = await problemsOf('upstreams: { x: { auth: { username: u, password: "${NO_SUCH}" } } }');
  expect(problems).toEqual([
    { path: 'upstreams.x.auth.password', message: expect.stringContaining('NO_SUCH, which is not set') },
  ]);
});

test('what is put in is not looked at again', () => {
  assert(
    property(string(), (value) => {
      const missing: string[] = [];
      expect(substitute('<${V}>', { V: value }, (problem) => missing.push(problem))).toBe(`<${value}>`);
      expect(missing).toEqual([]);
    }),
  );
});

test('the environment outranks the file, and an empty variable is as good as none', async () => {
  const dir = await tempDir();
  const file = join(dir, 'entrepot.yaml');
  await writeFile(file, 'listen: 127.0.0.1:1\ndataDir: here\nadmin: { tokenFile: /nowhere }\n');
  const config = load(
    {
      ENTREPOT_LISTEN: '[::1]:6000',
      ENTREPOT_ADMIN_LISTEN: '0.0.0.0:6001',
      ENTREPOT_ADMIN_TOKEN: 'token',
      ENTREPOT_DATA_DIR: 'there',
      ENTREPOT_CACHE_MAX_SIZE: '80%',
      ENTREPOT_OFFLINE: 'true',
      ENTREPOT_LOG_LEVEL: 'debug',
      ENTREPOT_PUBLIC_URL: 'https://Cache.example.com/',
    },
    file,
    ROOT,
  );
  expect(config).toMatchObject({
    listeners: [{ host: '::1', port: 6000 }],
    admin: { listen: { host: '0.0.0.0', port: 6001 }, token: 'token' },
    dataDir: join(ROOT, 'there'),
    cache: { maxSize: { share: 0.8 } },
    offline: true,
    log: { level: 'debug' },
    publicUrl: 'https://cache.example.com',
  });
  const own = await loadText('listen: 127.0.0.1:1\ndataDir: here\n', {
    ENTREPOT_LISTEN: '',
    ENTREPOT_DATA_DIR: '',
  });
  expect(own.listeners[0]?.port).toBe(1);
  expect(own.dataDir).toMatch(/entrepot-test-[^/]*\/here$/);
});

test('the variables that Kubernetes sets for a Service of our name are not mistaken for settings', () => {
  const environment = {
    ENTREPOT_SERVICE_HOST: '10.0.0.1',
    ENTREPOT_SERVICE_PORT: '5000',
    ENTREPOT_SERVICE_PORT_REGISTRY: '5000',
    ENTREPOT_PORT: 'tcp://10.0.0.1:5000',
    ENTREPOT_PORT_5000_TCP: 'tcp://10.0.0.1:5000',
    ENTREPOT_PORT_5000_TCP_ADDR: '10.0.0.1',
    ENTREPOT_ADMIN_SERVICE_HOST: '10.0.0.2',
    ENTREPOT_ADMIN_PORT: 'tcp://10.0.0.2:5001',
  };
  expect(load(environment)).toEqual(load());
  expect(pathsOf(problemsIn(() => load({ ENTREPOT_PORT: '6000' })))).toEqual(['ENTREPOT_PORT']);
});

test('certificate checks cannot be switched off for all upstreams at once', () => {
  const [problem, ...others] = problemsIn(() => load({ NODE_TLS_REJECT_UNAUTHORIZED: '0' }));
  expect(others).toEqual([]);
  expect(problem?.message).toContain('tls.insecure');
});

async function defaults(text: string): Promise<readonly string[]> {
  return (await loadText(text)).upstreams.filter((upstream) => upstream.default).map(({ name }) => name);
}

test('docker.io is the default upstream unless another one is or it is told not to be', async () => {
  expect(await defaults('upstreams: { docker.io: , quay.io: }')).toEqual(['docker.io']);
  expect(await defaults('upstreams: { docker.io: , quay.io: { default: true } }')).toEqual(['quay.io']);
  expect(await defaults('upstreams: { docker.io: { default: false }, quay.io: }')).toEqual([]);
  expect(await defaults('upstreams: { quay.io: }')).toEqual([]);
});

test('a name that cannot be a path segment gets no prefix of itself', async () => {
  const config = await loadText(
    'upstreams: { "registry.internal:5000": , Registry.Internal: , v2: , ok.internal: }',
  );
  expect(config.upstreams.map(({ prefixes }) => prefixes)).toEqual([[], [], [], ['ok.internal']]);
  expect(config.upstreams[0]?.url).toBe('https://registry.internal:5000');
});

test('a url loses the slash at its end and keeps its path', async () => {
  const config = await loadText('upstreams: { x: { url: "http://X.internal:80/a/b/" } }');
  expect(config.upstreams[0]?.url).toBe('http://x.internal/a/b');
});

test.each([
  ['{ token: t }', { token: 't' }],
  ['{ identityToken: t }', { identityToken: 't' }],
  ['{ dockerConfig: /a/config.json }', { dockerConfig: '/a/config.json' }],
  ['{ helper: pass }', { helper: 'pass' }],
  ['{ ecr: {} }', { ecr: {} }],
  ['{ ecr: { public: true, region: r } }', { ecr: { public: true, region: 'r' } }],
  ['{ google: { keyFile: /a } }', { google: { keyFile: '/a' } }],
  ['{ azure: { clientId: c } }', { azure: { clientId: 'c' } }],
  [
    '{ azure: { tenantId: t, clientId: c, clientSecret: s } }',
    { azure: { tenantId: 't', clientId: 'c', clientSecret: 's' } },
  ],
])('auth: %s is a kind of credentials', async (text, expected) => {
  const config = await loadText(`upstreams: { x: { auth: ${text} } }`);
  expect(config.upstreams[0]?.auth).toEqual(expected);
});

test('what the README says to write for credentials is a configuration', async () => {
  const section = /\n## Credentials\n([\s\S]*?)\n## /.exec(
    await readFile(join(ROOT, 'README.md'), 'utf8'),
  )?.[1];
  const written = Array.from(section?.matchAll(/`(auth: \{[^`]*\})`/g) ?? [], ([, text = '']) => text);
  expect(written.length).toBeGreaterThan(8);
  for (const text of written) {
    const filled = text.replaceAll(/\b(password|token|identityToken)File: [^ ]+/g, '$1: secret');
    expect(await problemsOf(`upstreams: { x: { ${filled} } }`), text).toEqual([]);
  }
});

test.each([
  ['x: { prefixes: [a] }, y: { prefixes: [a] }', 'upstreams.y.prefixes', 'already names the upstream x'],
  [
    'docker.io: , y: { prefixes: [index.docker.io] }',
    'upstreams.y.prefixes',
    'already names the upstream docker.io',
  ],
  ['x: { hosts: [A.b] }, y: { hosts: [a.B] }', 'upstreams.y.hosts', 'already names the upstream x'],
  ['x: { prefixes: [v2] }', 'upstreams.x.prefixes.0', 'not v2'],
  ['x: { prefixes: [a/b] }', 'upstreams.x.prefixes.0', 'one segment'],
  ['x: { hosts: ["a:0"] }', 'upstreams.x.hosts.0', 'host:port'],
  ['x: { trustedHosts: ["http://a"] }', 'upstreams.x.trustedHosts.0', 'host:port'],
  ['index.docker.io: ', 'upstreams.index.docker.io', 'configured as docker.io'],
  ['"a/b": ', 'upstreams.a/b', 'host:port'],
  ['"a:b:c": ', 'upstreams.a:b:c', 'host:port'],
  ['"[x": ', 'upstreams.[x', 'host:port'],
  ['"[::1": ', 'upstreams.[::1', 'host:port'],
  ['"[:::1]": ', 'upstreams.[:::1]', 'host:port'],
  ['"x:99999": ', 'upstreams.x:99999', 'host:port'],
  ['"[::1]:70000": ', 'upstreams.[::1]:70000', 'host:port'],
  ["'a\"b]': ", 'upstreams.a"b]', 'host:port'],
  ['x: { url: "https://x?a=b" }', 'upstreams.x.url', 'without credentials'],
  ['x: { url: "https://x#a" }', 'upstreams.x.url', 'without credentials'],
  ['x: { url: http://x, tls: { insecure: true } }', 'upstreams.x.tls', 'https:// only'],
  ['x: { tls: { cert: missing.pem } }', 'upstreams.x.tls.cert', 'there is no such file'],
  ['x: { auth: { password: p } }', 'upstreams.x.auth.username', 'is missing'],
  ['x: { auth: { username: p } }', 'upstreams.x.auth.password', 'is missing'],
  ['x: { auth: { username: "a:b", password: c } }', 'upstreams.x.auth.username', 'colon'],
  ['x: { auth: { username: a, password: 12345 } }', 'upstreams.x.auth.password', 'goes in quotes'],
  [
    'x: { auth: { username: a, password: b, passwordFile: c } }',
    'upstreams.x.auth.passwordFile',
    'only one of',
  ],
  [
    'x: { auth: { username: a, password: "b\\nc" } }',
    'upstreams.x.auth.password',
    'must not hold line breaks, unless it is a whole JSON key',
  ],
  ['x: { auth: {} }', 'upstreams.x.auth', 'accepted is exactly one of username and password, token,'],
  [
    'x: { auth: { token: a, helper: b } }',
    'upstreams.x.auth',
    'has token, and helper; accepted is exactly one',
  ],
  ['x: { auth: { username: a, password: b, ecr: {} } }', 'upstreams.x.auth', 'exactly one of'],
  ['x: { auth: { tokn: a } }', 'upstreams.x.auth.tokn', 'did you mean token?'],
  ['x: { auth: { ecr: { regoin: a } } }', 'upstreams.x.auth.ecr.regoin', 'did you mean region?'],
  ['x: { auth: { token: "a b" } }', 'upstreams.x.auth.token', 'printable ASCII'],
  [
    'x: { auth: { token: a, tokenFile: b } }',
    'upstreams.x.auth.tokenFile',
    'only one of token and tokenFile',
  ],
  ['x: { auth: { helper: ../sh } }', 'upstreams.x.auth.helper', 'docker-credential-NAME'],
  ['x: { auth: { azure: { tenantId: t } } }', 'upstreams.x.auth.azure.tenantId', 'managed identity'],
  ['x: { auth: { azure: { clientSecret: s } } }', 'upstreams.x.auth.azure.tenantId', 'clientSecret needs it'],
  [
    'x: { auth: { azure: { tenantId: t, clientId: c, clientSecret: s, federatedTokenFile: f } } }',
    'upstreams.x.auth.azure.federatedTokenFile',
    'only one of it and clientSecret',
  ],
  ['x: { tagTtl: 4000d }', 'upstreams.x.tagTtl', '3650d at most'],
])('upstreams: { %s } is refused at %s', async (upstreams, path, message) => {
  const problems = await problemsOf(`upstreams: { ${upstreams} }`);
  expect(problems.map((problem) => problem.path)).toContain(path);
  expect(problems.find((problem) => problem.path === path)?.message).toContain(message);
});

test('files of credentials are not looked at: what is wrong with one is the trouble of its upstream alone', async () => {
  const config = await loadText(`
upstreams:
  a: { auth: { usernameFile: nowhere, passwordFile: /dev/zero } }
  b: { mirrors: [{ url: https://m, auth: { tokenFile: /nowhere } }] }
  c: { repositories: { team/**: { auth: { identityTokenFile: /nowhere } } } }
`);
  const [a, b, c] = config.upstreams;
  expect(a?.auth).toEqual({
    username: { file: expect.stringMatching(/^\/.*\/nowhere$/) as unknown },
    password: { file: '/dev/zero' },
  });
  expect(b?.mirrors?.[0]?.auth).toEqual({ token: { file: '/nowhere' } });
  expect(c?.repositories?.[0]?.auth).toEqual({ identityToken: { file: '/nowhere' } });
});

test('a client certificate needs its key, and both must be usable', async () => {
  const dir = await tempDir();
  const { cert } = makeCertificate(dir);
  const lone = await problemsOf(`upstreams: { x: { tls: { cert: "${cert}" } } }`);
  expect(lone).toEqual([{ path: 'upstreams.x.tls.key', message: 'is missing: cert needs it' }]);
  const wrong = await problemsOf(`upstreams: { x: { tls: { cert: "${cert}", key: "${cert}" } } }`);
  expect(pathsOf(wrong)).toEqual(['upstreams.x.tls']);
  const text = await readFile(cert, 'utf8');
  const inline = await problemsOf(`upstreams: { x: { tls: { ca: ${JSON.stringify(text)} } } }`);
  expect(inline).toEqual([
    { path: 'upstreams.x.tls.ca', message: expect.stringContaining('path of a file') },
  ]);
});

test.each([
  [{ ENTREPOT_ADMIN_LISTEN: '0.0.0.0:5001' }, ['admin.token']],
  [{ ENTREPOT_ADMIN_LISTEN: 'admin.internal:5001' }, ['admin.token']],
  [{ ENTREPOT_ADMIN_LISTEN: '[::]:5001' }, ['admin.token']],
  [
    { ENTREPOT_ADMIN_LISTEN: '0.0.0.0:5001', ENTREPOT_ADMIN_TOKEN: 'not printable' },
    ['ENTREPOT_ADMIN_TOKEN'],
  ],
  [{ ENTREPOT_ADMIN_LISTEN: '127.9.9.9:5001' }, []],
  [{ ENTREPOT_ADMIN_LISTEN: 'localhost:5001' }, []],
  [{ ENTREPOT_ADMIN_LISTEN: '127.0.0.1:5000' }, ['ENTREPOT_ADMIN_LISTEN']],
  [{ ENTREPOT_LISTEN: '0.0.0.0:5001' }, ['admin.listen']],
  [{ ENTREPOT_LISTEN: '127.0.0.1:0', ENTREPOT_ADMIN_LISTEN: '127.0.0.1:0' }, []],
  [{ ENTREPOT_PUBLIC_URL: 'https://cache.example.com/path' }, ['ENTREPOT_PUBLIC_URL']],
])('of the listeners %j the problems are %j', (environment: Environment, paths) => {
  expect(pathsOf(problemsIn(() => load(environment)))).toEqual(paths);
});

test.each<[string, string, RegExp]>([
  ['listen: []', 'listen', /or a list of them$/],
  ['listen: [5000]', 'listen.0', /^accepted is host:port, or a mapping/],
  [
    'listen: [{ adress: "127.0.0.1:1", address: "127.0.0.1:1" }]',
    'listen.0.adress',
    /did you mean address\?$/,
  ],
  ['listen: [{ address: nowhere }]', 'listen.0.address', /^accepted is host:port/],
  ['listen: [{ address: "127.0.0.1:1", tls: true }]', 'listen.0.tls', /^needs the top-level tls/],
  ['listen: ["127.0.0.1:1", "0.0.0.0:1"]', 'listen.1', /^is the same address as another listener$/],
  ['listen: ["127.0.0.1:1", "127.0.0.1:5001"]', 'admin.listen', /^is the same address as listen/],
  ['admin: { tls: true }', 'admin.tls', /^needs the top-level tls/],
  ['tls: { cert: a }', 'tls.key', /^is missing; /],
  ['connectionsPerClient: 0', 'connectionsPerClient', /^accepted is a number from 1 to 10000$/],
])('a listener that cannot be is told: %s', async (text, path, message) => {
  const problems = await problemsOf(text);
  expect(problems.map((problem) => problem.path)).toEqual([path]);
  expect(problems[0]?.message).toMatch(message);
});

test('the files of a listener’s TLS are read before anything starts', async () => {
  const dir = await tempDir();
  const { cert } = makeCertificate(dir);
  const other = join(dir, 'other');
  await mkdir(other);
  const { key } = makeCertificate(other);
  await writeFile(join(dir, 'garbage'), 'garbage');
  expect(await problemsOf('tls: { cert: /nowhere/cert, key: "-----BEGIN PRIVATE KEY-----canary" }')).toEqual([
    { path: 'tls.cert', value: '"/nowhere/cert"', message: 'cannot be read: there is no such file' },
    {
      path: 'tls.key',
      value: '***',
      message: 'cannot be read: it is PEM text; accepted is the path of a file that holds it',
    },
  ]);
  const [unfit] = await problemsOf(`tls: { cert: ${cert}, key: ${key} }`);
  expect(unfit?.path).toBe('tls');
  expect(unfit?.message).toMatch(/^the key does not belong to the certificate .*cert\.pem, .*key\.pem$/);
  const [old] = await problemsOf(`tls: { cert: ${cert}, key: ${key}, minVersion: TLSv1.1 }`);
  expect(old).toMatchObject({ path: 'tls.minVersion', message: 'accepted is TLSv1.2 or TLSv1.3' });
  const [unusable] = await problemsOf(`tls: { cert: ${join(dir, 'garbage')}, key: ${key} }`);
  expect(unusable?.message).toMatch(/^the files do not make a usable certificate and key/);
});

test('listeners have the top-level TLS unless they say otherwise', async () => {
  const dir = await tempDir();
  const { cert, key } = makeCertificate(dir);
  const tls = { certFile: cert, keyFile: key, minVersion: 'TLSv1.2' };
  const own = { ...tls, minVersion: 'TLSv1.3' };
  const config = await loadText(`
tls: { cert: ${cert}, key: ${key} }
admin: { tls: true }
listen:
  - 127.0.0.1:1
  - { address: 127.0.0.1:2 }
  - { address: '[::1]:3', tls: false }
  - { address: 127.0.0.1:4, tls: { cert: ${cert}, key: ${key}, minVersion: TLSv1.3 } }
`);
  expect(config.listeners).toEqual([
    { host: '127.0.0.1', port: 1, tls },
    { host: '127.0.0.1', port: 2, tls },
    { host: '::1', port: 3 },
    { host: '127.0.0.1', port: 4, tls: own },
  ]);
  expect(config.admin.listen).toEqual({ host: '127.0.0.1', port: 5001, tls });
});

async function proxiesOf(
  text: string,
  environment: Environment = {},
): Promise<ReadonlyMap<string, ProxyConfig | undefined>> {
  return new Map((await loadText(text, environment)).upstreams.map(({ name, proxy }) => [name, proxy]));
}

const CORP: ProxyServer = { protocol: 'http:', host: 'corp', port: 3128, keyPath: 'proxy' };

test('a proxy is the upstream’s, else the top-level one, else the environment’s', async () => {
  const environment = {
    HTTPS_PROXY: 'http://u:p%40ss@env:8080',
    NO_PROXY: 'a.example, .b.example 10.0.0.0/8,bad glob?',
  };
  const fromEnvironment: ProxyConfig = {
    http: undefined,
    https: {
      protocol: 'http:',
      host: 'env',
      port: 8080,
      username: 'u',
      password: 'p@ss',
      keyPath: 'HTTPS_PROXY',
    },
    noProxy: ['a.example', '.b.example', '10.0.0.0/8', 'bad'],
    sparesLoopback: true,
  };
  const upstreams = 'upstreams: { a: {}, b: { proxy: none }, c: { proxy: "socks5h://[::1]" } }';
  const own: ProxyServer = {
    protocol: 'socks5h:',
    host: '::1',
    port: 1080,
    keyPath: 'upstreams.c.proxy',
  };
  const c: ProxyConfig = { http: own, https: own, noProxy: [], sparesLoopback: false };
  expect(await proxiesOf(upstreams, environment)).toEqual(
    new Map([
      ['a', fromEnvironment],
      ['b', undefined],
      ['c', c],
    ]),
  );
  const corp: ProxyConfig = { http: CORP, https: CORP, noProxy: ['x.example:5000'], sparesLoopback: false };
  const top = `proxy: { url: 'http://corp:3128', noProxy: [X.example:5000] }`;
  expect(await proxiesOf(`${top}\n${upstreams}`, environment)).toEqual(
    new Map([
      ['a', corp],
      ['b', undefined],
      ['c', c],
    ]),
  );
  expect(await proxiesOf(`proxy: none\n${upstreams}`, environment)).toEqual(
    new Map([
      ['a', undefined],
      ['b', undefined],
      ['c', c],
    ]),
  );
});

test.each<[Environment, string | undefined, string | undefined]>([
  [{}, undefined, undefined],
  [{ http_proxy: 'lower:1', HTTP_PROXY: 'http://upper:2' }, 'lower:1', undefined],
  [{ http_proxy: '', HTTP_PROXY: 'http://upper:2' }, 'upper:2', undefined],
  [{ ALL_PROXY: 'socks5://all', HTTPS_PROXY: 'https://secure' }, 'all:1080', 'secure:443'],
  [{ all_proxy: 'http://all' }, 'all:80', 'all:80'],
])('of the environment %j the proxies are %s and %s', async (environment, http, https) => {
  const proxy = (await proxiesOf('upstreams: { a: {} }', environment)).get('a');
  const shown = [proxy?.http, proxy?.https].map((server) => server && `${server.host}:${server.port}`);
  expect(shown).toEqual([http, https]);
});

test.each<[string, string, RegExp]>([
  ['proxy: "ftp://x:1"', 'proxy', /^accepted is http:/],
  ['proxy: "http://x:1/path"', 'proxy', /^accepted is http:/],
  ['proxy: { url: "socks4://x" }', 'proxy.url', /^accepted is http:/],
  ['proxy: { noProxy: [] }', 'proxy.url', /^is missing/],
  ['proxy: { url: "http://x", noProxy: ["a b"] }', 'proxy.noProxy.0', /^accepted is host, \.domain/],
  ['proxy: { url: "http://x", noProxy: [10.0.0.0/99] }', 'proxy.noProxy.0', /^accepted is host, \.domain/],
  ['proxy: { url: "http://x", noProxy: ["fd00::/129"] }', 'proxy.noProxy.0', /a CIDR/],
  [
    'proxy: { url: "http://x", passwordFile: /nowhere/secret, username: u }',
    'proxy.passwordFile',
    /no such file$/,
  ],
  ['proxy: { url: "http://x", password: p }', 'proxy.username', /^is missing/],
  ['proxy: { url: "http://x", ca: /nowhere/ca }', 'proxy.ca', /no such file$/],
  [
    'upstreams: { a: { proxy: { url: "http://x", usrname: u } } }',
    'upstreams.a.proxy.usrname',
    /did you mean username\?$/,
  ],
])('a proxy that cannot be is told: %s', async (text, path, message) => {
  const [problem] = await problemsOf(text);
  expect(problem?.path).toBe(path);
  expect(problem?.message).toMatch(message);
});

test('a variable that names no proxy is told, and not quoted', () => {
  const problems = problemsIn(() => load({ HTTPS_PROXY: `ftp://${CANARY}` }));
  expect(problems).toEqual([
    { path: 'HTTPS_PROXY', message: expect.stringMatching(/^accepted is http:/) as unknown },
  ]);
});

test('no problem ever shows a secret', async () => {
  const problems = await problemsOf(
    `
admin: { token: "${CANARY} spaced", tokne: ${CANARY} }
upstreams:
  a: { auth: ${CANARY} }
  b: { auth: { username: u, password: [${CANARY}] } }
  c: { auth: { username: u, pasword: ${CANARY}, password: "${CANARY}\\n" } }
  d: { url: "https://user:${CANARY}@host" }
  e: { url: "https://host?token=${CANARY}" }
  f: { hosts: ["user:${CANARY}@host"] }
  g: { proxy: "http://user:${CANARY}/x@proxy:3128" }
  h: { proxy: { url: "http://user:${CANARY}@proxy:3128/path", pasword: ${CANARY} } }
  i: { proxy: { url: "http://proxy", password: "${CANARY}" } }
proxy: "ftp://${CANARY}@proxy"
`,
    { ENTREPOT_ADMIN_TOKEN: `${CANARY} with spaces`, ENTREPOT_PUBLIC_URL: `https://u:${CANARY}@x` },
  );
  expect(problems.length).toBeGreaterThanOrEqual(9);
  expect(JSON.stringify(problems)).not.toContain(CANARY);
});

test.each([
  ['250ms', 250],
  ['10s', 10_000],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['30d', 2_592_000_000],
  ['0s', 0],
  ['', undefined],
  ['5', undefined],
  ['-1s', undefined],
  ['1.5h', undefined],
  ['1h30m', undefined],
  ['999999999999d', undefined],
])('the duration %j is %j ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ['1024', 1024],
  ['1KiB', 1024],
  ['1.5GiB', 1.5 * 2 ** 30],
  ['2TiB', 2 ** 41],
  ['10GB', undefined],
  ['1 GiB', undefined],
  ['9999999999999999TiB', undefined],
])('the size %j is %j bytes', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test('listen addresses and hosts are read as they are printed', () => {
  const ports = integer({ min: 1, max: 65_535 });
  assert(
    property(domain(), ports, (host, port) => {
      expect(parseListen(`${host}:${port}`)).toEqual({ host: host.toLowerCase(), port });
      expect(parseHost(`${host}:${port}`)).toBe(`${host}:${port}`.toLowerCase());
      expect(parseHost(`${host}:${port + 65_536}`)).toBeUndefined();
    }),
  );
  expect(parseListen('[2001:db8::1]:443')).toEqual({ host: '2001:db8::1', port: 443 });
  for (const text of ['5000', ':5000', '::1:5000', 'a:b', 'a:99999', 'http://a:1', 'a b:1'])
    expect(parseListen(text)).toBeUndefined();
});

test('no text whatever makes loading fail with anything but a ConfigError', async () => {
  const dir = await tempDir();
  const file = join(dir, 'entrepot.yaml');
  await assert(
    asyncProperty(oneof(string(), json()), async (text) => {
      await writeFile(file, text);
      problemsIn(() => load({}, file, dir));
    }),
    { numRuns: 200 },
  );
});

/** Every property name of a JSON Schema. */
function schemaKeys(node: unknown): readonly string[] {
  if (typeof node !== 'object' || node === null) return [];
  const { properties, additionalProperties, items, anyOf } = node as Record<string, object | undefined>;
  const within = [
    ...Object.values(properties ?? {}),
    ...Object.values(anyOf ?? {}),
    additionalProperties,
    items,
  ];
  return [...Object.keys(properties ?? {}), ...within.flatMap((child) => schemaKeys(child))];
}

/** A self-signed certificate with its key, in `dir`. */
function makeCertificate(dir: string): { readonly cert: string; readonly key: string } {
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', ...kind, '-subj', '/CN=registry.internal', '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  return { cert, key };
}
