import { cacheHosts, mirrorLimit, nsEndpointOf, pathEndpointOf, type PathEndpoint } from './client-routes.ts';
import { type Client, type ClientSetup, setupFile, type SetupRequest } from './client-setup.ts';
import { yamlText } from './yaml-text.ts';

export const talos: Client = {
  id: 'talos',
  aliases: [],
  title: 'Talos Linux',
  setup: setupTalos,
};

function setupTalos({ cache, routes, catchAll }: SetupRequest): ClientSetup {
  const limits: string[] = [];
  const mirrors: { readonly name: string; readonly endpoint: PathEndpoint }[] = [];
  for (const route of routes) {
    const endpoint = pathEndpointOf(cache, route) ?? nsEndpointOf(cache, route);
    const limit = mirrorLimit(cache, route, endpoint);
    if (limit !== undefined) limits.push(limit);
    else if (endpoint !== undefined && !(catchAll && route.takesNs))
      mirrors.push({ name: route.name, endpoint });
  }
  if (catchAll) mirrors.push({ name: '*', endpoint: { url: cache.url, hasV2: false } });
  const documents = mirrors.map(({ name, endpoint: { url, hasV2 } }) => ({
    apiVersion: 'v1alpha1',
    kind: 'RegistryMirrorConfig',
    name,
    endpoints: [{ url, ...(hasV2 && { overridePath: true }) }],
  }));
  const ca = cache.ca === undefined ? undefined : `${cache.ca.trimEnd()}\n`;
  const hosts = ca === undefined ? [] : cacheHosts(cache, routes);
  const trust = hosts.map((name) => ({ apiVersion: 'v1alpha1', kind: 'RegistryTLSConfig', name, ca }));
  const older = {
    machine: {
      registries: {
        mirrors: Object.fromEntries(
          mirrors.map(({ name, endpoint: { url, hasV2 } }) => [
            name,
            { endpoints: [url], ...(hasV2 && { overridePath: true }) },
          ]),
        ),
        ...(ca !== undefined && {
          config: Object.fromEntries(
            hosts.map((host) => [host, { tls: { ca: Buffer.from(ca).toString('base64') } }]),
          ),
        }),
      },
    },
  };
  return {
    files: [
      setupFile('talos-entrepot.yaml', yamlText(comment('1.12 and later'), ...documents, ...trust)),
      setupFile('talos-1.11-entrepot.yaml', yamlText(comment('before 1.12'), older)),
    ],
    steps: [
      'talosctl patch machineconfig --nodes <nodes> --patch @talos-entrepot.yaml    # no reboot',
      'Talos before 1.12 takes talos-1.11-entrepot.yaml in its place. For a new cluster: talosctl gen config --config-patch @FILE.',
    ],
    limits,
  };
}

function comment(versions: string): string {
  return `Talos ${versions}: images of these registries come from entrepot, and from the registry itself where it does not\nanswer (skipFallback: true forbids that).`;
}
