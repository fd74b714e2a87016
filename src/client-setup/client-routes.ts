import { isLoopback } from '../config-listen.ts';
import { type CacheAddress, referenceHost } from './cache-address.ts';

/**
 * The one model that every client's configuration is made from: how a client may say which upstream it means (`ns`, a
 * prefix in the name, a prefix before `/v2`, a host name of its own, nothing at all for the default).
 */
export interface ClientRoute {
  /** The upstream's name: what image references begin with that mean it. */
  readonly name: string;
  readonly isDockerHub: boolean;
  /** What requests mean that name no upstream. */
  readonly isDefault: boolean;
  /** Whether clients take the name for a registry: `internal/app` is a repository of Docker Hub to all of them. */
  readonly isRegistryHost: boolean;
  /** Whether `?ns=<name>` can say it. */
  readonly takesNs: boolean;
  /** Where a client without a cache asks: `http(s)://host[:port][/path]`. */
  readonly origin: string;
  /** The first path segment that names it. */
  readonly prefix: string | undefined;
  /** `host[:port]` by which the cache is nothing but this upstream. */
  readonly ownHost: string | undefined;
}

/** What of an upstream's configuration says how clients name it. */
export interface RoutedUpstream {
  readonly name: string;
  readonly url: string;
  readonly default: boolean;
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
}

const DOCKER_HUB = 'docker.io';

/** In the order of the configuration. */
export function clientRoutes(
  upstreams: readonly RoutedUpstream[],
  cache: CacheAddress,
): readonly ClientRoute[] {
  return upstreams.map(({ name, url, default: isDefault, prefixes, hosts }) => ({
    name,
    isDockerHub: name === DOCKER_HUB,
    isDefault,
    isRegistryHost: /[.:]/.test(name) || name === 'localhost',
    takesNs: /^[a-z0-9]/.test(name) && name === name.toLowerCase(),
    origin: originOf(name, url),
    prefix: prefixes.includes(name) ? name : prefixes[0],
    ownHost: hosts[0] === undefined ? undefined : withPortOf(hosts[0], cache),
  }));
}

/** A loopback address means something else to each client: they go by the name, then. */
function originOf(name: string, url: string): string {
  if (url === `http://${name}` || !isLoopback(new URL(url).hostname.replace(/^\[(.*)\]$/, '$1'))) return url;
  return name === DOCKER_HUB ? 'https://registry-1.docker.io' : `https://${name}`;
}

/** A configured name without a port is meant at the cache's. */
function withPortOf(host: string, { url }: CacheAddress): string {
  const { protocol, port } = new URL(url);
  if (/:\d+$/.test(host)) return host;
  return referenceHost(new URL(`${protocol}//${host}${port === '' ? '' : `:${port}`}`));
}

/** `host[:port][/prefix]`, to which a repository is appended; `undefined` when no name of the cache means the upstream. */
export function locationOf(cache: CacheAddress, route: ClientRoute): string | undefined {
  if (route.prefix !== undefined) return `${cache.host}/${route.prefix}`;
  return route.ownHost ?? (route.isDefault ? cache.host : undefined);
}

/** An endpoint by whose URL alone the cache knows the upstream. */
export interface PathEndpoint {
  /** Without a slash at the end. */
  readonly url: string;
  /** True: it has a path that ends where `/v2` and the upstream's prefix do, and the repository follows. */
  readonly hasV2: boolean;
}

/** With the prefix behind `/v2`, as `override_path` wants it; `undefined` as for `locationOf`. */
export function pathEndpointOf(cache: CacheAddress, route: ClientRoute): PathEndpoint | undefined {
  if (route.prefix !== undefined) return { url: `${cache.url}/v2/${route.prefix}`, hasV2: true };
  if (route.ownHost !== undefined) {
    return { url: `${new URL(cache.url).protocol}//${route.ownHost}`, hasV2: false };
  }
  return route.isDefault ? { url: cache.url, hasV2: false } : undefined;
}

/** The endpoint for clients that send `ns`: the cache itself, or a path where `ns` cannot say it. */
export function nsEndpointOf(cache: CacheAddress, route: ClientRoute): PathEndpoint | undefined {
  return route.takesNs ? { url: cache.url, hasV2: false } : pathEndpointOf(cache, route);
}

/** Every `host[:port]` under which these routes make clients connect to the cache. */
export function cacheHosts(cache: CacheAddress, routes: readonly ClientRoute[]): readonly string[] {
  const own = routes.flatMap(({ prefix, ownHost }) => (prefix === undefined ? (ownHost ?? []) : []));
  return [...new Set([cache.host, ...own])];
}

/** Why a client that knows mirrors cannot be told of this upstream; `undefined`: it can. */
export function mirrorLimit(cache: CacheAddress, route: ClientRoute, can: unknown): string | undefined {
  if (!route.isRegistryHost) {
    const location = locationOf(cache, route);
    const instead = location === undefined ? '' : `; name its images ${location}/<repository>`;
    return `${route.name} is not a registry's host name to clients, so no mirror can be set for it${instead}.`;
  }
  if (can !== undefined) return undefined;
  return `${route.name} has no prefix and no host of its own in the configuration, so this client cannot name it; give the upstream \`prefixes\` or \`hosts\`.`;
}
