import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadText, makeCertificate, problemsOf } from './support/loaded-config.ts';
import { tempDir } from './support/temp-dir.ts';

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
