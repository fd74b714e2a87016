import type { CacheAddress } from './cache-address.ts';
import { type ClientRoute, mirrorLimit, nsEndpointOf, type PathEndpoint } from './client-routes.ts';
import { authorityFile, setupFile, type SetupFile, type SetupRequest } from './client-setup.ts';
import { tomlText } from './toml-text.ts';

/** Where hosts.toml files are: as they are written, and as their reader sees them. */
export interface CertsDirectory {
  readonly path: string;
  readonly seenAs: string;
}

const CREDENTIALS = (url: string): string =>
  `Where something in front of the cache asks for credentials:\n[host."${url}".header]\nAuthorization = "Basic <base64 of user:password>"`;

/** One hosts.toml per upstream, or one for all; and what containerd needs to pull by the cache's own name. */
export function hostsTomlFiles(
  { cache, routes, catchAll }: SetupRequest,
  directory: CertsDirectory,
): { readonly files: readonly SetupFile[]; readonly limits: readonly string[] } {
  const place = (registry: string): string => `${directory.path}/${registry}/hosts.toml`;
  const limits = routes.flatMap((route) => mirrorLimit(cache, route, nsEndpointOf(cache, route)) ?? []);
  const mirrored = routes.filter(
    (route) => mirrorLimit(cache, route, nsEndpointOf(cache, route)) === undefined,
  );
  const isCaught = ({ takesNs }: ClientRoute): boolean => catchAll && takesNs;
  const each = mirrored
    .filter((route) => !isCaught(route))
    .map((route) => setupFile(place(route.name), routeText(cache, route, directory)));
  return {
    files: [
      ...(catchAll ? [setupFile(place('_default'), catchAllText(cache, directory))] : []),
      ...each,
      ...ownHostFile(cache, directory),
      ...authorityFile(`${directory.path}/${cache.host}/ca.crt`, cache),
    ],
    limits,
  };
}

function routeText(cache: CacheAddress, route: ClientRoute, directory: CertsDirectory): string {
  const endpoint = nsEndpointOf(cache, route) ?? { url: cache.url, hasV2: false };
  return tomlText(
    `Images of ${route.name} come from entrepot, and from ${route.origin} where it does not answer.\nTo forbid going past it: server = "${cache.url}".`,
    { server: route.origin, host: hostTable(cache, endpoint, directory) },
    CREDENTIALS(endpoint.url),
  );
}

function catchAllText(cache: CacheAddress, directory: CertsDirectory): string {
  return tomlText(
    'Images of every registry without a file of its own come from entrepot, and from the registry itself where entrepot\ndoes not answer or does not know it.',
    { host: hostTable(cache, { url: cache.url, hasV2: false }, directory) },
    CREDENTIALS(cache.url),
  );
}

function hostTable(
  cache: CacheAddress,
  { url, hasV2 }: PathEndpoint,
  directory: CertsDirectory,
): Record<string, Record<string, string | boolean | string[]>> {
  return {
    [url]: {
      capabilities: ['pull', 'resolve'],
      ...(hasV2 && { override_path: true }),
      ...(cache.ca !== undefined && { ca: `${directory.seenAs}/${cache.host}/ca.crt` }),
    },
  };
}

/** Images that are named at the cache itself: https and the system's authorities need no file. */
function ownHostFile(cache: CacheAddress, directory: CertsDirectory): readonly SetupFile[] {
  if (!cache.isPlain && cache.ca === undefined) return [];
  const table = hostTable(cache, { url: cache.url, hasV2: false }, directory);
  const text = tomlText('For images that are named at the cache itself.', { server: cache.url, host: table });
  return [setupFile(`${directory.path}/${cache.host}/hosts.toml`, text)];
}
