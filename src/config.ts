import { dirname, resolve } from 'node:path';
import type { z } from 'zod';
import type { Bandwidth } from './config-bandwidth.ts';
import { type Environment, readConfigFile } from './config-file.ts';
import { isLoopback, type ListenerConfig, listenersFrom } from './config-listen.ts';
import { nearest, Problems } from './config-problem.ts';
import { type FileConfig, fileSchema, knownKeys } from './config-schema.ts';
import { expandProfiles } from './config-profile.ts';
import { secretFrom, type Surroundings } from './config-secret.ts';
import { pinsFrom } from './config-pins.ts';
import { schedulesFrom, type WarmSchedule } from './config-warm.ts';
import { type UpstreamConfig, upstreamsFrom } from './config-upstream.ts';
import type { ImagePattern } from './oci/image-pattern.ts';
import type { TracingConfig } from './tracing.ts';

export { ConfigError, type ConfigProblem, printProblem } from './config-problem.ts';
export type { Environment } from './config-file.ts';
export type { AuthConfig, AzureAuth, EcrAuth, GoogleAuthSettings, Secret } from './config-auth.ts';
export { clientListener, type ListenerConfig, type ListenerTls, pairFault } from './config-listen.ts';
export { type ListenAddress, printListen } from './config-text.ts';
export type { ProxyConfig, ProxyServer } from './config-proxy.ts';
export type { RegistryProfile } from './config-profiles.ts';
export type { UpstreamTls } from './config-tls.ts';
export type { MirrorConfig, PullReserve, UpstreamLimits } from './config-mirrors.ts';
export type { RepositoryConfig, RepositoryRules, StaleReaction, StaleReason } from './config-repositories.ts';
export type { WarmSchedule } from './config-warm.ts';
export type { UpstreamConfig } from './config-upstream.ts';

export interface CacheConfig {
  /** Bytes, or a share (0 < share <= 1) of the file system that holds `dataDir`. */
  readonly maxSize: { readonly bytes: number } | { readonly share: number };
  /** Bytes, or a share of that file system, that stay free. */
  readonly minFreeSpace: { readonly bytes: number } | { readonly share: number };
  /** Absent: any. */
  readonly maxBlobBytes?: number | undefined;
  /** Absent: nothing is removed for its age. */
  readonly maxAgeMs?: number | undefined;
  /** A fill that nobody reads any more goes on when no more than this is missing. */
  readonly finishFillBytes: number;
  /** How long a fill goes on without a reader before it is judged. */
  readonly fillLingerMs: number;
  /** Whether whole blobs from the cache are hashed while they are read. */
  readonly verifyOnRead: boolean;
  /** How often all files are verified (absent: never), and at which rate. */
  readonly scrub: { readonly everyMs: number | undefined; readonly bytesPerSecond: number };
  /** Images that are never evicted. */
  readonly pins: readonly ImagePattern[];
}

/** The whole configuration, frozen to its leaves. */
export interface Config {
  /** At least one, in the order they are written; the first is the one that is told to people. */
  readonly listeners: readonly ListenerConfig[];
  /** How many connections one client address may have open at all of them together. */
  readonly connectionsPerClient: number;
  /** Processes that speak with clients; absent or 1: this one alone does everything. */
  readonly workers?: number | 'auto' | undefined;
  /** `http(s)://host[:port]`; absent: nothing is known but `listeners`. */
  readonly publicUrl?: string | undefined;
  readonly admin: { readonly listen: ListenerConfig; readonly token?: string | undefined };
  /** Absolute. */
  readonly dataDir: string;
  readonly cache: CacheConfig;
  /** What is fetched before anybody asks. Absent: nothing. */
  readonly warm?: readonly WarmSchedule[] | undefined;
  /** Absolute paths of the public keys, one of which must have signed what is imported. Absent: whoever wrote it is believed. */
  readonly bundleKeyFiles?: readonly string[] | undefined;
  /** What blobs may come in with, of all upstreams together. Absent: no limit. */
  readonly bandwidth?: Bandwidth | undefined;
  /** No upstream is ever asked but those that say otherwise (`UpstreamConfig.offline`). */
  readonly offline: boolean;
  /** How long pulls in flight may go on after SIGTERM. */
  readonly shutdownGraceMs: number;
  /** What is kept of usage, by days. `keepMs` absent: nothing on disk. */
  readonly usage: { readonly keepMs?: number | undefined };
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    /** Which requests have a line; faults of this program always have one. */
    readonly access: AccessLog;
  };
  /** Absent: nothing is traced. */
  readonly tracing?: TracingConfig | undefined;
  /** At least one, in the order they are written. */
  readonly upstreams: readonly UpstreamConfig[];
}

/** The names of those that are never asked, by configuration. */
export function offlineUpstreams({
  offline,
  upstreams,
}: Pick<Config, 'offline' | 'upstreams'>): readonly string[] {
  return upstreams.filter((upstream) => upstream.offline ?? offline).map(({ name }) => name);
}

