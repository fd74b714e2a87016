import { cacheHosts, mirrorLimit, nsEndpointOf, pathEndpointOf } from './client-routes.ts';
import {
  authorityFile,
  type Client,
  type ClientSetup,
  setupFile,
  type SetupRequest,
} from './client-setup.ts';
import { yamlText } from './yaml-text.ts';

export const k3sClients: readonly Client[] = [
  {
    id: 'k3s',
    aliases: [],
    title: 'k3s',
    setup: (request) => setupRancher(request, 'k3s', 'k3s', 'k3s-agent'),
  },
  {
    id: 'rke2',
    aliases: [],
    title: 'RKE2',
    setup: (request) => setupRancher(request, 'rke2', 'rke2-server', 'rke2-agent'),
  },
];

function setupRancher(
  { cache, routes, catchAll }: SetupRequest,
  product: string,
  server: string,
  agent: string,
): ClientSetup {
  const directory = `/etc/rancher/${product}`;
  const authority = `${directory}/entrepot-ca.crt`;
  const mirrors: Record<string, { readonly endpoint: readonly string[] }> = {};
  const limits: string[] = [];
  for (const route of routes) {
    // A path is used as it stands, /v2 and all; without a prefix `ns` says it, which is sent as well.
    const endpoint = pathEndpointOf(cache, route) ?? nsEndpointOf(cache, route);
    const limit = mirrorLimit(cache, route, endpoint);
    if (limit !== undefined) limits.push(limit);
    else if (endpoint !== undefined && !(catchAll && route.takesNs))
      mirrors[route.name] = { endpoint: [endpoint.url] };
  }
  if (catchAll) mirrors['*'] = { endpoint: [cache.url] };
  const config = {
    mirrors,
    ...(cache.ca !== undefined && {
      configs: Object.fromEntries(
        cacheHosts(cache, routes).map((host) => [host, { tls: { ca_file: authority } }]),
      ),
    }),
  };
  const comment = [
    `Images of these registries come from entrepot, and from the registry itself where it does not answer`,
    `(--disable-default-registry-endpoint forbids that). Credentials for the cache, where it asks for them:`,
    `  configs: { "${cache.host}": { auth: { username: <user>, password: <password> } } }`,
  ];
  return {
    files: [
      setupFile(`${directory}/registries.yaml`, yamlText(comment.join('\n'), config), { merge: true }),
      ...authorityFile(authority, cache),
    ],
    steps: [
      'On every node:',
      `sudo systemctl restart ${server}    # on agents: ${agent}; containers go on running`,
    ],
    limits,
  };
}
