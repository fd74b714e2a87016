import type { Clock } from '../../clock.ts';
import type { AuthConfig, Secret, UpstreamConfig } from '../../config.ts';
import type { CredentialPlace } from './credential-place.ts';
import { entriesFor } from './docker-config.ts';
import { dockerConfigFile } from './docker-config-source.ts';
import { googleKeyFile } from './google-source.ts';
import { isHelperOnPath } from './helper-program.ts';
import { SecretReader } from './secret-source.ts';

/** Sentences without secrets, each with the upstream and the key. */
export interface CredentialFindings {
  /** Files of secrets that cannot be used. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

export interface InspectionOptions {
  readonly clock: Clock;
  /** The variable PATH, where programs are looked for. */
  readonly path: string;
}

interface Found extends InspectionOptions {
  readonly place: CredentialPlace;
  /** `host[:port]` of the registry. */
  readonly host: string;
  readonly problems: string[];
  readonly warnings: string[];
}

/**
 * Looks at every file and for every program that the credentials of the upstreams and their mirrors name. Reads files,
 * runs and asks nobody.
 * @throws the signal's reason
 */
export async function inspectCredentials(
  upstreams: readonly UpstreamConfig[],
  { clock, path }: InspectionOptions,
  signal: AbortSignal,
): Promise<CredentialFindings> {
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const { name, url, auth, repositories = [], mirrors = [] } of upstreams) {
    const places = [
      { key: '', url, auth },
      ...repositories.map((rules) => ({ key: `repositories.${rules.pattern.text}.`, url, auth: rules.auth })),
      ...mirrors.map((mirror, at) => ({ key: `mirrors.${at}.`, url: mirror.url, auth: mirror.auth })),
    ];
    for (const { key, url: base, auth: own } of places) {
      if (own === undefined) continue;
      const place = { upstreamName: name, keyPath: `upstreams.${name}.${key}auth` };
      await inspect(own, { place, clock, path, host: new URL(base).host, problems, warnings }, signal);
    }
  }
  return { problems, warnings };
}

async function inspect(auth: AuthConfig, found: Found, signal: AbortSignal): Promise<void> {
  for (const [key, secret] of secretsOf(auth)) {
    if (typeof secret === 'string') continue;
    const reader = new SecretReader(key, secret, { ...found, ...reportsTo(found.warnings) });
    await attempt(async () => reader.text(signal), found.problems, signal);
    reader.close();
  }
  if ('google' in auth && auth.google.keyFile !== undefined) {
    const file = googleKeyFile(auth.google.keyFile, { ...found, ...reportsTo(found.warnings) });
    await attempt(async () => file.value(signal), found.problems, signal);
    file.close();
  }
  if ('helper' in auth) await inspectHelper(auth.helper, 'helper', found);
  if ('dockerConfig' in auth) await inspectDockerConfig(auth.dockerConfig, found, signal);
}

function secretsOf(auth: AuthConfig): readonly (readonly [key: string, secret: Secret])[] {
  if ('username' in auth)
    return [
      ['username', auth.username],
      ['password', auth.password],
    ];
  if ('token' in auth) return [['token', auth.token]];
  if ('identityToken' in auth) return [['identityToken', auth.identityToken]];
  if (!('azure' in auth)) return [];
  const { clientSecret, federatedTokenFile } = auth.azure;
  if (clientSecret !== undefined) return [['azure.clientSecret', clientSecret]];
  return federatedTokenFile === undefined ? [] : [['azure.federatedToken', { file: federatedTokenFile }]];
}

async function inspectDockerConfig(file: string, found: Found, signal: AbortSignal): Promise<void> {
  const watched = dockerConfigFile({ ...found, path: file, ...reportsTo(found.warnings) });
  const config = await attempt(async () => watched.value(signal), found.warnings, signal);
  watched.close();
  if (config === undefined) return;
  for (const entry of entriesFor(config, found.host, ''))
    if (entry.kind === 'helper') await inspectHelper(entry.helper, `dockerConfig: its ${entry.key}`, found);
}

async function inspectHelper(name: string, key: string, { place, path, warnings }: Found): Promise<void> {
  if (await isHelperOnPath(name, path)) return;
  warnings.push(`${place.keyPath}.${key} names docker-credential-${name}, which is not on the PATH`);
}

function reportsTo(warnings: string[]) {
  return {
    warn: (key: string, problem: string) => void warnings.push(`${key}: ${problem}`),
    // Whoever reads is told as well.
    unusable: () => undefined,
  };
}

/** What it gives; `undefined` when it failed, which is then among `failures`. */
async function attempt<Value>(
  read: () => Promise<Value>,
  failures: string[],
  signal: AbortSignal,
): Promise<Value | undefined> {
  try {
    return await read();
  } catch (error) {
    signal.throwIfAborted();
    failures.push(error instanceof Error ? error.message : 'unknown');
    return undefined;
  }
}
