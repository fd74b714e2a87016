import type { Config } from './config.ts';
import type { FileConfig } from './config-schema.ts';

/** What of a configuration can change while the server runs, and what is other in a new one. */

/** Keys that hold from a start to its end; each stands for all below it. */
export const RESTART_KEYS: readonly string[] = ['listen', 'workers', 'admin', 'dataDir', 'usage', 'tracing'];

/**
 * Keys that take effect by a reload. What is in neither list cannot change: nobody would see to it. Of the listeners'
 * TLS the files and the least version can, wherever they stand, but not whether there is TLS.
 */
export const RELOADABLE_KEYS: readonly string[] = [
  'tls',
  'connectionsPerClient',
  'publicUrl',
  'cache',
  'warm',
  'bundle',
  'bandwidth',
  'offline',
  'shutdownGrace',
  'log.level',
  'log.access',
  'proxy',
  'upstreams',
];
/** Of these it is the listeners that count. */
const LISTENER_KEYS: readonly string[] = ['listen', 'tls', 'admin'];

/** Values of the file, and what was made of them. */
export interface ComparedConfig {
  readonly values: FileConfig;
  readonly config: Config;
}

export interface ConfigChange {
  /** In full; an upstream that comes or goes is one key, and so is a schedule. */
  readonly keys: readonly string[];
  /** Those of `keys` that cannot change without a restart. */
  readonly needRestart: readonly string[];
}

/** Keys whose values upstreams take over. */
const PASSED_ON: readonly string[] = ['proxy', 'cache.tagTtl', 'cache.maxStale'];
/** Mappings that are one thing. */
const WHOLE: ReadonlySet<string> = new Set(['listen', 'tls', 'proxy']);

/** What is other in `after`. Secrets and certificates in files count as their keys. */
export function configChange(before: ComparedConfig, after: ComparedConfig): ConfigChange {
  const keys = [...changedIn(named(before.values), named(after.values), [])];
  const says = (key: string): boolean => keys.some((known) => covers(key, known));
  if (before.config.admin.token !== after.config.admin.token && !says('admin')) keys.push('admin.token');
  for (const upstream of after.config.upstreams) {
    const { name } = upstream;
    const known = before.config.upstreams.find((other) => other.name === name);
    const isExplained = says(`upstreams.${name}`) || PASSED_ON.some(says);
    // What stands in a file that it names.
    if (known !== undefined && !sameSettings(known, upstream) && !isExplained) keys.push(`upstreams.${name}`);
  }
  const isSameListeners = sameSettings(shapes(before.config), shapes(after.config));
  const isSameToken = before.config.admin.token === after.config.admin.token;
  const needRestart = keys.filter((key) => {
    const isOfListeners = LISTENER_KEYS.some((listener) => covers(listener, key));
    if (isOfListeners) return !isSameListeners || (covers('admin', key) && !isSameToken);
    return !canReload(key);
  });
  return { keys, needRestart };
}

/** Equal to their leaves. Functions are made from text that stands beside them. */
export function sameSettings(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one === 'function' && typeof other === 'function') return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (one instanceof RegExp && other instanceof RegExp) return one.source === other.source;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [first, second] = [Object.entries(one), Object.entries(other)].map((entries) =>
    entries.filter(([, value]) => value !== undefined),
  );
  const others = new Map(second);
  return (
    first?.length === others.size &&
    first.every(([key, value]) => others.has(key) && sameSettings(value, others.get(key)))
  );
}

/** Can a change of this key hold without a restart? */
export function canReload(key: string): boolean {
  return RELOADABLE_KEYS.some((reloadable) => covers(reloadable, key));
}

function covers(key: string, path: string): boolean {
  return path === key || path.startsWith(`${key}.`);
}

/** Schedules by their names, so that one that comes changes none of the others. */
function named({ warm, ...rest }: FileConfig): Record<string, unknown> {
  return { ...rest, warm: Object.fromEntries(warm.map((schedule) => [schedule.name, schedule])) };
}

/** Where is listened, and with TLS or without. */
function shapes({ listeners, admin }: Config): unknown {
  return [...listeners, admin.listen].map(({ host, port, tls }) => [host, port, tls !== undefined]);
}

function* changedIn(before: unknown, after: unknown, path: readonly string[]): Generator<string> {
  if (sameSettings(before, after)) return;
  if (!isMapping(before) || !isMapping(after) || !isParted(path)) {
    yield path.join('.');
    return;
  }
  for (const name of new Set([...Object.keys(after), ...Object.keys(before)]))
    yield* changedIn(before[name], after[name], [...path, name]);
}

/** Are the keys in this mapping told apart? */
function isParted([first = '', second, ...rest]: readonly string[]): boolean {
  if (rest.length > 0 || WHOLE.has(first)) return false;
  return second === undefined || first === 'upstreams' || (first === 'cache' && second === 'scrub');
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof RegExp);
}
