import { type Config, type ListenerConfig, printListen, type UpstreamConfig } from '../config.ts';
import type { UpstreamLimits } from '../config-mirrors.ts';
import { STALE_REASONS, staleLimitsOf } from '../pull-through/stale-policy.ts';
import { PROBE_STEPS, type ProbeReport } from '../upstream/probe-report.ts';
import { textTable } from './text-table.ts';

/** What is shown of an upstream; nothing of it is secret. */
export interface UpstreamFacts {
  readonly name: string;
  readonly url: string;
  readonly default: boolean;
  readonly prefixes: readonly string[];
  readonly hosts: readonly string[];
  readonly auth: { readonly kind: string; readonly account?: string | undefined };
  /** Patterns of repositories; absent: all. */
  readonly allow?: readonly string[] | undefined;
  readonly deny: readonly string[];
  readonly limits: UpstreamLimits;
  readonly tagTtl: string;
  readonly maxStale: string;
  /** For each way in which asking fails, how old an answer may be that is served instead, or `fail`. */
  readonly stale: StaleFacts;
  /** The rules of `repositories`, as far as they differ. */
  readonly repositories: readonly { readonly pattern: string; readonly stale: StaleFacts }[];
}

type StaleFacts = Readonly<Record<string, string>>;

export interface Probed {
  readonly upstream: string;
  /** Of an account of some repositories, those that depend on it. */
  readonly steps: Partial<ProbeReport>;
}

export function upstreamFacts(upstream: UpstreamConfig): UpstreamFacts {
  const { name, url, default: isDefault, prefixes, hosts, auth, tagTtlMs, maxStaleMs, stale } = upstream;
  const { allow, deny = [], limits = {} } = upstream;
  const own = staleFacts(stale, maxStaleMs);
  return {
    name,
    url,
    default: isDefault,
    prefixes,
    hosts,
    auth: authFacts(auth),
    ...(allow && { allow: allow.map(({ text }) => text) }),
    deny: deny.map(({ text }) => text),
    limits,
    tagTtl: printDuration(tagTtlMs),
    maxStale: printDuration(maxStaleMs),
    stale: own,
    repositories: (upstream.repositories ?? [])
      .map((rules) => ({
        pattern: rules.pattern.text,
        stale: staleFacts({ ...stale, ...rules.stale }, rules.maxStaleMs ?? maxStaleMs),
      }))
      .filter((rules) => JSON.stringify(rules.stale) !== JSON.stringify(own)),
  };
}

function staleFacts(rules: UpstreamConfig['stale'], maxStaleMs: number): StaleFacts {
  const limits = staleLimitsOf(rules, maxStaleMs);
  return Object.fromEntries(
    STALE_REASONS.map((reason) => {
      const limitMs = limits[reason];
      return [reason, limitMs === undefined || limitMs === 0 ? 'fail' : printDuration(limitMs)];
    }),
  );
}

/** What is served when asking fails, for each way in which it does. */
export function printStalePolicy(upstreams: readonly UpstreamFacts[]): string {
  const rows = upstreams.flatMap(({ name, stale, repositories }) => [
    staleRow(name, stale),
    ...repositories.map((rules) => staleRow(`${name} ${rules.pattern}`, rules.stale)),
  ]);
  return textTable(['stale answers up to, on', ...STALE_REASONS], rows);
}

function staleRow(name: string, stale: StaleFacts): readonly string[] {
  return [name, ...STALE_REASONS.map((reason) => stale[reason] ?? '-')];
}

/** Who signs in, or where the credentials come from. */
function authFacts(auth: UpstreamConfig['auth']): UpstreamFacts['auth'] {
  if (auth === undefined) return { kind: 'none' };
  if ('username' in auth) {
    const { username } = auth;
    return { kind: 'password', account: typeof username === 'string' ? username : `in ${username.file}` };
  }
  if ('dockerConfig' in auth) return { kind: 'dockerConfig', account: auth.dockerConfig };
  if ('helper' in auth) return { kind: 'helper', account: auth.helper };
  if ('ecr' in auth) return { kind: 'ecr', account: auth.ecr.registryId ?? auth.ecr.profile };
  if ('google' in auth) return { kind: 'google', account: auth.google.keyFile };
  if ('azure' in auth) return { kind: 'azure', account: auth.azure.clientId };
  return { kind: 'token' in auth ? 'token' : 'identityToken' };
}

export function printUpstreams(upstreams: readonly UpstreamFacts[]): string {
  const head = ['upstream', 'url', 'prefixes', 'hosts', 'auth', 'tagTtl', 'maxStale'];
  const rows = upstreams.map((facts) => [
    facts.default ? `${facts.name} (default)` : facts.name,
    facts.url,
    list(facts.prefixes),
    list(facts.hosts),
    facts.auth.account === undefined ? facts.auth.kind : `${facts.auth.kind} (${facts.auth.account})`,
    facts.tagTtl,
    facts.maxStale,
  ]);
  return textTable(head, rows);
}

/** Empty where no upstream has any. */
export function printAccess(upstreams: readonly UpstreamFacts[]): string {
  const rows = upstreams
    .filter(
      ({ allow, deny, limits }) => allow !== undefined || deny.length > 0 || Object.keys(limits).length > 0,
    )
    .map(({ name, allow, deny, limits: { connections, requestsPerSecond, pullsPerSecond } }) => [
      name,
      allow === undefined ? 'all' : list(allow),
      list(deny),
      String(connections ?? '-'),
      String(requestsPerSecond ?? '-'),
      String(pullsPerSecond ?? '-'),
    ]);
  if (rows.length === 0) return '';
  return textTable(['access and limits', 'allow', 'deny', 'connections', 'requests/s', 'pulls/s'], rows);
}

/** A line for everything that was tried; after a failure, nothing of what was not. */
export function printProbes(probes: readonly Probed[]): string {
  const rows = probes.flatMap(({ upstream, steps }) => {
    const hasFailed = PROBE_STEPS.some((step) => steps[step]?.outcome === 'failed');
    return PROBE_STEPS.flatMap((step) => {
      const result = steps[step];
      if (result === undefined || (hasFailed && result.outcome === 'skipped')) return [];
      return [[upstream, step, result.outcome, result.detail]];
    });
  });
  return textTable(['upstream', 'step', 'outcome', 'what was found'], rows);
}

export function printSettings({ listeners, publicUrl, admin, dataDir }: Config): string {
  return textTable(
    ['setting', 'value'],
    [
      ...listeners.map((listener) => ['listen', listenText(listener)]),
      ['publicUrl', publicUrl ?? '-'],
      ['admin.listen', listenText(admin.listen)],
      ['dataDir', dataDir],
    ],
  );
}

function listenText(listener: ListenerConfig): string {
  return `${listener.tls === undefined ? 'http' : 'https'}://${printListen(listener)}`;
}

function list(values: readonly string[]): string {
  return values.length === 0 ? '-' : values.join(' ');
}

/** As the configuration writes it, in the largest unit that leaves nothing over. */
export function printDuration(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const;
  const [unit, size] = units.find(([, unitMs]) => ms >= unitMs && ms % unitMs === 0) ?? ['ms', 1];
  return ms === 0 ? '0s' : `${ms / size}${unit}`;
}
