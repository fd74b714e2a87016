import { resolve } from 'node:path';
import { knownRegistry } from './config-profile.ts';
import type { FileAuth } from './config-schema-auth.ts';
import type { Surroundings } from './config-secret.ts';

/** As text, or the absolute path of the file that holds it, which is read again whenever it changes. */
export type Secret = string | { readonly file: string };

export interface BasicAuth {
  readonly username: Secret;
  readonly password: Secret;
}

export interface EcrAuth {
  readonly region?: string | undefined;
  readonly registryId?: string | undefined;
  readonly profile?: string | undefined;
  readonly public?: boolean | undefined;
  readonly endpoint?: string | undefined;
}

export interface GoogleAuthSettings {
  /** Absolute. */
  readonly keyFile?: string | undefined;
}

/** A service principal has a tenant, an id, and one of the two secrets; a managed identity has an id at most. */
export interface AzureAuth {
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
  /** Absolute. */
  readonly federatedTokenFile?: string | undefined;
  readonly endpoint?: string | undefined;
}

/** Credentials for a registry, or where they come from: `auth`, wherever it stands in the configuration. */
export type AuthConfig =
  | BasicAuth
  /** Sent as `Authorization: Bearer`. */
  | { readonly token: Secret }
  /** An OAuth2 refresh token. */
  | { readonly identityToken: Secret }
  /** The absolute path of docker's config.json or podman's auth.json. */
  | { readonly dockerConfig: string }
  /** The NAME of docker-credential-NAME. */
  | { readonly helper: string }
  | { readonly ecr: EcrAuth }
  | { readonly google: GoogleAuthSettings }
  | { readonly azure: AzureAuth };

/** What makes up each kind, and how it is called in messages. */
const KINDS: Readonly<Record<string, readonly (keyof FileAuth)[]>> = {
  'username and password': ['username', 'usernameFile', 'password', 'passwordFile'],
  token: ['token', 'tokenFile'],
  identityToken: ['identityToken', 'identityTokenFile'],
  dockerConfig: ['dockerConfig'],
  helper: ['helper'],
  ecr: ['ecr'],
  google: ['google'],
  azure: ['azure'],
};
const KIND_NAMES = Object.keys(KINDS).join(', ');

/** @param path the key path of `auth` */
export function authFrom(
  auth: FileAuth | undefined,
  path: readonly string[],
  surroundings: Surroundings,
): AuthConfig | undefined {
  if (auth === undefined) return undefined;
  const { baseDir, problems } = surroundings;
  const kinds = Object.keys(KINDS).filter((kind) => KINDS[kind]?.some((key) => auth[key] !== undefined));
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? 'is empty' : `has ${kinds.join(', and ')}`;
    problems.addDerived(path, `${found}; accepted is exactly one of ${KIND_NAMES}`);
    return undefined;
  }
  if (auth.dockerConfig !== undefined) return { dockerConfig: resolve(baseDir, auth.dockerConfig) };
  if (auth.helper !== undefined) return { helper: auth.helper };
  if (auth.ecr !== undefined) return { ecr: auth.ecr };
  if (auth.google !== undefined) {
    const { keyFile } = auth.google;
    return { google: keyFile === undefined ? {} : { keyFile: resolve(baseDir, keyFile) } };
  }
  if (auth.azure !== undefined) return azureFrom(auth.azure, [...path, 'azure'], surroundings);
  const token = secret(auth, 'token', path, surroundings);
  if (token !== undefined) return { token };
  const identityToken = secret(auth, 'identityToken', path, surroundings);
  if (identityToken !== undefined) return { identityToken };
  return kinds[0] === 'username and password' ? basicFrom(auth, path, surroundings) : undefined;
}

/** Control characters but for those of text. */
export const FORBIDDEN_IN_PASSWORDS = /[^\P{Cc}\t\r\n]/u;

