import type { LookupFunction } from 'node:net';
import type { Clock } from './clock.ts';
import { type Config, offlineUpstreams, type UpstreamConfig } from './config.ts';
import type { Closer, OpenStore } from './open-store.ts';
import { PullThrough } from './pull-through/pull-through.ts';
import type { PullThroughObserver } from './pull-through/pull-through-observer.ts';
import { RepositoryPolicies } from './pull-through/repository-policies.ts';
import { type OfflineState, OfflineSwitch } from './upstream/offline-switch.ts';
import { openUpstream } from './upstream/open-upstream.ts';
import type { Upstream } from './upstream/upstream.ts';
import type { UpstreamObserver } from './upstream/upstream-observer.ts';
import { LocalWarming } from './warm/local-warming.ts';
import { PullAllowances } from './warm/pull-allowances.ts';

export interface OpenPullThroughParts {
  readonly store: Pick<OpenStore, 'cache' | 'metadata' | 'slabs'>;
  readonly clock: Clock;
  readonly observer: PullThroughObserver;
  /** Whoever is told of what happens between us and the upstream of that name. */
  readonly upstreamObserver: (name: string) => UpstreamObserver;
  /** Told of upstreams that are asked no more, or again. Must not throw. */
  readonly onOfflineChange?: ((changed: readonly OfflineState[]) => void) | undefined;
  /** Told of a fault of this program that kept an image from being warmed. */
  readonly onWarmFault: (error: unknown) => void;
  /** entrepot's, told to upstreams. */
  readonly version: string;
  /** In place of `dns.lookup` for upstreams, for tests under the names of real registries. */
  readonly lookup?: LookupFunction | undefined;
  /** What was opened is put here as it is opened, also when the rest fails: closed in reverse order. */
  readonly closers: Closer[];
}

export interface OpenPullThrough {
  readonly pullThrough: PullThrough;
  /** By name. */
  readonly upstreams: ReadonlyMap<string, Upstream>;
  /** As the configuration says, to begin with. */
  readonly offline: OfflineSwitch;
  readonly warming: LocalWarming;
}

/**
 * The store with the configured upstreams behind it: for the server, and for commands that pull where no server runs.
 * The store's upkeep (`cache.begin`) is the caller's to begin before it.
 */
export function openPullThrough(config: Config, parts: OpenPullThroughParts): OpenPullThrough {
  const { store, clock, observer, closers } = parts;
  const allowances = new PullAllowances();
  const never = offlineUpstreams(config);
  const offline = new OfflineSwitch({
    clock,
    upstreams: config.upstreams.map(({ name }) => ({ name, isOffline: never.includes(name) })),
    onChange: parts.onOfflineChange,
  });
  closers.push(() => offline.close());
  const upstreams = new Map(
    config.upstreams.map(
      (upstream) => [upstream.name, openClient(upstream, { ...parts, offline, allowances })] as const,
    ),
  );
  const { cache, metadata, slabs } = store;
  const pullThrough = new PullThrough({
    upstreams,
    policies: new RepositoryPolicies(config.upstreams, (name) => offline.isOffline(name)),
    cache,
    metadata,
    slabs,
    clock,
    observer,
    finishFillBytes: config.cache.finishFillBytes,
    fillLingerMs: config.cache.fillLingerMs,
  });
  closers.push(() => pullThrough.close());
  const warming = new LocalWarming({
    pullThrough,
    upstreams,
    allowances,
    clock,
    config: config.upstreams,
    onUnexpected: parts.onWarmFault,
  });
  closers.push(() => warming.close());
  return { pullThrough, upstreams, offline, warming };
}

function openClient(
  upstream: UpstreamConfig,
  parts: OpenPullThroughParts & {
    readonly offline: OfflineSwitch;
    readonly allowances: PullAllowances;
  },
): Upstream {
  const { clock, offline, allowances, upstreamObserver, version, lookup, closers } = parts;
  const told = upstreamObserver(upstream.name);
  const observer: UpstreamObserver = {
    ...told,
    rateLimit: (report) => {
      told.rateLimit(report);
      allowances.report(upstream.name, report);
    },
  };
  const gate = offline.gate(upstream.name);
  const client = openUpstream(upstream, { clock, observer, version, lookup, gate });
  closers.push(() => client.close());
  return client;
}
