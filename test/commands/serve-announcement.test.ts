import { expect, test } from 'vitest';
import { announcement } from '../../src/commands/serve-announcement.ts';
import { loadConfig } from '../../src/config.ts';
import { workerCount } from '../../src/fronts/worker-count.ts';

const ADMIN = { host: '127.0.0.1', port: 5001 };

function announced(environment: Record<string, string>, host = '127.0.0.1') {
  const config = loadConfig({ environment, workingDir: '/srv' });
  const addresses = { registry: [{ host, port: 5000 }], admin: ADMIN };
  return announcement(config, addresses, { version: '1.0.0', hostname: 'cache-host' });
}

test('it says where everything is and what is served', () => {
  expect(announced({ ENTREPOT_OFFLINE: 'true' }).lines.slice(0, 5)).toEqual([
    'entrepot 1.0.0',
    '  registry   http://127.0.0.1:5000',
    '  admin      http://127.0.0.1:5001',
    expect.stringMatching(
      /^ {2}upstreams {2}docker\.io \(default\), quay\.io, .* \(offline: none is asked\)$/,
    ),
    '  data       /srv/data, 50 GiB at most',
  ]);
});

test.each([
  [{}, '127.0.0.1', { 'registry-mirrors': ['http://127.0.0.1:5000'] }],
  [{}, '::1', { 'registry-mirrors': ['http://[::1]:5000'] }],
  [
    {},
    '0.0.0.0',
    { 'registry-mirrors': ['http://cache-host:5000'], 'insecure-registries': ['cache-host:5000'] },
  ],
  [
    { ENTREPOT_PUBLIC_URL: 'https://cache.example.com' },
    '0.0.0.0',
    { 'registry-mirrors': ['https://cache.example.com'] },
  ],
])('with %j on %s a Docker daemon needs %j', (environment, host, daemon) => {
  expect(JSON.parse(String(announced(environment, host).facts['dockerDaemonJson']))).toEqual(daemon);
});

test.each([
  ['80%', '80% of its disk'],
  ['1536MiB', '1.5 GiB'],
  ['1000', '1000 bytes'],
])('a limit of %s is printed as %s', (maxSize, printed) => {
  expect(announced({ ENTREPOT_CACHE_MAX_SIZE: maxSize }).facts['limit']).toBe(printed);
});

test.each([
  [1, undefined],
  [3, '3'],
  ['auto', expect.stringMatching(/^\d+ \(auto\)$/) as string],
] as const)('with workers: %s it says how many there are', (workers, said) => {
  const config = { ...loadConfig({ environment: {}, workingDir: '/srv' }), workers };
  const addresses = { registry: [{ host: '127.0.0.1', port: 5000 }], admin: ADMIN };
  const { lines, facts } = announcement(config, addresses, { version: '1.0.0', hostname: 'cache-host' });
  const line = lines.find((text) => text.startsWith('  workers'));
  expect(line?.slice('  workers    '.length)).toEqual(said);
  expect(facts['workers']).toBe(workerCount(workers));
});

test('it says which upstreams are not asked where some are', () => {
  const config = loadConfig({ environment: {}, workingDir: '/srv' });
  const [hub, quay, github] = config.upstreams;
  if (hub === undefined || quay === undefined || github === undefined) throw new Error('too few upstreams');
  const upstreams = [{ ...hub, offline: true }, quay, { ...github, offline: true }];
  const addresses = { registry: [{ host: '127.0.0.1', port: 5000 }], admin: ADMIN };
  const said = announcement({ ...config, upstreams }, addresses, {
    version: '1.0.0',
    hostname: 'cache-host',
  });
  expect(said.lines[3]).toBe('  upstreams  docker.io (default, offline), quay.io, ghcr.io (offline)');
  expect(said.facts['offline']).toEqual(['docker.io', 'ghcr.io']);
});
