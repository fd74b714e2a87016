import { cacheHosts, type ClientRoute, mirrorLimit, nsEndpointOf } from './client-routes.ts';
import {
  authorityFiles,
  type Client,
  type ClientSetup,
  setupFile,
  type SetupRequest,
} from './client-setup.ts';
import { directReference, unnamedLimits } from './direct-reference.ts';
import { hostsTomlFiles } from './hosts-toml.ts';

const CERTS = { path: '/etc/docker/certs.d', seenAs: '/etc/docker/certs.d' };

export const dockerd: Client = {
  id: 'dockerd',
  aliases: ['docker'],
  title: 'Docker Engine (daemon.json)',
  setup: setupDockerd,
};

function setupDockerd(request: SetupRequest): ClientSetup {
  const { cache, routes } = request;
  const settings = daemonSettings(request);
  const others = routes.filter(({ isDockerHub }) => !isDockerHub);
  const mirrored = others.filter(
    (route) => mirrorLimit(cache, route, nsEndpointOf(cache, route)) === undefined,
  );
  const hosts = hostsTomlFiles({ ...request, routes: mirrored, catchAll: false }, CERTS);
  const references = others.flatMap((route) => directReference(cache, route) ?? []);
  return {
    files: [
      ...(Object.keys(settings).length === 0
        ? []
        : [setupFile('/etc/docker/daemon.json', `${JSON.stringify(settings, null, 2)}\n`, { merge: true })]),
      ...(mirrored.length === 0 ? [] : hosts.files.filter(({ path }) => !path.endsWith('.crt'))),
      ...authorityFiles(CERTS.path, request),
    ],
    steps: [
      'sudo systemctl reload docker    # mirrors and insecure registries are read anew; no container is stopped',
      ...(settings['registry-mirrors'] === undefined ? [] : ['docker pull alpine']),
      ...(references.length === 0
        ? []
        : [
            'Images of other registries, with any version of Docker, are named at the cache:',
            ...references.map((reference) => `docker pull ${reference}`),
          ]),
    ],
    limits: [...limitsOf(request, mirrored), ...unnamedLimits({ ...request, routes: others })],
  };
}

/** What goes into daemon.json. */
export function daemonSettings({ cache, routes }: SetupRequest): {
  readonly 'registry-mirrors'?: readonly string[];
  readonly 'insecure-registries'?: readonly string[];
} {
  const hub = routes.find(({ isDockerHub }) => isDockerHub);
  const mirror = hub && hubMirror(cache.url, hub);
  // The daemon accepts http of loopback addresses, and a mirror's scheme, untold; references by the cache's name not.
  const insecure = cache.isPlain && !cache.isLoopback;
  return {
    ...(mirror !== undefined && { 'registry-mirrors': [mirror] }),
    ...(insecure && { 'insecure-registries': cacheHosts(cache, routes) }),
  };
}

/** Mirrors are asked without any word of whose they are: what they mean is the default upstream. */
function hubMirror(url: string, hub: ClientRoute): string | undefined {
  if (hub.isDefault) return url;
  if (hub.ownHost !== undefined) return `${new URL(url).protocol}//${hub.ownHost}`;
  return hub.prefix === undefined ? undefined : `${url}/${hub.prefix}`;
}

function limitsOf({ routes }: SetupRequest, mirrored: readonly ClientRoute[]): readonly string[] {
  const hub = routes.find(({ isDockerHub }) => isDockerHub);
  const needsPath = hub !== undefined && !hub.isDefault && hub.ownHost === undefined;
  return [
    'The daemon asks registry-mirrors for Docker Hub only.',
    ...(mirrored.length === 0
      ? []
      : [
          `Docker Engine 28 and later with the containerd image store (\`docker info\` says "driver-type: io.containerd.snapshotter.v1") reads ${CERTS.path}/<registry>/hosts.toml too: then ${mirrored.map(({ name }) => name).join(', ')} come through the cache under their own names. Other daemons pay no attention to these files.`,
        ]),
    ...(needsPath && hub.prefix !== undefined
      ? [`Docker Hub is not the default upstream, so the mirror has a path: Docker Engine 25 or later.`]
      : []),
    ...(needsPath && hub.prefix === undefined
      ? ['Docker Hub is not the default upstream and has no prefix or host of its own: no mirror can be set.']
      : []),
  ];
}
