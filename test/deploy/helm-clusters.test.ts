import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { describeWith } from '../support/programs.ts';
import { tempDir } from '../support/temp-dir.ts';
import {
  CHART,
  configuration,
  type Labels,
  only,
  rendered,
  resourcesIn,
  type Values,
  workload,
} from './chart.ts';

const PAGE = join(CHART, '..', '..', 'kubernetes', 'README.md');

/** What Azure's webhook sets. */
const WEBHOOK = {
  AZURE_TENANT_ID: 'tenant',
  AZURE_CLIENT_ID: 'client',
  AZURE_FEDERATED_TOKEN_FILE: '/var/run/secrets/azure/tokens/azure-identity-token',
};

/** The YAML of that page that holds a text, as a file for `--values`. */
async function valuesOfPage(text: string): Promise<string> {
  const page = await readFile(PAGE, 'utf8');
  const blocks = [...page.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = '']) => block);
  const found = blocks.filter((block) => block.includes(text));
  expect(found, text).toHaveLength(1);
  const file = join(await tempDir(), 'values.yaml');
  await writeFile(file, found[0] ?? '');
  return `--values=${file}`;
}

describeWith({ programs: ['helm'] }, 'the Helm chart where a cloud gives pods their identity', () => {
  it.each([
    'eks.amazonaws.com/role-arn',
    'iam.gke.io/gcp-service-account',
    'azure.workload.identity/client-id',
  ])('takes what the page says of %s', async (annotation) => {
    const resources = resourcesIn(await rendered({}, [await valuesOfPage(annotation)]));
    const account = only(resources, 'ServiceAccount');
    expect(Object.keys(account.metadata.annotations ?? {})).toEqual([annotation]);
    const { pod } = workload(resources);
    expect(pod.spec.serviceAccountName).toBe(account.metadata.name);
    const { upstreams } = await configuration(resources, WEBHOOK);
    expect(upstreams.map(({ auth }) => auth !== undefined)).toEqual([true]);
    if (annotation.startsWith('azure'))
      expect(pod.metadata.labels['azure.workload.identity/use']).toBe('true');
  });

  it('lets pods reach the metadata server of GKE, as the page says, and the DNS of OpenShift', async () => {
    const values = await valuesOfPage('iam.gke.io/gcp-service-account');
    const { spec } = only(resourcesIn(await rendered({}, [values])), 'NetworkPolicy');
    const [anywhere, ...more] = spec['egress'] as readonly unknown[];
    expect(anywhere).toMatchObject({
      ports: expect.arrayContaining([
        { protocol: 'TCP', port: 80 },
        { protocol: 'UDP', port: 5353 },
      ]) as unknown,
    });
    expect(more).toEqual([
      { to: [{ ipBlock: { cidr: '169.254.169.252/32' } }], ports: [{ protocol: 'TCP', port: 988 }] },
    ]);
  });

  it('runs as an account that the site made, and then makes none', async () => {
    const made = resourcesIn(await rendered({ 'serviceAccount.name': 'puller' }));
    expect(only(made, 'ServiceAccount').metadata.name).toBe('puller');
    expect(workload(made).pod.spec.serviceAccountName).toBe('puller');
    const given = resourcesIn(
      await rendered({ 'serviceAccount.create': false, 'serviceAccount.name': 'puller' }),
    );
    expect(given.map(({ kind }) => kind)).not.toContain('ServiceAccount');
    expect(workload(given).pod.spec.serviceAccountName).toBe('puller');
    const none = resourcesIn(await rendered({ 'serviceAccount.create': false }));
    expect(workload(none).pod.spec.serviceAccountName).toBe('default');
  });
});

describeWith({ programs: ['helm'] }, 'the Helm chart in each node’s own network', () => {
  const own = { kind: 'DaemonSet', 'daemonSet.hostNetwork': true };

  it('listens at the node’s loopback address itself, admin too, and is asked there whether it lives', async () => {
    const resources = resourcesIn(await rendered(own));
    const { pod } = workload(resources);
    expect(pod.spec.hostNetwork).toBe(true);
    const { listeners, admin } = await configuration(resources);
    expect(listeners).toMatchObject([{ host: '127.0.0.1', port: 5000 }]);
    expect(admin).toMatchObject({ listen: { host: '127.0.0.1', port: 5001 }, token: 'token' });
    const [container] = pod.spec.containers;
    for (const probe of [container?.startupProbe, container?.livenessProbe, container?.readinessProbe])
      expect(probe?.httpGet.host).toBe('127.0.0.1');
    // Neither a service whose pods nobody reaches, nor a policy that would not hold.
    const names = resources.map(({ kind, metadata }) => `${kind}/${metadata.name}`);
    expect(names).toContain('Service/entrepot-pods');
    expect(names).not.toContain('Service/entrepot');
    expect(names).not.toContain('NetworkPolicy/entrepot');
  });

  it('knows what its node reaches it by, unless the site knows better', async () => {
    const urls = [
      {},
      { 'daemonSet.hostIP': '::1', 'daemonSet.hostPort': 5010, 'tls.existingSecret': 'certificate' },
      { 'config.publicUrl': 'https://cache.example.com' },
    ].map(
      async (values) => (await configuration(resourcesIn(await rendered({ ...own, ...values })))).publicUrl,
    );
    expect(await Promise.all(urls)).toEqual([
      'http://127.0.0.1:5000',
      'https://[::1]:5010',
      'https://cache.example.com',
    ]);
  });

  it('has no ServiceMonitor of what Prometheus cannot reach, and says what to set', async () => {
    await expect(rendered({ ...own, 'serviceMonitor.enabled': true })).rejects.toThrow('daemonSet.adminIP');
    const wide = { ...own, 'serviceMonitor.enabled': true, 'daemonSet.adminIP': '0.0.0.0' };
    const resources = resourcesIn(await rendered(wide));
    expect((await configuration(resources)).admin).toMatchObject({
      listen: { host: '0.0.0.0' },
      token: 'token',
    });
    expect(workload(resources).pod.spec.containers[0]?.livenessProbe?.httpGet.host).toBeUndefined();
  });

  it('has the SELinux label that the page says for nodes that enforce one', async () => {
    const values = await valuesOfPage('seLinuxOptions');
    const { pod } = workload(resourcesIn(await rendered({}, [values])));
    expect(pod.spec.securityContext.seLinuxOptions).toEqual({ level: 's0' });
  });
});

/** Of its pods; and the token that the chart made. */
async function checksums(values: Values = {}): Promise<Labels & { readonly token?: string }> {
  const resources = resourcesIn(await rendered(values));
  const token = resources.find(({ kind }) => kind === 'Secret')?.data?.['admin-token'];
  const { annotations } = workload(resources).pod.metadata;
  return { ...annotations, ...(token !== undefined && { token }) };
}

describeWith({ programs: ['helm'] }, 'pods of the Helm chart', () => {
  it('are started anew for another token that the chart made, and for another configuration', async () => {
    const [first, second] = await Promise.all([checksums(), checksums({ 'config.offline': true })]);
    for (const { token = '', 'checksum/admin': sum } of [first, second])
      expect(sum).toBe(createHash('sha256').update(token).digest('hex'));
    expect(first['checksum/admin']).not.toBe(second['checksum/admin']);
    expect(first['checksum/config']).not.toBe(second['checksum/config']);
  });

  it('are the same at every rendering where the token is the site’s', async () => {
    const own = { 'admin.existingSecret': 'own' };
    const [first, second] = await Promise.all([rendered(own), rendered(own)]);
    expect(second).toBe(first);
  });
});
