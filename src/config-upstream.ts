import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { readText } from './config-file.ts';
import type { Problems } from './config-problem.ts';
import type { FileConfig, FileUpstream } from './config-schema.ts';
import { HOST, isPrefix } from './config-text.ts';

export interface BasicAuth {
  readonly username: string;
  readonly password: string;
}

export interface UpstreamTls {
  /** PEM text, in place of the system's authorities. */
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** True: certificates are not checked. */
  readonly insecure: boolean;
}

export interface UpstreamConfig {
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
  readonly auth?: BasicAuth | undefined;
  readonly tls?: UpstreamTls | undefined;
  readonly tagTtlMs: number;
  readonly maxStaleMs: number;
}

const DOCKER_HUB = 'docker.io';
/** Docker Hub's other names: what a client may ask for, and what must not be configured as an upstream of its own. */
const DOCKER_HUB_ALIASES: readonly string[] = ['index.docker.io', 'registry-1.docker.io'];
const SECRET_BYTES_LIMIT = 64 * 1024;

/** What reading a configuration needs besides its text. */
export interface Surroundings {
  /** What relative paths in the file are relative to. */
  readonly baseDir: string;
  readonly problems: Problems;
}

/** The file's upstreams in its order, checked one by one and against each other. */
export function upstreamsFrom(file: FileConfig, surroundings: Surroundings): readonly UpstreamConfig[] {
  const { problems } = surroundings;
  const written = Object.entries(file.upstreams);
  const chosen = written.some(([, upstream]) => upstream.default === true);
  const upstreams = written.map(([name, upstream]) => {
    checkName(name, problems);
    return upstreamFrom(
      name,
      { ...upstream, default: upstream.default ?? (name === DOCKER_HUB && !chosen) },
      file,
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
  file: FileConfig,
  surroundings: Surroundings,
): UpstreamConfig {
  const path = ['upstreams', name];
  const url = written.url ?? (name === DOCKER_HUB ? 'https://registry-1.docker.io' : `https://${name}`);
  const auth = authFrom(written, [...path, 'auth'], surroundings);
  const tls = tlsFrom(written, [...path, 'tls'], surroundings);
  if (tls !== undefined && url.startsWith('http:')) {
    surroundings.problems.addDerived(
      [...path, 'tls'],
      'has no meaning for an http:// url; accepted with https:// only',
    );
  }
  return {
    name,
    url,
    default: written.default,
    prefixes: written.prefixes ?? defaultPrefixes(name),
    hosts: written.hosts,
    trustedHosts: written.trustedHosts,
    ...(auth && { auth }),
    ...(tls && { tls }),
    tagTtlMs: written.tagTtl ?? file.cache.tagTtl,
    maxStaleMs: written.maxStale ?? file.cache.maxStale,
  };
}

function defaultPrefixes(name: string): readonly string[] {
  if (name === DOCKER_HUB) return [DOCKER_HUB, ...DOCKER_HUB_ALIASES];
  return isPrefix(name) ? [name] : [];
}

function checkName(name: string, problems: Problems): void {
  const path = ['upstreams', name];
  if (!HOST.test(name)) problems.add(path, 'an upstream is named by its registry host: host or host:port');
  if (DOCKER_HUB_ALIASES.includes(name.toLowerCase())) {
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

function authFrom(
  { auth }: FileUpstream,
  path: readonly string[],
  surroundings: Surroundings,
): BasicAuth | undefined {
  if (auth === undefined) return undefined;
  const username = secretFrom(auth, 'username', path, surroundings);
  const password = secretFrom(auth, 'password', path, surroundings);
  const { problems } = surroundings;
  if (username === undefined)
    problems.addDerived([...path, 'username'], 'is missing; username or usernameFile gives it');
  if (password === undefined)
    problems.addDerived([...path, 'password'], 'is missing; password or passwordFile gives it');
  // RFC 7617 §2: the first colon ends the user name.
  if (username?.includes(':') === true)
    problems.add([...path, 'username'], 'must not hold a colon', username);
  for (const [key, value] of Object.entries({ username, password })) {
    if (/\p{Cc}/u.test(value ?? ''))
      problems.add([...path, key], 'must not hold line breaks or control characters');
  }
  return username === undefined || password === undefined ? undefined : { username, password };
}

/** A value that stands in the file as `key`, or in a file of its own that `keyFile` names; line ends are taken off. */
export function secretFrom<Key extends string>(
  written: { readonly [name in Key | `${Key}File`]?: string | undefined },
  key: Key,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): string | undefined {
  const fileKey: `${Key}File` = `${key}File`;
  const plain: string | undefined = written[key];
  const file: string | undefined = written[fileKey];
  if (file === undefined) return plain;
  if (plain !== undefined) {
    problems.add([...path, fileKey], `only one of ${key} and ${fileKey} is accepted`, file);
    return plain;
  }
  const text = readText(resolve(baseDir, file), SECRET_BYTES_LIMIT);
  const secret = 'content' in text ? text.content.replace(/[\r\n]+$/, '') : '';
  const fault = 'reason' in text ? `cannot be read: ${text.reason}` : 'names an empty file';
  if (secret === '') problems.add([...path, fileKey], fault, file);
  return secret === '' ? undefined : secret;
}

function tlsFrom(
  { tls }: FileUpstream,
  path: readonly string[],
  surroundings: Surroundings,
): UpstreamTls | undefined {
  if (tls === undefined) return undefined;
  const { problems } = surroundings;
  const [ca, cert, key] = (['ca', 'cert', 'key'] as const).map((name) => {
    const file = tls[name];
    return file === undefined ? undefined : pemFrom(file, [...path, name], surroundings);
  });
  if (tls.cert !== undefined && tls.key === undefined)
    problems.addDerived([...path, 'key'], 'is missing: cert needs it');
  if (tls.key !== undefined && tls.cert === undefined)
    problems.addDerived([...path, 'cert'], 'is missing: key needs it');
  if (ca !== undefined && tls.insecure)
    problems.addDerived([...path, 'insecure'], 'makes ca meaningless; accepted is one of them', true);
  try {
    createSecureContext({ ca, cert, key });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    problems.addDerived(path, `its files do not make a usable certificate and key (${code})`);
  }
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    insecure: tls.insecure,
  };
}

function pemFrom(
  file: string,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): string | undefined {
  if (file.includes('-----BEGIN')) {
    problems.add(path, 'is PEM text; accepted is the path of a file that holds it');
    return undefined;
  }
  const text = readText(resolve(baseDir, file), 1024 * 1024);
  if ('reason' in text) problems.add(path, `cannot be read: ${text.reason}`, file);
  else if (text.content.includes('-----BEGIN ')) return text.content;
  else problems.add(path, 'names a file without PEM text', file);
  return undefined;
}
