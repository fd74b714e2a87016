import { FORBIDDEN_IN_PASSWORDS } from '../../config-auth.ts';
import type { Credential } from './credential-source.ts';

/** The parts of docker's `config.json` and podman's `auth.json` that name credentials; keys are normalised. */
export interface DockerConfig {
  /** `undefined`: the entry is malformed. */
  readonly auths: ReadonlyMap<string, Credential | undefined>;
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore: string | undefined;
}

/** One place to look for the credentials of a repository, in the order they are tried. */
export type DockerConfigEntry =
  | { readonly kind: 'credential'; readonly key: string; readonly credential: Credential | undefined }
  | { readonly kind: 'helper'; readonly key: string; readonly helper: string; readonly server: string };

const HUB_NAMES: readonly string[] = ['docker.io', 'index.docker.io', 'registry-1.docker.io'];
/** What docker calls Docker Hub in its file and towards helpers. */
const HUB_SERVER = 'https://index.docker.io/v1/';
/** The user that docker stores an identity token under. */
const TOKEN_USER = '<token>';
const HELPER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

/** `undefined`: it is not such a file. */
export function parseDockerConfig(text: string): DockerConfig | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(json)) return undefined;
  const { auths = {}, credHelpers = {}, credsStore = '' } = json;
  if (!isRecord(auths) || !isRecord(credHelpers) || typeof credsStore !== 'string') return undefined;
  const found = new Map<string, Credential | undefined>();
  // Keys as they are written today after those of old, which they outrank.
  const entries = Object.entries(auths).toSorted(
    ([one], [other]) => Number(isUrl(other)) - Number(isUrl(one)),
  );
  for (const [key, entry] of entries) {
    const credential = credentialOf(entry);
    if (credential !== 'none')
      found.set(normalised(key), credential === 'malformed' ? undefined : credential);
  }
  const helpers = new Map<string, string>();
  for (const [key, name] of Object.entries(credHelpers)) {
    if (typeof name !== 'string' || !HELPER_NAME.test(name)) return undefined;
    helpers.set(normalised(key), name);
  }
  if (credsStore !== '' && !HELPER_NAME.test(credsStore)) return undefined;
  return { auths: found, credHelpers: helpers, credsStore: credsStore === '' ? undefined : credsStore };
}

/**
 * Where the credentials of a repository may be, the most specific key first: `host/a/b`, `host/a`, `host`; for each the
 * helper of its own, for the host the store, then the file.
 * @param host `host[:port]`
 */
export function entriesFor(
  config: DockerConfig,
  host: string,
  repository: string,
): readonly DockerConfigEntry[] {
  const names = HUB_NAMES.includes(host) ? HUB_NAMES : [host.toLowerCase()];
  const segments = repository.split('/');
  const entries: DockerConfigEntry[] = [];
  for (let length = segments.length; length >= 0; length -= 1) {
    const path = segments
      .slice(0, length)
      .map((segment) => `/${segment}`)
      .join('');
    for (const name of names) {
      const helper = config.credHelpers.get(name + path);
      const server = length === 0 ? serverFor(host) : name + path;
      if (helper !== undefined)
        entries.push({ kind: 'helper', key: `credHelpers.${name}${path}`, helper, server });
    }
    if (length === 0 && config.credsStore !== undefined)
      entries.push({ kind: 'helper', key: 'credsStore', helper: config.credsStore, server: serverFor(host) });
    for (const name of names) {
      const key = name + path;
      if (config.auths.has(key))
        entries.push({ kind: 'credential', key: `auths.${key}`, credential: config.auths.get(key) });
    }
  }
  return entries;
}

/** What a credential helper knows the registry by. */
export function serverFor(host: string): string {
  return HUB_NAMES.includes(host) ? HUB_SERVER : host;
}

/** A user name and password, or what docker writes in their place; `undefined`: they hold what neither may. */
export function userCredential(username: string, password: string): Credential | undefined {
  if (/\p{Cc}/u.test(username) || FORBIDDEN_IN_PASSWORDS.test(password)) return undefined;
  return username === TOKEN_USER
    ? { kind: 'identity-token', token: password }
    : { kind: 'basic', username, password };
}

function isUrl(key: string): boolean {
  return /^https?:\/\//i.test(key);
}

/** `https://host/v1/` and `host/v1/` are what docker once wrote for `host`. */
function normalised(key: string): string {
  const bare = key.replace(/^https?:\/\//i, '').replace(/\/+$/, '');
  const slash = bare.indexOf('/');
  const host = (slash === -1 ? bare : bare.slice(0, slash)).toLowerCase();
  if (slash === -1 || isUrl(key) || /^\/v[12]$/.test(bare.slice(slash))) return host;
  return host + bare.slice(slash);
}

/** `none`: an empty entry, which docker writes where a store has the secret. */
function credentialOf(entry: unknown): Credential | 'none' | 'malformed' {
  if (!isRecord(entry)) return 'malformed';
  const texts: Record<string, string> = {};
  for (const key of ['auth', 'username', 'password', 'identitytoken', 'registrytoken']) {
    const value = entry[key] ?? '';
    if (typeof value !== 'string') return 'malformed';
    texts[key] = value;
  }
  const { auth = '', username = '', password = '', identitytoken = '', registrytoken = '' } = texts;
  if (identitytoken !== '')
    return isHeaderSafe(identitytoken) ? { kind: 'identity-token', token: identitytoken } : 'malformed';
  if (registrytoken !== '')
    return isHeaderSafe(registrytoken) ? { kind: 'bearer', token: registrytoken } : 'malformed';
  if (auth === '') return username === '' ? 'none' : (userCredential(username, password) ?? 'malformed');
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(auth)) return 'malformed';
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = text.indexOf(':');
  if (colon < 1) return 'malformed';
  return userCredential(text.slice(0, colon), text.slice(colon + 1)) ?? 'malformed';
}

function isHeaderSafe(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
