import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, asyncProperty, json, oneof, string } from 'fast-check';
import { format } from 'prettier';
import { expect, test } from 'vitest';
import { profileFor } from '../src/config-profile.ts';
import { GENERIC } from '../src/config-profiles.ts';
import { jsonSchema } from '../src/config-schema.ts';
import { parseRepositoryPattern } from '../src/oci/repository-pattern.ts';
import {
  CANARY,
  load,
  loadText,
  makeCertificate,
  pathsOf,
  problemsIn,
  problemsOf,
  ROOT,
} from './support/loaded-config.ts';
import { tempDir } from './support/temp-dir.ts';

test('without a file and a variable the built-in defaults hold', () => {
  const config = load();
  expect({ ...config, upstreams: undefined }).toEqual({
    listeners: [{ host: '127.0.0.1', port: 5000 }],
    connectionsPerClient: 512,
    workers: 1,
    admin: { listen: { host: '127.0.0.1', port: 5001 } },
    dataDir: join(ROOT, 'data'),
    cache: {
      maxSize: { bytes: 50 * 2 ** 30 },
      finishFillBytes: 64 * 2 ** 20,
      fillLingerMs: 10_000,
      verifyOnRead: false,
      scrub: { everyMs: 30 * 86_400_000, bytesPerSecond: 20 * 2 ** 20 },
      minFreeSpace: { share: 0.01 },
      pins: [],
    },
    offline: false,
    shutdownGraceMs: 30_000,
    usage: { keepMs: 400 * 86_400_000 },
    log: { level: 'info', access: 'all' },
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
  const config = load(
    { ADMIN_TOKEN: 'top-secret', DOCKERHUB_TOKEN: 'dckr', OTLP_TOKEN: 'otlp' },
    'entrepot.yaml',
    dir,
  );
  expect(config.publicUrl).toBe('https://cache.example.com');
  expect(config.admin.token).toBe('top-secret');
  expect(config.tracing).toEqual({
    endpoint: 'http://collector:4318',
    headers: { Authorization: 'Bearer otlp' },
    sampleRatio: 0.1,
  });
  expect(config.upstreams[0]?.auth).toEqual({ username: 'me', password: 'dckr' });
  expect(config.upstreams.at(-1)).toEqual({
    name: 'internal',
    offline: false,
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
    limits: {
      connections: 96,
      requestsPerSecond: 50,
      pullsPerSecond: 10,
      pullReserve: { share: 0.1 },
      segments: 6,
      bandwidth: { bytesPerSecond: 50 * 1024 * 1024, hours: [] },
    },
    maxSize: { share: 0.25 },
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

test('limits of the store are sizes or shares, and an age', async () => {
  const text = `
    cache: { maxSize: 80%, minFreeSpace: 10GiB, maxBlobSize: 1GiB, maxAge: 90d }
    upstreams: { quay.io: { maxSize: 25% }, ghcr.io: { maxSize: 1GiB }, gcr.io: {} }`;
  const { cache, upstreams } = await loadText(text);
  expect(cache).toMatchObject({
    maxSize: { share: 0.8 },
    minFreeSpace: { bytes: 10 * 1024 ** 3 },
    maxBlobBytes: 1024 ** 3,
    maxAgeMs: 90 * 24 * 3_600_000,
  });
  expect(upstreams.map(({ maxSize }) => maxSize)).toEqual([{ share: 0.25 }, { bytes: 1024 ** 3 }, undefined]);
});

test.each([
  [
    'cache: { minFreeSpace: much }',
    'cache.minFreeSpace',
    /^accepted is a number of bytes.*a share of the disk/,
  ],
  ['cache: { maxAge: 59m }', 'cache.maxAge', /^accepted is a duration from 1h/],
  ['cache: { maxBlobSize: 5% }', 'cache.maxBlobSize', /^accepted is a number of bytes/],
  ['upstreams: { quay.io: { maxSize: 0 } }', 'upstreams.quay.io.maxSize', /more than 0$/],
])('a limit of the store that is none is told: %s', async (text, path, message) => {
  expect(await problemsOf(text)).toEqual([
    expect.objectContaining({ path, message: expect.stringMatching(message) }),
  ]);
});

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
