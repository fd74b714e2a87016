import { knownRegistry, profileFor, rateOf } from './config-profile.ts';
import type { RegistryProfile } from './config-profiles.ts';
import type { RepositoryPattern } from './oci/repository-pattern.ts';
import { mirrorsFrom, type MirrorConfig, type UpstreamLimits } from './config-mirrors.ts';
import type { Problems } from './config-problem.ts';
import { defaultProxy, type ProxyConfig, proxyFrom } from './config-proxy.ts';
import {
  longPattern,
  repositoriesFrom,
  type RepositoryConfig,
  type RepositoryRules,
  rulesFrom,
} from './config-repositories.ts';
import type { FileConfig } from './config-schema.ts';
import type { FileUpstream } from './config-schema-upstream.ts';
import type { Surroundings } from './config-secret.ts';
import { isPrefix, parseHost } from './config-text.ts';
import { tlsFrom, type UpstreamTls } from './config-tls.ts';

/** An upstream, and the rules for its repositories but for those that `repositories` names. */
export interface UpstreamConfig extends RepositoryRules {
  readonly name: string;
  /** `http(s)://host[:port][/path]`, without a slash at the end. */
  readonly url: string;
  /** True for one upstream at most. */
  readonly default: boolean;
  /** Each a legal segment of a repository name; no two upstreams share one. */
  readonly prefixes: readonly string[];
  /** `host` or `host:port`, lower case; no two upstreams share one. */
  readonly hosts: readonly string[];
  /** `host` or `host:port`, lower case. */
  readonly trustedHosts: readonly string[];
  readonly tls?: UpstreamTls | undefined;
  /** Absent: everything is reached directly. */
  readonly proxy?: ProxyConfig | undefined;
  /** Absent: as `generic`. */
  readonly profile?: RegistryProfile | undefined;
  readonly limits?: UpstreamLimits | undefined;
  /** It is never asked, or is although `Config.offline`. Absent: as that says. */
  readonly offline?: boolean | undefined;
  /** What its blobs may take of the cache: bytes, or a share of what the cache may take. Absent: no bound of its own. */
  readonly maxSize?: { readonly bytes: number } | { readonly share: number } | undefined;
  /** In the order to be tried before `url`. */
  readonly mirrors?: readonly MirrorConfig[] | undefined;
  /** Absent: all repositories. */
  readonly allow?: readonly RepositoryPattern[] | undefined;
  /** Outranks `allow`. */
  readonly deny?: readonly RepositoryPattern[] | undefined;
  readonly repositories?: readonly RepositoryConfig[] | undefined;
  readonly tagTtlMs: number;
  readonly maxStaleMs: number;
}

const DOCKER_HUB = 'docker.io';

/** The file's upstreams in its order, checked one by one and against each other. */
export function upstreamsFrom(file: FileConfig, surroundings: Surroundings): readonly UpstreamConfig[] {
  const { problems } = surroundings;
  const written = Object.entries(file.upstreams);
  const chosen = written.some(([, upstream]) => upstream.default === true);
  const proxy = defaultProxy(file.proxy, surroundings);
  const upstreams = written.map(([name, upstream]) => {
    checkName(name, problems);
    return upstreamFrom(
      name,
      { ...upstream, default: upstream.default ?? (name === DOCKER_HUB && !chosen) },
      { file, proxy },
      surroundings,
    );
  });
  const defaults = upstreams.filter((upstream) => upstream.default).map(({ name }) => name);
  for (const name of defaults.slice(1)) {
    problems.add(
      ['upstreams', name, 'default'],
      `only one upstream can be the default, and ${defaults[0]} is`,
      true,
    );
  }
  checkUnique(upstreams, 'prefixes', problems);
  checkUnique(upstreams, 'hosts', problems);
  return upstreams;
}

function upstreamFrom(
  name: string,
  written: FileUpstream & { readonly default: boolean },
  { file, proxy: fallback }: { readonly file: FileConfig; readonly proxy: ProxyConfig | undefined },
  surroundings: Surroundings,
): UpstreamConfig {
  const path = ['upstreams', name];
  const url = written.url ?? knownRegistry(name)?.url ?? urlOf(name);
  const proxy =
    written.proxy === undefined ? fallback : proxyFrom(written.proxy, [...path, 'proxy'], surroundings);
  const profile = profileFor({ name, url }, written.profile);
  const pullsPerSecond = rateOf(profile, written.auth !== undefined);
  const tls = tlsFrom({ tls: written.tls, url }, [...path, 'tls'], surroundings);
  const hasShortNames = profile.hubNames;
  const mirrors = mirrorsFrom(written.mirrors, [...path, 'mirrors'], { name, surroundings });
  const repositories = repositoriesFrom(written.repositories, [...path, 'repositories'], {
    hasShortNames,
    surroundings,
  });
  const { allow, deny } = written;
  const limits = { ...(pullsPerSecond !== undefined && { pullsPerSecond }), ...written.limits };
  const long = (pattern: RepositoryPattern): RepositoryPattern => longPattern(pattern, hasShortNames);
  return {
    name,
    url,
    default: written.default,
    prefixes: written.prefixes ?? defaultPrefixes(name),
    hosts: written.hosts,
    trustedHosts: written.trustedHosts,
    ...(tls && { tls }),
    ...(proxy && { proxy }),
    profile,
    ...(Object.keys(limits).length > 0 && { limits }),
    ...(written.offline !== undefined && { offline: written.offline }),
    ...(written.maxSize && { maxSize: written.maxSize }),
    ...(mirrors.length > 0 && { mirrors }),
    ...(allow && { allow: allow.map(long) }),
    ...(deny.length > 0 && { deny: deny.map(long) }),
    ...rulesFrom(written, path, surroundings),
    tagTtlMs: written.tagTtl ?? file.cache.tagTtl,
    maxStaleMs: written.maxStale ?? file.cache.maxStale,
    ...(repositories.length > 0 && { repositories }),
  };
}

/** A name that is no host is a problem already; what else is wrong is looked for all the same. */
function urlOf(name: string): string {
  const url = `https://${name}`;
  return URL.canParse(url) ? url : 'https://invalid.';
}

function defaultPrefixes(name: string): readonly string[] {
  return [name, ...(knownRegistry(name)?.aliases ?? [])].filter(isPrefix);
}

function checkName(name: string, problems: Problems): void {
  const path = ['upstreams', name];
  if (parseHost(name) === undefined || !URL.canParse(`https://${name}`))
    problems.add(path, 'an upstream is named by its registry host: host or host:port');
  // What a client may ask for must not be an upstream of its own.
  if (knownRegistry(DOCKER_HUB)?.aliases?.includes(name.toLowerCase()) === true) {
    problems.add(path, 'this is Docker Hub, which is configured as docker.io');
  }
}

function checkUnique(
  upstreams: readonly UpstreamConfig[],
  key: 'prefixes' | 'hosts',
  problems: Problems,
): void {
  const owners = new Map<string, string>();
  for (const upstream of upstreams) {
    for (const value of upstream[key]) {
      const owner = owners.get(value);
      if (owner !== undefined) {
        const whose = owner === upstream.name ? 'is listed twice' : `already names the upstream ${owner}`;
        problems.add(['upstreams', upstream.name, key], whose, value);
      }
      owners.set(value, owner ?? upstream.name);
    }
  }
}
