import type { TomlTable } from 'smol-toml';
import { cacheHosts, type ClientRoute, locationOf, mirrorLimit } from './client-routes.ts';
import {
  authorityFile,
  type Client,
  type ClientSetup,
  setupFile,
  type SetupRequest,
} from './client-setup.ts';
import { tomlText } from './toml-text.ts';

const AUTHORITY = '/etc/buildkit/entrepot-ca.crt';

export const buildkit: Client = {
  id: 'buildkit',
  aliases: ['buildx', 'buildkitd'],
  title: 'BuildKit (buildkitd.toml, docker buildx)',
  setup: (request) => ({
    files: [
      setupFile('/etc/buildkit/buildkitd.toml', buildkitConfig(request, AUTHORITY), { merge: true }),
      ...authorityFile(AUTHORITY, request.cache),
    ],
    steps: [
      'docker buildx create --use --name entrepot --buildkitd-config /etc/buildkit/buildkitd.toml',
      'sudo systemctl restart buildkit    # in place of that, where buildkitd runs as a service',
    ],
    limits: [
      '`docker build` on the default builder goes by the settings of the Docker daemon: entrepot setup dockerd.',
      ...buildkitLimits(request),
    ],
  }),
};

/** The text of buildkitd.toml. `authority`: where it finds the CA file, if there is one. */
export function buildkitConfig(request: SetupRequest, authority: string): string {
  const { cache, routes } = request;
  const registry: Record<string, TomlTable> = {};
  for (const route of routes) {
    const mirror = mirrorOf(request, route);
    if (mirror !== undefined && route.isRegistryHost) registry[route.name] = { mirrors: [mirror] };
  }
  const trust: TomlTable = {
    ...(cache.isPlain && { http: true }),
    // Of loopback addresses it takes http for granted.
    ...(!cache.isPlain && cache.isLoopback && { http: false }),
    ...(cache.ca !== undefined && { ca: [authority] }),
  };
  // http and ca are looked up under the mirror's host, not under the registry that it stands in for.
  if (Object.keys(trust).length > 0)
    for (const host of cacheHosts(cache, routes)) registry[host] = { ...registry[host], ...trust };
  return tomlText(
    'Images of these registries come from entrepot, and from the registry itself where it does not answer.',
    {
      registry,
    },
  );
}

export function buildkitLimits(request: SetupRequest): ClientSetup['limits'] {
  return request.routes.flatMap((route) => mirrorLimit(request.cache, route, mirrorOf(request, route)) ?? []);
}

/** It sends `ns` as well, so without a prefix the cache's bare name does. */
function mirrorOf({ cache }: SetupRequest, route: ClientRoute): string | undefined {
  return locationOf(cache, route) ?? (route.takesNs ? cache.host : undefined);
}
