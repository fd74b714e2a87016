import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  type Environment,
  load,
  loadText,
  makeCertificate,
  pathsOf,
  problemsIn,
  problemsOf,
  ROOT,
} from './support/loaded-config.ts';
import { tempDir } from './support/temp-dir.ts';

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
