import { chmod, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { succeed } from '../support/child-program.ts';
import { describeWith, programPath } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  CHART,
  configuration,
  type Container,
  helm,
  type Labels,
  NAMESPACE,
  only,
  type Pod,
  type Probe,
  rendered,
  type Resource,
  resourcesIn,
  type Values,
  workload,
} from './chart.ts';

const ROOT = join(CHART, '..', '..', '..');
const PLAIN = join(ROOT, 'deploy', 'kubernetes');
/** Of USER in the Dockerfile. */
const USER = 10_001;

/** A way that sites have it; each is put over the chart's own values. */
const SETS: Readonly<Record<string, Values>> = {
  'as it is': {},
  'on each node': { kind: 'DaemonSet', 'daemonSet.hostPath': '/srv/entrepot', 'admin.existingSecret': 'own' },
  'in each node’s own network': {
    kind: 'DaemonSet',
    'daemonSet.hostNetwork': true,
    'daemonSet.adminIP': '::',
    'daemonSet.adminPort': 5002,
    'daemonSet.hostPort': 5010,
    'serviceMonitor.enabled': true,
    seLinuxOptions: { level: 's0' },
  },
  'with all that it can have': {
    replicas: 3,
    bindAddress: '[::]',
    'tls.existingSecret': 'certificate',
    'service.type': 'NodePort',
    'service.nodePort': 30_500,
    'persistence.storageClass': 'fast',
    'networkPolicy.clients': [{ ipBlock: { cidr: '10.0.0.0/8' } }],
    'networkPolicy.upstreamPorts': [443, 5000],
    'serviceMonitor.enabled': true,
    'prometheusRule.enabled': true,
    'prometheusRule.labels': { release: 'stack' },
    'dashboard.enabled': true,
    env: [{ name: 'HUB_TOKEN', valueFrom: { secretKeyRef: { name: 'hub', key: 'token' } } }],
    extraVolumes: [{ name: 'keys', secret: { secretName: 'keys' } }],
    extraVolumeMounts: [{ name: 'keys', mountPath: '/run/secrets/keys', readOnly: true }],
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    topologySpreadConstraints: [{ maxSkew: 1 }],
    priorityClassName: 'system-node-critical',
    imagePullSecrets: [{ name: 'pull' }],
    podAnnotations: { note: 'yes' },
    podLabels: { team: 'platform' },
    'serviceAccount.annotations': { 'example.com/role': 'puller' },
    'networkPolicy.extraEgress': [{ ports: [{ protocol: 'TCP', port: 988 }] }],
    config: {
      cache: { maxSize: '90%', pins: ['docker.io/library/*'] },
      upstreams: { 'docker.io': { auth: { username: 'me', password: '${HUB_TOKEN}' } } },
    },
  },
  'with as little as it can have': {
    'persistence.enabled': false,
    'networkPolicy.enabled': false,
    'podDisruptionBudget.enabled': false,
    resources: {},
  },
};

async function deployed(path: string): Promise<string> {
  return readFile(join(ROOT, 'deploy', path), 'utf8');
}

function matches(selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

function expectConfined({ spec }: Pod): void {
  expect(spec.automountServiceAccountToken).toBe(false);
  expect(spec.securityContext).toMatchObject({
    runAsNonRoot: true,
    runAsUser: USER,
    fsGroup: USER,
    seccompProfile: { type: 'RuntimeDefault' },
  });
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  for (const { securityContext } of containers)
    expect(securityContext).toMatchObject({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  expect(spec.containers.map(({ securityContext }) => securityContext.capabilities?.add)).toEqual([
    undefined,
  ]);
}

/** Every mount has its volume, every volume is mounted, and what the volumes are of is there or the site's. */
function expectVolumes(resources: readonly Resource[], given: readonly string[]): void {
  const { resource, pod } = workload(resources);
  const claims = (resource.spec['volumeClaimTemplates'] ?? []) as readonly Resource[];
  const volumes = [
    ...pod.spec.volumes.map(({ name }) => name),
    ...claims.map(({ metadata }) => metadata.name),
  ];
  const mounted = pod.spec.containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }) => name));
  expect(volumes.toSorted()).toEqual(mounted.toSorted());
  const names = resources.map(({ metadata }) => metadata.name);
  for (const { configMap, secret } of pod.spec.volumes)
    for (const name of [configMap?.name, secret?.secretName])
      if (name !== undefined) expect([...names, ...given]).toContain(name);
}

function portNames({ ports = [] }: Container): readonly string[] {
  return ports.map(({ name }) => name);
}

