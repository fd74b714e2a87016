import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { assert, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { substitute } from '../src/config-text.ts';
import { load, loadText, pathsOf, problemsIn, problemsOf, ROOT } from './support/loaded-config.ts';
import { tempDir } from './support/temp-dir.ts';

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

test('ENTREPOT_CONFIG names the file where no option does', async () => {
  const dir = await tempDir();
  const [one, other] = [join(dir, 'one.yaml'), join(dir, 'other.yaml')];
  await writeFile(one, 'listen: 127.0.0.1:1\n');
  await writeFile(other, 'listen: 127.0.0.1:2\n');
  const environment = { ENTREPOT_CONFIG: 'one.yaml' };
  const port = (file?: string) => load(environment, file, dir).listeners[0]?.port;
  expect([port(), port(other)]).toEqual([1, 2]);
  expect(load({ ENTREPOT_CONFIG: '' }, undefined, dir).listeners[0]?.port).toBe(5000);
  expect(() => load({ ENTREPOT_CONFIG: 'absent.yaml' }, undefined, dir)).toThrow(/absent\.yaml/);
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