/** What is wrong with a secret under `key`, in a file too, whenever it is read; `undefined`: nothing. */
export function secretFault(key: string, text: string): string | undefined {
  if (text === '') return 'must not be empty';
  // A password may be a whole JSON key (Google's user `_json_key`), with its line breaks.
  if (key === 'password' && /[\r\n]/.test(text) && !/^\s*\{[^]*\}\s*$/.test(text))
    return 'must not hold line breaks, unless it is a whole JSON key';
  const forbidden = key === 'password' ? FORBIDDEN_IN_PASSWORDS : /\p{Cc}/u;
  if (forbidden.test(text))
    return key === 'password'
      ? 'must not hold control characters'
      : 'must not hold line breaks or control characters';
  // RFC 7617 §2: the first colon ends the user name.
  if (key === 'username' && text.includes(':')) return 'must not hold a colon';
  if (key === 'token' && !/^[\x21-\x7e]+$/.test(text)) return 'must be printable ASCII without spaces';
  return undefined;
}

function basicFrom(
  auth: FileAuth,
  path: readonly string[],
  surroundings: Surroundings,
): BasicAuth | undefined {
  const username = secret(auth, 'username', path, surroundings);
  const password = secret(auth, 'password', path, surroundings);
  const { problems } = surroundings;
  for (const key of ['username', 'password'] as const) {
    if (auth[key] === undefined && auth[`${key}File`] === undefined)
      problems.addDerived([...path, key], `is missing; ${key} or ${key}File gives it${usual(key, path)}`);
  }
  return username === undefined || password === undefined ? undefined : { username, password };
}

/** Under `upstreams.<name>`: the user name that this registry's kind of password goes with, where there is one. */
function usual(key: string, [, name = '']: readonly string[]): string {
  const username = key === 'username' ? knownRegistry(name)?.facts.username : undefined;
  return username === undefined ? '' : `; at ${name} it is usually ${username}`;
}

function azureFrom(
  azure: NonNullable<FileAuth['azure']>,
  path: readonly string[],
  surroundings: Surroundings,
): AuthConfig {
  const { baseDir, problems } = surroundings;
  const { tenantId, clientId, endpoint } = azure;
  const clientSecret = secret(azure, 'clientSecret', path, surroundings);
  const federatedTokenFile =
    azure.federatedTokenFile === undefined ? undefined : resolve(baseDir, azure.federatedTokenFile);
  const secretKeys = (['clientSecret', 'clientSecretFile', 'federatedTokenFile'] as const).filter(
    (key) => azure[key] !== undefined,
  );
  if (federatedTokenFile !== undefined && secretKeys.length > 1)
    problems.addDerived([...path, 'federatedTokenFile'], `only one of it and ${secretKeys[0]} is accepted`);
  for (const [key, value] of Object.entries({ tenantId, clientId })) {
    if (secretKeys.length > 0 && value === undefined)
      problems.addDerived([...path, key], `is missing: ${secretKeys[0]} needs it`);
  }
  if (secretKeys.length === 0 && tenantId !== undefined) {
    const message = 'has no meaning for a managed identity; a service principal needs clientSecret as well';
    problems.addDerived([...path, 'tenantId'], message, tenantId);
  }
  return {
    azure: {
      ...(tenantId !== undefined && { tenantId }),
      ...(clientId !== undefined && { clientId }),
      ...(clientSecret !== undefined && { clientSecret }),
      ...(federatedTokenFile !== undefined && { federatedTokenFile }),
      ...(endpoint !== undefined && { endpoint }),
    },
  };
}

/** A file is not looked at: what is wrong with it is its upstream's trouble, and must not keep the others from starting. */
function secret<Key extends string>(
  written: { readonly [name in Key | `${Key}File`]?: string | undefined },
  key: Key,
  path: readonly string[],
  { baseDir, problems }: Surroundings,
): Secret | undefined {
  const fileKey: `${Key}File` = `${key}File`;
  const plain: string | undefined = written[key];
  const file: string | undefined = written[fileKey];
  if (plain !== undefined && file !== undefined)
    problems.add([...path, fileKey], `only one of ${key} and ${fileKey} is accepted`, file);
  if (plain === undefined) return file === undefined ? undefined : { file: resolve(baseDir, file) };
  const fault = secretFault(key, plain);
  if (fault !== undefined) problems.add([...path, key], fault);
  return plain;
}
