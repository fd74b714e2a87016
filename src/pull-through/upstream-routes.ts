import type { UpstreamConfig } from '../config.ts';
import { knownRegistry } from '../config-profile.ts';
import { OciError } from '../oci/error.ts';
import type { DistributionTarget } from '../oci/path.ts';
import { parseRepositoryName } from '../oci/reference.ts';
import type { RepositoryKey } from '../metadata/metadata-store.ts';
import { PullThroughError } from './pull-through-error.ts';

/** What beside its target tells which upstream a request means. */
export interface RouteHints {
  /** The `Host` header, lower case. Compared with configured names only; nothing is built from it. */
  readonly host: string | undefined;
}

/** A request's upstream, and what of its path is left to name the repository. */
export interface Route {
  /** Absent for the base endpoint alone, where nothing names one and there is no default. */
  readonly upstream: string | undefined;
  /** What the client called the upstream by `ns`: echoed as `OCI-Namespace`. */
  readonly namespace: string | undefined;
  /** `path` of the target without the upstream's prefix. Absent for the base endpoint. */
  readonly path: string | undefined;
  /** A name of one component is short for `library/…`. */
  readonly hubNames: boolean;
}

/** The table that says which upstream a request means (architecture §6: `ns`, `Host`, prefix, default). */
export class UpstreamRoutes {
  readonly #byHost = new Map<string, string>();
  readonly #byPrefix = new Map<string, string>();
  readonly #byAlias = new Map<string, string>();
  readonly #hubNames = new Set<string>();
  readonly #default: string | undefined;

  constructor(
    upstreams: readonly Pick<UpstreamConfig, 'name' | 'hosts' | 'prefixes' | 'default' | 'profile'>[],
  ) {
    for (const { name, hosts, prefixes, profile } of upstreams) {
      if (profile?.hubNames === true) this.#hubNames.add(name);
      // Docker Hub has several host names; clients use any of them as `ns`.
      for (const alias of [name, ...(knownRegistry(name)?.aliases ?? [])]) this.#byAlias.set(alias, name);
      for (const host of hosts) this.#byHost.set(host, name);
      for (const prefix of prefixes) this.#byPrefix.set(prefix, name);
    }
    this.#default = upstreams.find((upstream) => upstream.default)?.name;
  }

  /**
   * @throws PullThroughError `unknown-upstream` when `ns` or the leading segment names none, or when a repository is
   *   asked for, nothing names an upstream, and there is no default.
   */
  find(target: DistributionTarget, hints: RouteHints): Route {
    // A reference by our own name makes some clients send that as `ns`: it names no upstream, unless we are reached by
    // an upstream's name.
    const isOurs = target.ns !== undefined && target.ns === hints.host && !this.#byAlias.has(target.ns);
    const ns = isOurs ? undefined : target.ns;
    const path = 'path' in target.endpoint ? target.endpoint.path : undefined;
    const named = this.#named(ns, hints.host);
    if (target.leading !== undefined) {
      const leading = this.#byPrefix.get(target.leading);
      if (leading === undefined || (named !== undefined && named !== leading)) throw unknown(target.leading);
      return this.#route(leading, ns, path);
    }
    const slash = path?.indexOf('/') ?? -1;
    const first = slash < 0 ? undefined : path?.slice(0, slash);
    const prefixed = first === undefined ? undefined : this.#byPrefix.get(first);
    const upstream = named ?? prefixed ?? this.#default;
    if (upstream === undefined && path !== undefined) throw unknown(first ?? path);
    // No namespace of Docker Hub has a dot: this is a registry's name, and none of Docker Hub's business.
    const isHubByDefault = named === undefined && prefixed === undefined && this.#hasHubNames(upstream);
    if (isHubByDefault && first?.includes('.') === true) throw unknown(first);
    const rest = prefixed === upstream ? path?.slice(slash + 1) : path;
    return this.#route(upstream, ns, rest);
  }

  #route(upstream: string | undefined, namespace: string | undefined, path: string | undefined): Route {
    return { upstream, namespace, path, hubNames: this.#hasHubNames(upstream) };
  }

  #hasHubNames(upstream: string | undefined): boolean {
    return upstream !== undefined && this.#hubNames.has(upstream);
  }

  #named(ns: string | undefined, host: string | undefined): string | undefined {
    if (ns !== undefined) {
      const upstream = this.#byAlias.get(ns.toLowerCase());
      if (upstream === undefined) throw unknown(ns);
      return upstream;
    }
    if (host === undefined) return undefined;
    // Clients send the port that they connect to; a configured name without one is meant at any.
    return this.#byHost.get(host) ?? this.#byHost.get(host.replace(/:[0-9]+$/, ''));
  }
}

function unknown(name: string): PullThroughError {
  return new PullThroughError(
    'unknown-upstream',
    `no upstream is configured as ${JSON.stringify(name.slice(0, 255))}`,
  );
}

/**
 * The repository that a route's path names. Where names are as at Docker Hub, one of one component is short for `library/…`.
 * @throws OciError `NAME_INVALID`
 */
export function repositoryOf(route: Route): RepositoryKey {
  if (route.path === undefined || route.upstream === undefined) {
    throw new OciError('NAME_INVALID', 'the request names no repository');
  }
  const isShort = route.hubNames && !route.path.includes('/');
  const repository = parseRepositoryName(isShort ? `library/${route.path}` : route.path);
  return { upstream: route.upstream, repository };
}