/** `misses`: what was not answered by a hit, and errors. */
export type AccessLog = 'all' | 'misses' | 'errors' | 'none';

export interface ConfigSource {
  /** Absent: the one that ENTREPOT_CONFIG names; without either the built-in defaults. */
  readonly file?: string | undefined;
  readonly environment: Environment;
  /** What `file`, ENTREPOT_DATA_DIR and the default `dataDir` are relative to. */
  readonly workingDir: string;
}

/** Variables that stand in for a key; a variable that is empty is as good as absent. */
const VARIABLES: Readonly<Record<string, readonly [string, ...string[]]>> = {
  ENTREPOT_LISTEN: ['listen'],
  ENTREPOT_PUBLIC_URL: ['publicUrl'],
  ENTREPOT_ADMIN_LISTEN: ['admin', 'listen'],
  ENTREPOT_ADMIN_TOKEN: ['admin', 'token'],
  ENTREPOT_DATA_DIR: ['dataDir'],
  ENTREPOT_CACHE_MAX_SIZE: ['cache', 'maxSize'],
  ENTREPOT_OFFLINE: ['offline'],
  ENTREPOT_LOG_LEVEL: ['log', 'level'],
};

/** Names the file where no option does: so that every command in a container finds the server's. */
const FILE_VARIABLE = 'ENTREPOT_CONFIG';

/** What Kubernetes puts into every container beside a Service whose name begins with `entrepot`. */
const SERVICE_LINK =
  /_SERVICE_HOST$|_SERVICE_PORT(?:_[A-Z0-9_]+)?$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/;
const SERVICE_URL = /^(?:tcp|udp|sctp):\/\//;

type Tree = Record<string, unknown>;

/** A configuration, and what it was made of: what is told of it, and compared with the next one. */
export interface LoadedConfig {
  readonly config: Config;
  /** What the keys come to, defaults included. */
  readonly values: FileConfig;
  /** What was written, in the file or as a variable, `${VAR}` put in. Holds secrets. */
  readonly written: Readonly<Record<string, unknown>>;
  /** Keys that variables gave, with the variable's name. */
  readonly variables: ReadonlyMap<string, string>;
  /** Absolute. Absent: there is no file. */
  readonly file?: string | undefined;
}

/** As `readConfig`, the configuration alone. */
export function loadConfig(source: ConfigSource): Config {
  return readConfig(source).config;
}

/**
 * Reads the configuration: built-in defaults < file < environment.
 * @throws ConfigError with every problem there is.
 */
export function readConfig({ file: named, environment, workingDir }: ConfigSource): LoadedConfig {
  const file = named ?? (environment[FILE_VARIABLE] || undefined);
  const set = Object.entries(VARIABLES).filter(([variable]) => (environment[variable] ?? '') !== '');
  const variables = new Map(set.map(([variable, path]) => [path.join('.'), variable]));
  const problems = new Problems(variables);
  checkEnvironment(environment, problems);
  const path = file === undefined ? undefined : resolve(workingDir, file);
  const written = path === undefined ? {} : readConfigFile(path, environment, problems);
  const tree = isTree(written) ? written : {};
  if (written !== undefined && tree !== written)
    problems.add([], 'accepted is a mapping of keys to values', written);
  for (const [variable, key] of set) put(tree, key, environment[variable]);
  const values = validated(tree, problems);

  const baseDir = path === undefined ? workingDir : dirname(path);
  const ownDataDir =
    isTree(written) && written['dataDir'] !== undefined && !set.some(([, [key]]) => key === 'dataDir');
  const config = assembled(values, resolve(ownDataDir ? baseDir : workingDir, values.dataDir), {
    baseDir,
    problems,
    environment,
  });
  problems.throwIfAny();
  return {
    config: frozen(config),
    values,
    written: tree,
    variables,
    ...(path !== undefined && { file: path }),
  };
}

