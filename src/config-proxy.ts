import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { Environment } from './config-file.ts';
import { readText } from './config-file-text.ts';
import type { FileProxy } from './config-schema-proxy.ts';
import { secretFrom, type Surroundings } from './config-secret.ts';
import { HOST } from './config-text.ts';

export interface ProxyServer {
  /** `socks5:`: names are resolved here; by all others, at the proxy. */
  readonly protocol: 'http:' | 'https:' | 'socks5:' | 'socks5h:';
  /** Without the brackets of an IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** PEM text: what an https proxy is checked with, in place of the system's authorities. */
  readonly ca?: string | undefined;
  /** Where it is configured, for messages: a key, or the name of an environment variable. */
  readonly keyPath: string;
}

/** By which proxy an upstream's hosts are reached. */
export interface ProxyConfig {
  /** For http:// addresses; absent: none. */
  readonly http?: ProxyServer | undefined;
  /** For https:// addresses; absent: none. */
  readonly https?: ProxyServer | undefined;
  /**
   * What is reached without: `host` (with its subdomains), `.domain` (subdomains only), an address, a CIDR, any of the
   * first three with `:port`, or `*`. Lower case.
   */
  readonly noProxy: readonly string[];
  /** True: what is on this machine is reached without (what the environment says is meant so). */
  readonly sparesLoopback: boolean;
}

const URL_ERROR =
  'accepted is http://, https://, socks5:// or socks5h:// with host:port, and none for no proxy';
const DEFAULT_PORTS = { 'http:': 80, 'https:': 443, 'socks5:': 1080, 'socks5h:': 1080 } as const;
const NO_PROXY =
  /^(?:\*|\*?\.?[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?(?::\d{1,5})?|\[[0-9a-f:.]+\](?::\d{1,5})?|[0-9a-f:.]+(?:\/\d{1,3})?)$/;

/** What the top-level key says, else the environment. `undefined`: no proxy. */
export function defaultProxy(
  written: FileProxy | undefined,
  surroundings: Surroundings,
): ProxyConfig | undefined {
  return written === undefined
    ? proxyFromEnvironment(surroundings)
    : proxyFrom(written, ['proxy'], surroundings);
}

/** @param path the key path of `proxy`. `undefined`: none. */
export function proxyFrom(
  written: FileProxy,
  path: readonly string[],
  surroundings: Surroundings,
): ProxyConfig | undefined {
  const { problems } = surroundings;
  const plain = typeof written === 'string';
  if (written === 'none') return undefined;
  const server = parseProxy(plain ? written : written.url, path.join('.'));
  if (server === undefined) {
    // Not quoted: it may hold a password.
    problems.add(plain ? path : [...path, 'url'], URL_ERROR);
    return undefined;
  }
  if (plain) return { http: server, https: server, noProxy: [], sparesLoopback: false };
  const username = secretFrom(written, 'username', path, surroundings) ?? server.username;
  const password = secretFrom(written, 'password', path, surroundings) ?? server.password;
  if (password !== undefined && username === undefined)
    problems.addDerived([...path, 'username'], 'is missing: password needs it');
  for (const [key, value] of Object.entries({ username, password })) {
    if (/\p{Cc}/u.test(value ?? ''))
      problems.addDerived([...path, key], 'must not hold line breaks or control characters');
  }
  if (username?.includes(':') === true && server.protocol.startsWith('http'))
    problems.addDerived([...path, 'username'], 'must not hold a colon');
  const ca = written.ca === undefined ? undefined : authorityFrom(written.ca, [...path, 'ca'], surroundings);
  if (written.ca !== undefined && server.protocol !== 'https:')
    problems.addDerived([...path, 'ca'], 'has a meaning for an https:// proxy only', written.ca);
  const noProxy = written.noProxy.map((entry) => entry.toLowerCase());
  for (const [at, entry] of noProxy.entries()) {
    if (!NO_PROXY.test(entry) || hasWrongPrefix(entry))
      problems.add(
        [...path, 'noProxy', String(at)],
        'accepted is host, .domain, an address, a CIDR, any but the last with :port, or *',
        entry,
      );
  }
  const full = { ...server, username, password, ca };
  return { http: full, https: full, noProxy, sparesLoopback: false };
}

/**
 * HTTP_PROXY for http:// addresses, HTTPS_PROXY for https:// ones, ALL_PROXY for those without one; NO_PROXY. The
 * lower-case variables win, and an empty one is as good as absent.
 */
function proxyFromEnvironment({ environment, problems }: Surroundings): ProxyConfig | undefined {
  const server = (...names: readonly string[]): ProxyServer | undefined => {
    const [name, value] = firstOf(environment, names);
    if (name === undefined || value === undefined) return undefined;
    const parsed = parseProxy(value, name);
    if (parsed === undefined) problems.addDerived([name], URL_ERROR);
    return parsed;
  };
  const http = server('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY');
  const https = server('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY');
  if (http === undefined && https === undefined) return undefined;
  const [, list = ''] = firstOf(environment, ['no_proxy', 'NO_PROXY']);
  // What is meant for other programs in it (a glob, a range of their own) is no fault of this one.
  const noProxy = list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => NO_PROXY.test(entry) && !hasWrongPrefix(entry));
  return { http, https, noProxy, sparesLoopback: true };
}

/** Of what looks like a CIDR: it holds no address, or more bits than one has. */
function hasWrongPrefix(entry: string): boolean {
  const [, network = '', bits] = /^([\da-f:.]+)\/(\d+)$/.exec(entry) ?? [];
  if (bits === undefined) return false;
  const family = isIP(network);
  return family === 0 || Number(bits) > (family === 4 ? 32 : 128);
}

function firstOf(
  environment: Environment,
  names: readonly string[],
): readonly [name?: string, value?: string | undefined] {
  const name = names.find((candidate) => (environment[candidate] ?? '').trim() !== '');
  return name === undefined ? [] : [name, environment[name]?.trim()];
}

/** `host:port` alone means http. User name and password stand in it percent-encoded. */
function parseProxy(text: string, keyPath: string): ProxyServer | undefined {
  const whole = /^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  if (!URL.canParse(whole)) return undefined;
  const { protocol, hostname, port, username, password, pathname, search, hash } = new URL(whole);
  if (
    !isProtocol(protocol) ||
    !HOST.test(hostname) ||
    !/^\/?$/.test(pathname) ||
    search !== '' ||
    hash !== ''
  )
    return undefined;
  const [user, secret] = [username, password].map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return '\n';
    }
  });
  // A line break would end a header.
  if (/\p{Cc}/u.test(`${user}${secret}`)) return undefined;
  return {
    protocol,
    host: hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase(),
    port: port === '' ? DEFAULT_PORTS[protocol] : Number(port),
    ...(user !== '' && { username: user, password: secret }),
    keyPath,
  };
}

function isProtocol(text: string): text is ProxyServer['protocol'] {
  return Object.hasOwn(DEFAULT_PORTS, text);
}

function authorityFrom(
  file: string,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): string | undefined {
  const text = readText(resolve(baseDir, file), 1024 * 1024);
  if ('reason' in text) {
    problems.add(path, `cannot be read: ${text.reason}`, file);
    return undefined;
  }
  try {
    if (!text.content.includes('-----BEGIN ')) throw new Error('no PEM');
    createSecureContext({ ca: text.content });
    return text.content;
  } catch {
    problems.add(path, 'names a file without a usable PEM certificate', file);
    return undefined;
  }
}