describeWith({ programs: ['helm'] }, 'the Helm chart', () => {
  it('is of this version, and helm has nothing to say against it', async () => {
    const chart = parse(await readFile(join(CHART, 'Chart.yaml'), 'utf8')) as Values;
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Values;
    expect([chart['version'], chart['appVersion']]).toEqual([version, version]);
    for (const values of Object.values(SETS)) {
      const { code, stdout } = await helm('lint', values);
      expect(code, stdout).toBe(0);
    }
  });

  it.each(Object.entries(SETS))('%s makes resources that fit each other', async (_name, values) => {
    const resources = resourcesIn(await rendered(values));
    for (const { apiVersion, kind, metadata } of resources) {
      expect([apiVersion, kind, metadata.name]).not.toContain(undefined);
      expect(metadata.namespace).toBe(NAMESPACE);
    }
    const { resource, pod } = workload(resources);
    const [container] = pod.spec.containers;
    expect.assert(container !== undefined);
    expectConfined(pod);
    expectVolumes(resources, ['own', 'certificate', 'keys']);
    expect(pod.spec.serviceAccountName).toBe(only(resources, 'ServiceAccount').metadata.name);
    const { matchLabels } = resource.spec['selector'] as { readonly matchLabels: Labels };
    expect(matches(matchLabels, pod.metadata.labels)).toBe(true);

    const services = resources.filter(({ kind }) => kind === 'Service');
    for (const { spec } of services) {
      expect(spec['selector']).toEqual(matchLabels);
      for (const { targetPort } of spec['ports'] as readonly { readonly targetPort: string }[])
        expect(portNames(container)).toContain(targetPort);
    }
    if (resource.kind === 'StatefulSet')
      expect(services.map(({ metadata }) => metadata.name)).toContain(resource.spec['serviceName']);
    for (const { kind, spec } of resources) {
      if (kind === 'PodDisruptionBudget') expect(spec['selector']).toEqual({ matchLabels });
      if (kind === 'NetworkPolicy') expect(spec['podSelector']).toEqual({ matchLabels });
    }
    for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
      expect(['/healthz', '/readyz']).toContain((probe as Probe).httpGet.path);
      expect((probe as Probe).httpGet.port).toBe('admin');
    }
  });

  it.each(Object.entries(SETS))('%s has a configuration that entrepot takes', async (_name, values) => {
    const resources = resourcesIn(await rendered(values));
    const { pod } = workload(resources);
    const [container] = pod.spec.containers;
    const config = await configuration(resources);
    const ports = Object.fromEntries(
      (container?.ports ?? []).map(({ name, containerPort }) => [name, containerPort]),
    );
    expect({ registry: config.listeners[0]?.port, admin: config.admin.listen.port }).toEqual(ports);
    expect(config.listeners[0]?.tls !== undefined).toBe('tls.existingSecret' in values);
    // Probes speak plain HTTP.
    expect(config.admin.listen.tls).toBeUndefined();
    expect(config.admin.token).toBe('token');
    expect(container?.volumeMounts.map(({ mountPath }) => mountPath)).toContain(config.dataDir);
    expect(1000 * pod.spec.terminationGracePeriodSeconds).toBeGreaterThan(config.shutdownGraceMs + 10_000);
  });

  it('on each node listens at the node’s loopback address, and only its first step may change owner and mode', async () => {
    const resources = resourcesIn(await rendered(SETS['on each node']));
    const { pod } = workload(resources);
    expect(pod.spec.containers[0]?.ports?.[0]).toMatchObject({ hostIP: '127.0.0.1', hostPort: 5000 });
    expect(pod.spec.initContainers?.map(({ securityContext }) => securityContext.capabilities)).toEqual([
      { drop: ['ALL'], add: ['CHOWN', 'FOWNER'] },
    ]);
    expect(resources.map(({ kind }) => kind)).not.toContain('PodDisruptionBudget');
  });

  it('has the operator scrape each pod, with the token', async () => {
    const resources = resourcesIn(await rendered(SETS['with all that it can have']));
    const { spec } = only(resources, 'ServiceMonitor');
    const { matchLabels } = spec['selector'] as { readonly matchLabels: Labels };
    const scraped = resources.filter(
      ({ kind, metadata }) => kind === 'Service' && matches(matchLabels, metadata.labels),
    );
    expect(scraped.map(({ spec: { ports } }) => ports)).toEqual([
      [{ name: 'admin', port: 5001, targetPort: 'admin' }],
    ]);
    const { metadata } = only(resources, 'Secret');
    expect(spec['endpoints']).toMatchObject([
      { port: 'admin', authorization: { credentials: { name: metadata.name, key: 'admin-token' } } },
    ]);
  });

  it('brings the rules and the dashboard that stand beside it, unchanged', async () => {
    const resources = resourcesIn(await rendered(SETS['with all that it can have']));
    const { metadata, spec } = only(resources, 'PrometheusRule');
    expect(metadata.labels['release']).toBe('stack');
    const files = ['prometheus/entrepot.rules.yml', 'prometheus/entrepot.alerts.yml'];
    const groups = await Promise.all(
      files.map(
        async (path) => (parse(await deployed(path)) as { readonly groups: readonly unknown[] }).groups,
      ),
    );
    expect(spec['groups']).toEqual(groups.flat());
    const dashboard = resources.find(({ data }) => data?.['entrepot.json'] !== undefined);
    expect(dashboard?.metadata.labels['grafana_dashboard']).toBe('1');
    expect(JSON.parse(dashboard?.data?.['entrepot.json'] ?? '')).toEqual(
      JSON.parse(await deployed('grafana/entrepot.json')),
    );
  });

  it('makes a token of its own, another one each time, only where none is given', async () => {
    const secrets = await Promise.all(
      [{}, {}].map(async () => only(resourcesIn(await rendered()), 'Secret').data?.['admin-token'] ?? ''),
    );
    expect(secrets.map((text) => Buffer.from(text, 'base64').toString())).toEqual([
      expect.stringMatching(/^\w{40}$/),
      expect.stringMatching(/^\w{40}$/),
    ]);
    expect(new Set(secrets).size).toBe(2);
    const given = resourcesIn(await rendered(SETS['on each node']));
    expect(given.map(({ kind }) => kind)).not.toContain('Secret');
  });

  it.each([
    ['kind', 'Deployment'],
    ['replicas', -1],
    ['replica', 1],
    ['service.type', 'ExternalName'],
    ['persistence.size', 'much'],
    ['persistence.accessModes', ['ReadWriteMany']],
    ['config.listen', '0.0.0.0:80'],
    ['config.dataDir', '/data'],
    ['image.repository', 'entrepot:1'],
    ['daemonSet.hostPath', 'relative'],
    ['daemonSet.adminIP', '[::1]'],
    ['networkPolicy.upstreamPorts', ['https']],
    ['networkPolicy.extraEgress', [{ port: 988 }]],
    ['serviceAccount.annotations', { role: 1 }],
    ['podDisruptionBudget.maxUnavailable', 'one'],
  ])('refuses %s of %j, and names it', async (key, value) => {
    const { code, stderr } = await helm('template', { [key]: value });
    expect(code).toBe(1);
    expect(stderr).toContain((key.split('.').at(-1) ?? '').replace('replica', 'replica'));
  });
});

