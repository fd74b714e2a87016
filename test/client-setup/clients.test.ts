import { parse as parseToml } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { CLIENTS } from '../../src/client-setup/clients.ts';
import { certificateAuthority } from '../upstream/certificates.ts';
import {
  cacheAt,
  cacheUrls,
  jsonOf,
  type Scheme,
  setupOf,
  textOf,
  tomlOf,
  upstream,
  upstreams,
  yamlOf,
} from './setup-under-test.ts';

const schemes: readonly Scheme[] = ['http', 'https'];
const hosts = { http: 'cache.example.com:5000', https: 'cache.example.com' } as const;
const ownHosts = { http: 'own.mirror.local:5000', https: 'own.mirror.local' } as const;
const authority = `${certificateAuthority}\n`;

describe.each(schemes)('over %s', (scheme) => {
  const cache = cacheAt(scheme);
  const url = cacheUrls[scheme];
  const host = hosts[scheme];
  const own = ownHosts[scheme];
  const isPlain = scheme === 'http';

  test('dockerd has the cache as its mirror of Docker Hub, and references for the others', () => {
    const made = setupOf('dockerd', cache);
    expect(jsonOf(made, '/etc/docker/daemon.json')).toEqual({
      'registry-mirrors': [url],
      ...(isPlain && { 'insecure-registries': [host, own] }),
    });
    expect(made.steps).toEqual(
      expect.arrayContaining([
        'docker pull alpine',
        `docker pull ${host}/quay.io/prometheus/busybox:latest`,
        `docker pull ${host}/internal/repository:tag`,
        `docker pull ${own}/repository:tag`,
      ]),
    );
    expect(made.limits.join('\n')).toMatch(/registry-mirrors for Docker Hub only/);
    expect(made.limits.join('\n')).toMatch(/registry\.internal:5000 has no prefix/);
    // Docker Engine 28 with the containerd store: any registry.
    for (const name of ['quay.io', 'registry.internal:5000', 'own.example.com'])
      expect(tomlOf(made, `/etc/docker/certs.d/${name}/hosts.toml`)).toMatchObject({ host: { [url]: {} } });
    const certificates = made.files.filter(({ path }) => path.endsWith('/ca.crt'));
    expect(certificates.map(({ path, content }) => [path, content])).toEqual(
      isPlain ? [] : [host, own].map((name) => [`/etc/docker/certs.d/${name}/ca.crt`, authority]),
    );
  });

  test.each([
    ['containerd', '/etc/containerd/certs.d', '/etc/containerd/certs.d'],
    ['containerd-1', '/etc/containerd/certs.d', '/etc/containerd/certs.d'],
    ['nerdctl', '/etc/containerd/certs.d', '/etc/containerd/certs.d'],
    ['kind', 'entrepot-certs.d', '/etc/containerd/certs.d'],
    ['minikube', '~/.minikube/files/etc/containerd/certs.d', '/etc/containerd/certs.d'],
    ['microk8s', '/var/snap/microk8s/current/args/certs.d', '/var/snap/microk8s/current/args/certs.d'],
  ])('%s has a hosts.toml for every registry, which says whose it is by ns', (client, place, seenAs) => {
    const made = setupOf(client, cache);
    const mirror = {
      [url]: { capabilities: ['pull', 'resolve'], ...(!isPlain && { ca: `${seenAs}/${host}/ca.crt` }) },
    };
    const found = made.files.filter(({ path }) => path.endsWith('/hosts.toml')).map(({ path }) => path);
    const names = ['docker.io', 'quay.io', 'registry.internal:5000', 'own.example.com'];
    expect(found).toEqual([...names, host].map((name) => `${place}/${name}/hosts.toml`));
    const servers = ['https://registry-1.docker.io', ...names.slice(1).map((name) => `https://${name}`)];
    for (const [at, name] of names.entries())
      expect(tomlOf(made, `${place}/${name}/hosts.toml`)).toEqual({ server: servers[at], host: mirror });
    // By the cache's own name too.
    expect(tomlOf(made, `${place}/${host}/hosts.toml`)).toEqual({ server: url, host: mirror });
    if (!isPlain) expect(textOf(made, `${place}/${host}/ca.crt`)).toBe(authority);
    expect(made.limits.join('\n')).toContain(`name its images ${host}/internal/<repository>`);
  });

  test.each(['podman', 'crio', 'skopeo', 'buildah'])('%s has a mirror by prefix or by host', (client) => {
    const made = setupOf(client, cache);
    const mirrored = (name: string, location: string): object => ({
      prefix: name,
      location: name,
      mirror: [{ location, ...(isPlain && { insecure: true }) }],
    });
    expect(tomlOf(made, '/etc/containers/registries.conf.d/50-entrepot.conf')).toEqual({
      registry: [
        mirrored('docker.io', `${host}/docker.io`),
        mirrored('quay.io', `${host}/quay.io`),
        mirrored('own.example.com', own),
      ],
    });
    expect(made.limits.join('\n')).toMatch(/registry\.internal:5000 has no prefix/);
    expect(made.limits.join('\n')).toContain(`${host}/internal/<repository>`);
    const certificates = made.files.filter(({ path }) => path.endsWith('.crt')).map(({ path }) => path);
    expect(certificates).toEqual(
      isPlain ? [] : [host, own].map((name) => `/etc/containers/certs.d/${name}/ca.crt`),
    );
  });

  test('BuildKit has mirrors without a scheme, and trust under the name of the cache', () => {
    const made = setupOf('buildkit', cache);
    const trust = isPlain ? { http: true } : { ca: ['/etc/buildkit/entrepot-ca.crt'] };
    expect(tomlOf(made, '/etc/buildkit/buildkitd.toml')).toEqual({
      registry: {
        'docker.io': { mirrors: [`${host}/docker.io`] },
        'quay.io': { mirrors: [`${host}/quay.io`] },
        // It sends ns as well.
        'registry.internal:5000': { mirrors: [host] },
        'own.example.com': { mirrors: [own] },
        [host]: trust,
        [own]: trust,
      },
    });
    if (!isPlain) expect(textOf(made, '/etc/buildkit/entrepot-ca.crt')).toBe(authority);
  });

  test.each(['k3s', 'rke2'])('%s has endpoints with /v2 and the prefix in full', (client) => {
    const made = setupOf(client, cache);
    const tls = { tls: { ca_file: `/etc/rancher/${client}/entrepot-ca.crt` } };
    expect(yamlOf(made, `/etc/rancher/${client}/registries.yaml`)).toEqual([
      {
        mirrors: {
          'docker.io': { endpoint: [`${url}/v2/docker.io`] },
          'quay.io': { endpoint: [`${url}/v2/quay.io`] },
          'registry.internal:5000': { endpoint: [url] },
          'own.example.com': { endpoint: [`${scheme}://${own}`] },
        },
        ...(!isPlain && { configs: { [host]: tls, [own]: tls } }),
      },
    ]);
    expect(made.steps.join('\n')).toContain(client === 'k3s' ? 'restart k3s' : 'restart rke2-server');
  });

  test('Talos has a document for every registry, and the same for releases before 1.12', () => {
    const made = setupOf('talos', cache);
    const documents = yamlOf(made, 'talos-entrepot.yaml');
    const kind = (name: string) => documents.filter((document) => document['kind'] === name);
    expect(kind('RegistryMirrorConfig').map(({ name, endpoints }) => [name, endpoints])).toEqual([
      ['docker.io', [{ url: `${url}/v2/docker.io`, overridePath: true }]],
      ['quay.io', [{ url: `${url}/v2/quay.io`, overridePath: true }]],
      ['registry.internal:5000', [{ url }]],
      ['own.example.com', [{ url: `${scheme}://${own}` }]],
    ]);
    expect(kind('RegistryTLSConfig').map(({ name, ca }) => [name, ca])).toEqual(
      isPlain ? [] : [host, own].map((name) => [name, authority]),
    );
    expect(documents.every(({ apiVersion }) => apiVersion === 'v1alpha1')).toBe(true);
    const [older] = yamlOf(made, 'talos-1.11-entrepot.yaml');
    const encoded = Buffer.from(authority).toString('base64');
    expect(older).toEqual({
      machine: {
        registries: {
          mirrors: {
            'docker.io': { endpoints: [`${url}/v2/docker.io`], overridePath: true },
            'quay.io': { endpoints: [`${url}/v2/quay.io`], overridePath: true },
            'registry.internal:5000': { endpoints: [url] },
            'own.example.com': { endpoints: [`${scheme}://${own}`] },
          },
          ...(!isPlain && {
            config: { [host]: { tls: { ca: encoded } }, [own]: { tls: { ca: encoded } } },
          }),
        },
      },
    });
  });

  test('OpenShift has a set by digest and one by tag, and trust where it is kept', () => {
    const made = setupOf('openshift', cache);
    const mirrors = [
      ['docker.io', `${host}/docker.io`],
      ['quay.io', `${host}/quay.io`],
      ['own.example.com', own],
    ].map(([source, mirror]) => ({
      source,
      mirrors: [mirror],
      mirrorSourcePolicy: 'AllowContactingSource',
    }));
    const head = { apiVersion: 'config.openshift.io/v1', metadata: { name: 'entrepot' } };
    expect(yamlOf(made, 'openshift-entrepot.yaml')).toEqual([
      { ...head, kind: 'ImageDigestMirrorSet', spec: { imageDigestMirrors: mirrors } },
      { ...head, kind: 'ImageTagMirrorSet', spec: { imageTagMirrors: mirrors } },
    ]);
    const patches = made.steps.flatMap((step) => /--patch '(.*)'/.exec(step)?.[1] ?? []);
    expect(patches.map((patch): unknown => JSON.parse(patch))).toEqual([
      {
        spec: isPlain
          ? { registrySources: { insecureRegistries: [host, own] } }
          : { additionalTrustedCA: { name: 'entrepot-ca' } },
      },
    ]);
    if (isPlain) return;
    expect(yamlOf(made, 'openshift-entrepot-ca.yaml')[0]).toMatchObject({
      kind: 'ConfigMap',
      metadata: { name: 'entrepot-ca', namespace: 'openshift-config' },
      data: { [host]: authority, [own]: authority },
    });
  });

  test.each([
    ['helm', '--plain-http', '--ca-file entrepot-ca.crt'],
    ['oras', '--plain-http', '--ca-file entrepot-ca.crt'],
    ['crane', '--insecure', 'SSL_CERT_FILE=entrepot-ca.crt'],
    ['cosign', '--allow-http-registry', '--registry-cacert entrepot-ca.crt'],
  ])('%s gets references by the name of the cache', (client, plain, trusted) => {
    const made = setupOf(client, cache);
    const commands = made.steps.slice(1);
    expect(commands).toHaveLength(4);
    for (const [at, location] of [
      `${host}/docker.io/library/alpine`,
      `${host}/quay.io/prometheus/busybox`,
      `${host}/internal/repository`,
      `${own}/repository`,
    ].entries()) {
      expect(commands[at]).toContain(client === 'helm' ? `oci://${location} ` : ` ${location}:`);
      expect(commands[at]).toContain(isPlain ? plain : trusted);
    }
    expect(made.limits.join('\n')).toMatch(/no setting for mirrors/);
  });

  test('GitHub Actions has a workflow that sets up Docker and Buildx', () => {
    const made = setupOf('github-actions', cache);
    const [workflow] = yamlOf(made, '.github/workflows/entrepot.yaml') as readonly [
      { jobs: { build: { steps: readonly Record<string, unknown>[] } } },
    ];
    const { steps } = workflow.jobs.build;
    const script = String(steps.find((step) => 'run' in step)?.['run']);
    expect(JSON.parse(/jq '\. \+ (\{.*\})'/.exec(script)?.[1] ?? '')).toMatchObject({
      'registry-mirrors': [url],
    });
    const inline = steps.flatMap((step) => {
      const inputs = step['with'] as Record<string, string> | undefined;
      return inputs?.['buildkitd-config-inline'] ?? [];
    });
    expect(parseToml(inline[0] ?? '')).toMatchObject({
      registry: { 'quay.io': { mirrors: [`${host}/quay.io`] } },
    });
    expect(script.includes(certificateAuthority)).toBe(!isPlain);
  });

  test('GitLab CI has a dind service with the mirror, and Buildx with all', () => {
    const made = setupOf('gitlab-ci', cache);
    const [pipeline] = yamlOf(made, '.gitlab-ci.yml') as readonly [
      { build: { services: readonly { command: readonly string[] }[]; before_script: readonly string[] } },
    ];
    expect(pipeline.build.services[0]?.command).toEqual([
      `--registry-mirror=${url}`,
      ...(isPlain ? [`--insecure-registry=${host}`, `--insecure-registry=${own}`] : []),
    ]);
    const toml = /<<'END'\n(# Images[\s\S]*?)\nEND/.exec(pipeline.build.before_script.join('\n'))?.[1];
    expect(parseToml(toml ?? '')).toMatchObject({
      registry: { 'docker.io': { mirrors: [`${host}/docker.io`] } },
    });
  });
});

const moved = (name: string, url: string) => upstream(name, { url, prefixes: [name.replaceAll(':', '-')] });

test('a registry that is somewhere else than its name says is gone to there, but for loopback', () => {
  const of = [
    moved('plain.example:5000', 'http://plain.example:5000'),
    moved('moved.example', 'http://10.0.0.1:5000/path'),
    moved('127.0.0.1:5001', 'http://127.0.0.1:5001'),
    moved('local.example', 'http://127.0.0.1:5000'),
    moved('docker.io', 'https://hub.corp.example'),
  ];
  const made = setupOf('containerd', cacheAt('http'), { of });
  const server = (name: string): unknown =>
    tomlOf(made, `/etc/containerd/certs.d/${name}/hosts.toml`)['server'];
  expect(of.map(({ name }) => server(name))).toEqual([
    'http://plain.example:5000',
    'http://10.0.0.1:5000/path',
    'http://127.0.0.1:5001',
    'https://local.example',
    'https://hub.corp.example',
  ]);
  const file = '/etc/containers/registries.conf.d/50-entrepot.conf';
  const { registry } = tomlOf(setupOf('podman', cacheAt('http'), { of }), file) as {
    registry: readonly { prefix: string; location: string; insecure?: boolean }[];
  };
  expect(registry.map(({ prefix, location, insecure }) => [prefix, location, insecure])).toEqual([
    ['plain.example:5000', 'plain.example:5000', true],
    ['moved.example', '10.0.0.1:5000/path', true],
    ['127.0.0.1:5001', '127.0.0.1:5001', true],
    ['local.example', 'local.example', undefined],
    ['docker.io', 'hub.corp.example', undefined],
  ]);
});

test('BuildKit is told of https where it would take http for granted', () => {
  const local = { ...cacheAt('https'), isLoopback: true };
  expect(tomlOf(setupOf('buildkit', local), '/etc/buildkit/buildkitd.toml')).toMatchObject({
    registry: { 'cache.example.com': { http: false, ca: ['/etc/buildkit/entrepot-ca.crt'] } },
  });
});

test('kind mounts the files into its nodes, and finds them there', () => {
  const [config] = yamlOf(setupOf('kind', cacheAt('http')), 'kind-entrepot.yaml');
  expect(config).toMatchObject({
    kind: 'Cluster',
    apiVersion: 'kind.x-k8s.io/v1alpha4',
    nodes: [
      {
        role: 'control-plane',
        extraMounts: [{ hostPath: 'entrepot-certs.d', containerPath: '/etc/containerd/certs.d' }],
      },
    ],
  });
  const [patch] = (config as { containerdConfigPatches: readonly string[] }).containerdConfigPatches;
  expect(parseToml(patch ?? '')).toEqual({
    plugins: { 'io.containerd.grpc.v1.cri': { registry: { config_path: '/etc/containerd/certs.d' } } },
  });
});

test.each([
  ['containerd', 3, 'io.containerd.cri.v1.images'],
  ['containerd-1', 2, 'io.containerd.grpc.v1.cri'],
])('%s is told in config.toml of its version where the files are', (client, version, plugin) => {
  const made = setupOf(client, cacheAt('http'));
  expect(tomlOf(made, '/etc/containerd/config.toml')).toEqual({
    version,
    plugins: { [plugin]: { registry: { config_path: '/etc/containerd/certs.d' } } },
  });
  expect(made.files.find(({ path }) => path.endsWith('config.toml'))?.merge).toBe(true);
});

describe('one entry for every registry', () => {
  test('is the _default directory of containerd, without a server', () => {
    const made = setupOf('containerd', cacheAt('http'), { catchAll: true });
    expect(tomlOf(made, '/etc/containerd/certs.d/_default/hosts.toml')).toEqual({
      host: { [cacheUrls.http]: { capabilities: ['pull', 'resolve'] } },
    });
    expect(made.files.map(({ path }) => path).filter((path) => /docker\.io|quay/.test(path))).toEqual([]);
  });

  test('is "*" of k3s and of Talos', () => {
    const [k3s] = yamlOf(
      setupOf('k3s', cacheAt('http'), { catchAll: true }),
      '/etc/rancher/k3s/registries.yaml',
    );
    expect(k3s).toEqual({ mirrors: { '*': { endpoint: [cacheUrls.http] } } });
    const talos = yamlOf(setupOf('talos', cacheAt('http'), { catchAll: true }), 'talos-entrepot.yaml');
    expect(talos).toEqual([expect.objectContaining({ name: '*', endpoints: [{ url: cacheUrls.http }] })]);
  });
});

describe('Docker Hub that is not the default', () => {
  const others = [upstream('quay.io', { default: true })];

  test('is a mirror with a path, for Docker Engine 25 and later', () => {
    const made = setupOf('dockerd', cacheAt('https'), { of: [...others, upstream('docker.io')] });
    expect(jsonOf(made, '/etc/docker/daemon.json')).toEqual({
      'registry-mirrors': ['https://cache.example.com/docker.io'],
    });
    expect(made.limits.join('\n')).toContain('Docker Engine 25');
  });

  test('is no mirror at all without a prefix, and the daemon is told nothing', () => {
    const hub = upstream('docker.io', { prefixes: [] });
    const made = setupOf('dockerd', cacheAt('https'), { of: [...others, hub] });
    expect(made.files.map(({ path }) => path)).not.toContain('/etc/docker/daemon.json');
    expect(made.limits.join('\n')).toContain('no mirror can be set');
  });

  test('is not configured: the daemon has no mirror', () => {
    const made = setupOf('dockerd', cacheAt('http'), { of: others });
    expect(jsonOf(made, '/etc/docker/daemon.json')).toEqual({
      'insecure-registries': ['cache.example.com:5000'],
    });
    expect(made.steps).not.toContain('docker pull alpine');
  });
});

describe.each(CLIENTS.map(({ id }) => id))('%s', (client) => {
  test.each(schemes)(
    'has files over %s that parse, and names no upstream that is not asked for',
    (scheme) => {
      for (const of of [upstreams, upstreams.slice(1, 2), upstreams.slice(2, 4)]) {
        const made = setupOf(client, cacheAt(scheme), { of });
        for (const { path, content, mode } of made.files) {
          expect(mode).toBe('0644');
          expect(content.endsWith('\n')).toBe(true);
          if (/\.(?:toml|conf)$/.test(path)) parseToml(content);
          else if (/\.ya?ml$/.test(path)) yamlOf(made, path);
          else if (path.endsWith('.json')) JSON.parse(content);
          else expect(content).toBe(authority);
        }
        const all = JSON.stringify(made);
        for (const { name } of upstreams) {
          if (!of.some((chosen) => chosen.name === name) && name !== 'docker.io' && name !== 'internal')
            expect(all).not.toContain(name);
        }
        expect(made.steps.length).toBeGreaterThan(0);
      }
    },
  );
});

test('an upstream whose name looks like a number stays text in YAML', () => {
  const [config] = yamlOf(
    setupOf('k3s', cacheAt('http'), { of: [upstream('1.2')] }),
    '/etc/rancher/k3s/registries.yaml',
  );
  expect(Object.keys((config as { mirrors: object }).mirrors)).toEqual(['1.2']);
  expect(
    textOf(setupOf('k3s', cacheAt('http'), { of: [upstream('1.2')] }), '/etc/rancher/k3s/registries.yaml'),
  ).toContain('"1.2":');
});