function assembled(values: FileConfig, dataDir: string, surroundings: Surroundings): Config {
  const token = secretFrom(values.admin, 'token', ['admin'], surroundings);
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    surroundings.problems.add(
      ['admin', 'tokenFile'],
      'the token in it must be printable ASCII without spaces',
    );
  }
  const { listeners, admin } = listenersFrom(values, surroundings);
  if (token === undefined && !isLoopback(admin.host)) {
    const message = 'is missing: the admin address is not a loopback one, so token or tokenFile is needed';
    surroundings.problems.addDerived(['admin', 'token'], message);
  }
  const upstreams = upstreamsFrom(values, surroundings);
  return {
    listeners,
    connectionsPerClient: values.connectionsPerClient,
    workers: values.workers,
    ...(values.publicUrl !== undefined && { publicUrl: values.publicUrl }),
    admin: { listen: admin, ...(token !== undefined && { token }) },
    dataDir,
    cache: {
      maxSize: values.cache.maxSize,
      minFreeSpace: values.cache.minFreeSpace,
      ...(values.cache.maxBlobSize !== undefined && { maxBlobBytes: values.cache.maxBlobSize }),
      ...(values.cache.maxAge !== undefined && { maxAgeMs: values.cache.maxAge }),
      finishFillBytes: values.cache.finishFill,
      fillLingerMs: values.cache.fillLinger,
      verifyOnRead: values.cache.verifyOnRead,
      scrub: {
        everyMs: values.cache.scrub.every === 0 ? undefined : values.cache.scrub.every,
        bytesPerSecond: values.cache.scrub.rate,
      },
      pins: pinsFrom(values.cache.pins, upstreams, surroundings.problems),
    },
    ...(values.warm.length > 0 && { warm: schedulesFrom(values.warm, upstreams, surroundings) }),
    ...(values.bundle.publicKeys.length > 0 && {
      bundleKeyFiles: values.bundle.publicKeys.map((file) => resolve(surroundings.baseDir, file)),
    }),
    ...(values.bandwidth !== undefined && { bandwidth: values.bandwidth }),
    offline: values.offline,
    shutdownGraceMs: values.shutdownGrace,
    usage: { keepMs: values.usage.keep === 0 ? undefined : values.usage.keep },
    log: values.log,
    tracing: values.tracing,
    upstreams,
  };
}

function checkEnvironment(environment: Environment, problems: Problems): void {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    const message =
      'would switch off every certificate check; accepted is tls.insecure of the one upstream that needs it';
    problems.add(['NODE_TLS_REJECT_UNAUTHORIZED'], message, '0');
  }
  for (const [variable, value] of Object.entries(environment)) {
    if (!variable.startsWith('ENTREPOT_') || value === undefined) continue;
    if (variable === FILE_VARIABLE || Object.hasOwn(VARIABLES, variable)) continue;
    if (SERVICE_LINK.test(variable) || (variable.endsWith('_PORT') && SERVICE_URL.test(value))) continue;
    problems.add(
      [variable],
      `is not a known variable; ${nearest(variable, [...Object.keys(VARIABLES), FILE_VARIABLE])}`,
    );
  }
}

/** Takes what is wrong out of `tree`, so that the rest can still be checked and all is reported together. */
function validated(tree: Tree, problems: Problems): FileConfig {
  if (isTree(tree['upstreams']) && Object.keys(tree['upstreams']).length === 0) delete tree['upstreams'];
  expandProfiles(tree['upstreams']);
  for (;;) {
    const result = fileSchema.safeParse(tree);
    if (result.success) return result.data;
    const wrong: string[][] = [];
    for (const issue of result.error.issues.flatMap(nearestIssues)) {
      const path = issue.path.map(String);
      if (issue.code === 'unrecognized_keys') {
        for (const key of issue.keys) problems.add([...path, key], unknownKey(path, key));
        wrong.push(...issue.keys.map((key) => [...path, key]));
      } else {
        const value = at(tree, path);
        problems.addDerived(
          path,
          value === undefined ? `is missing; ${issue.message}` : issue.message,
          value,
        );
        wrong.push(path);
      }
    }
    for (const path of wrong) takeOut(tree, path);
  }
}

type Issue = z.core.$ZodIssue;

/** Where a value may be of several kinds: what is wrong inside of the kind that it seems to be, if it seems to be one. */
function nearestIssues(issue: Issue): readonly Issue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const branch = issue.errors.find((issues) =>
    issues.some(({ code, path }) => code === 'unrecognized_keys' || path.length > 0),
  );
  if (branch === undefined) return [issue];
  return branch.flatMap((inner) => nearestIssues({ ...inner, path: [...issue.path, ...inner.path] }));
}

function unknownKey(parent: readonly string[], key: string): string {
  return `unknown key; ${nearest(key, knownKeys(parent))}`;
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function at(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (typeof value === 'object' && value !== null ? (value as Tree)[key] : undefined),
    tree,
  );
}

/** Sets a key, and forgets its `…File` twin, which the environment outranks as well. */
function put(tree: Tree, [key, ...rest]: readonly string[], value: unknown): void {
  if (key === undefined) return;
  if (rest.length === 0) {
    tree[key] = value;
    delete tree[`${key}File`];
    return;
  }
  const child = tree[key] ?? (tree[key] = {});
  if (isTree(child)) put(child, rest, value);
}

/** Of a list with a wrong item the whole list goes; where a key is missing, what misses it. */
function takeOut(tree: Tree, path: readonly string[]): void {
  if (path.length > 1 && at(tree, path) === undefined) return takeOut(tree, path.slice(0, -1));
  const parents = path.map((_, length) => at(tree, path.slice(0, length)));
  const depth = parents.findIndex((parent) => Array.isArray(parent));
  const keys = depth === -1 ? path : path.slice(0, depth);
  const parent = at(tree, keys.slice(0, -1));
  const last = keys.at(-1);
  if (isTree(parent) && last !== undefined) delete parent[last];
}

function frozen<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) frozen(inner);
    Object.freeze(value);
  }
  return value;
}