describeWith({ programs: ['helm', 'setpriv'], root: true }, 'the first step on each node', () => {
  it('makes the directory the cache’s and closes it to others, also the second time', async () => {
    const { pod } = workload(resourcesIn(await rendered(SETS['on each node'])));
    const [first] = pod.spec.initContainers ?? [];
    expect.assert(first !== undefined);
    const { command = [], securityContext } = first;
    const directory = await tempDir();
    await chmod(directory, 0o755);
    const { add = [] } = securityContext.capabilities ?? {};
    const rights = ['-all', ...add.map((name) => `+${name.toLowerCase()}`)];
    const confinement = ['--no-new-privs', `--bounding-set=${rights.join(',')}`];
    for (const _time of ['first', 'second']) {
      await succeed(programPath('setpriv'), [
        ...confinement,
        ...command.map((word) => word.replaceAll('/var/lib/entrepot', directory)),
      ]);
      const { mode, uid, gid } = await stat(directory);
      expect([mode & 0o777, uid, gid]).toEqual([0o750, USER, USER]);
    }
  });
});

describeWith({ programs: ['helm'] }, 'the plain manifests', () => {
  it.each([
    ['entrepot.yaml', {}, []],
    ['daemonset.yaml', { kind: 'DaemonSet' }, []],
    ['servicemonitor.yaml', { 'serviceMonitor.enabled': true }, ['templates/servicemonitor.yaml']],
  ] as const)('%s is what the chart makes', async (file, values, shown) => {
    const options = shown.map((template) => `--show-only=${template}`);
    const text = await rendered(values, [`--values=${PLAIN}/values.yaml`, ...options]);
    const heading = '# Made of deploy/helm/entrepot: see values.yaml.\n';
    const plain = text
      .replaceAll(/^# Source: .*\n/gm, '')
      .replaceAll(/^ +checksum\/config: .*\n/gm, (line) => line);
    await expect(heading + plain).toMatchFileSnapshot(join(PLAIN, file));
  });
});
