import type { LookupFunction } from 'node:net';
import type { Clock } from '../clock.ts';
import type { MirrorConfig, UpstreamConfig } from '../config.ts';
import { bySpecificity } from '../oci/repository-pattern.ts';
import type { RepositoryName } from '../oci/reference.ts';
import { AccountUpstreams } from './account-upstreams.ts';
import { MirroredUpstream } from './mirrored-upstream.ts';
import type { OfflineGate } from './offline-switch.ts';
import { RegistryHost } from './registry-host.ts';
import { RegistryUpstream } from './registry-upstream.ts';
import { SwitchedUpstream } from './switched-upstream.ts';
import type { Upstream } from './upstream.ts';
import type { UpstreamError } from './upstream-error.ts';
import { silentObserver, type UpstreamObserver } from './upstream-observer.ts';

/** A mirror that takes longer for a manifest is passed over; for a blob it has longer, since it may have to fetch it. */
const MIRROR_HEADERS_MS = 3_000;

export interface OpenUpstreamOptions {
  readonly clock: Clock;
  /** Where it is configured, for messages. Default: `upstreams.<name>`. */
  readonly keyPath?: string | undefined;
  /** Default: nobody looks. */
  readonly observer?: UpstreamObserver | undefined;
  /** entrepot's, for `User-Agent`. Absent: no version is told. */
  readonly version?: string | undefined;
  /** In place of `dns.lookup`, for tests of name resolution. */
  readonly lookup?: LookupFunction | undefined;
  /** Whether it may be asked at all, its mirrors included. Absent: always. */
  readonly gate?: OfflineGate | undefined;
}

/**
 * The client of a configured upstream, its mirrors included; closing it closes all that belongs to it. Opens no
 * connection before the first call.
 * @throws when the TLS settings hold what is not PEM
 */
export function openUpstream(config: UpstreamConfig, options: OpenUpstreamOptions): Upstream {
  const upstream = openWithMirrors(config, options);
  return options.gate === undefined ? upstream : new SwitchedUpstream(upstream, options.gate);
}

function openWithMirrors(config: UpstreamConfig, options: OpenUpstreamOptions): Upstream {
  const origin = openOrigin(config, options);
  const { mirrors = [] } = config;
  if (mirrors.length === 0) return origin;
  return new MirroredUpstream({
    origin,
    mirrors: mirrors.map((mirror, at) => openMirror(config, mirror, at, options)),
    clock: options.clock,
  });
}

function openOrigin(config: UpstreamConfig, options: OpenUpstreamOptions): Upstream {
  const { clock, observer = silentObserver, version, lookup, gate } = options;
  const { name, repositories = [] } = config;
  const { keyPath = `upstreams.${name}` } = options;
  const onAvailability = (cause: UpstreamError | undefined): void => observer.availabilityChanged(cause);
  const onTlsProblem = (problem: string): void => observer.refusedTlsFiles({ problem });
  const host = new RegistryHost({
    config,
    keyPath,
    clock,
    onAvailability,
    onBreaker: (phase) => observer.breakerChanged(phase),
    onPaced: (forMs) => observer.paused({ cause: 'pace', forMs }),
    onTlsProblem,
    version,
    lookup,
    gate,
  });
  const account = (auth: UpstreamConfig['auth'], place: string) =>
    new RegistryUpstream({ name, host, auth, authKeyPath: `${keyPath}.${place}auth`, observer });
  const general = account(config.auth, '');
  const special = repositories.flatMap(({ pattern, auth }) =>
    auth === undefined ? [] : [{ pattern, upstream: account(auth, `repositories.${pattern.text}.`) }],
  );
  // Rules that say nothing of credentials leave them to less specific ones.
  const accountOf = (repository: RepositoryName): Upstream =>
    bySpecificity(special, repository)[0]?.upstream ?? general;
  const accounts = [general, ...special.map(({ upstream }) => upstream)];
  return new AccountUpstreams({ name, host, accounts, accountOf });
}

/** What happens between us and a mirror counts as the upstream's, but for its health and its allowance. */
function openMirror(
  { name, proxy }: UpstreamConfig,
  mirrorConfig: MirrorConfig,
  at: number,
  options: OpenUpstreamOptions,
): Upstream {
  // It is reached as the upstream is.
  const config = { ...mirrorConfig, proxy };
  const { clock, observer = silentObserver, version, lookup, gate } = options;
  const { host: mirror } = new URL(config.url);
  const onAvailability = (cause: UpstreamError | undefined): void =>
    observer.mirrorAvailabilityChanged({ mirror, cause });
  const onTlsProblem = (problem: string): void => observer.refusedTlsFiles({ problem });
  const keyPath = `upstreams.${name}.mirrors.${at}`;
  const host = new RegistryHost({
    config,
    keyPath,
    clock,
    onAvailability,
    onTlsProblem,
    mirror,
    version,
    lookup,
    gate,
  });
  // One try: the next source is there at once.
  const account = new RegistryUpstream({
    name,
    host,
    auth: config.auth,
    authKeyPath: `${keyPath}.auth`,
    observer,
    patienceLimitMs: 0,
    headersLimitMs: MIRROR_HEADERS_MS,
  });
  return new AccountUpstreams({ name, host, accounts: [account], accountOf: () => account });
}
