import type { LookupFunction } from 'node:net';
import type { Clock } from './clock.ts';
import { type Config, offlineUpstreams, type UpstreamConfig } from './config.ts';
import type { Closer, OpenStore } from './open-store.ts';
import { Bandwidths } from './pull-through/bandwidth.ts';
import { PullThrough } from './pull-through/pull-through.ts';
import type { PullThroughObserver } from './pull-through/pull-through-observer.ts';
import type { FillSettings } from './pull-through/blob-fetch-task.ts';
import { type RenewedUpstreams, type UpstreamChange, UpstreamSet } from './pull-through/upstream-set.ts';
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
  readonly upstreams: UpstreamSet;
  /** As the configuration says, to begin with. */
  readonly offline: OfflineSwitch;
  readonly warming: LocalWarming;
  /** Readies all of it for another configuration. @throws what opening a client throws */
  renew(config: Config): RenewedUpstreams;
}

/**
 * The store with the configured upstreams behind it: for the server, and for commands that pull where no server runs.
 * The store's upkeep (`cache.begin`) is the caller's to begin before it.
 */
export function openPullThrough(config: Config, parts: OpenPullThroughParts): OpenPullThrough {
  const { store, clock, observer, closers } = parts;
  const allowances = new PullAllowances();
  const offline = new OfflineSwitch({
    clock,
    upstreams: switchedUpstreams(config),
    onChange: parts.onOfflineChange,
  });
  closers.push(() => offline.close());
  const upstreams = new UpstreamSet(config.upstreams, {
    clock,
    open: (upstream, isCurrent) => openClient(upstream, { ...parts, offline, allowances, isCurrent }),
    isOffline: (name) => offline.isOffline(name),
    onGone: (name) => {
      offline.forget(name);
      allowances.forget(name);
    },
  });
  closers.push(() => upstreams.close());
  const { cache, metadata, slabs } = store;
  const bandwidths = new Bandwidths(clock);
  limitBandwidth(bandwidths, config);
  const pullThrough = new PullThrough({
    upstreams,
    policies: upstreams,
    cache,
    metadata,
    slabs,
    clock,
    observer,
    filling: fillSettings(config),
    bandwidths,
  });
  upstreams.isWanted = (name) => pullThrough.isUsing(name);
  closers.push(() => pullThrough.close());
  const warming = new LocalWarming({
    pullThrough,
    upstreams,
    allowances,
    clock,
    config: () => upstreams.configs,
    onUnexpected: parts.onWarmFault,
  });
  closers.push(() => warming.close());
  const renew = (next: Config): RenewedUpstreams => {
    const renewed = upstreams.renew(next.upstreams);
    const commit = (): UpstreamChange => {
      const change = renewed.commit();
      offline.configure(switchedUpstreams(next));
      // What was said of one account says nothing of another.
      for (const name of change.changed) allowances.forget(name);
      pullThrough.upstreamsChanged();
      pullThrough.configureFills(fillSettings(next));
      limitBandwidth(bandwidths, next);
      return change;
    };
    return { ...renewed, commit };
  };
  return { pullThrough, upstreams, offline, warming, renew };
}

function switchedUpstreams(
  config: Config,
): readonly { readonly name: string; readonly isOffline: boolean }[] {
  const never = offlineUpstreams(config);
  return config.upstreams.map(({ name }) => ({ name, isOffline: never.includes(name) }));
}

function fillSettings({ cache }: Config): FillSettings {
  return { finishFillBytes: cache.finishFillBytes, lingerMs: cache.fillLingerMs };
}

/** Closed by whoever has it. */
function openClient(
  upstream: UpstreamConfig,
  parts: OpenPullThroughParts & {
    readonly offline: OfflineSwitch;
    readonly allowances: PullAllowances;
    readonly isCurrent: () => boolean;
  },
): Upstream {
  const { clock, offline, allowances, isCurrent, upstreamObserver, version, lookup } = parts;
  const told = upstreamObserver(upstream.name);
  // How the upstream is, only the client that holds can say.
  const observer: UpstreamObserver = {
    ...told,
    rateLimit: (report) => {
      if (!isCurrent()) return;
      told.rateLimit(report);
      allowances.report(upstream.name, report);
    },
    availabilityChanged: (cause) => {
      if (isCurrent()) told.availabilityChanged(cause);
    },
    mirrorAvailabilityChanged: (event) => {
      if (isCurrent()) told.mirrorAvailabilityChanged(event);
    },
    breakerChanged: (phase) => {
      if (isCurrent()) told.breakerChanged(phase);
    },
    paused: (event) => {
      if (isCurrent()) told.paused(event);
    },
  };
  const gate = offline.gateToBe(upstream.name);
  return openUpstream(upstream, { clock, observer, version, lookup, gate });
}

/** From now on, also for what is under way. */
function limitBandwidth(bandwidths: Bandwidths, { bandwidth, upstreams }: Config): void {
  const limited = upstreams.flatMap(({ name, limits }) =>
    limits?.bandwidth === undefined ? [] : [[name, limits.bandwidth] as const],
  );
  bandwidths.change(bandwidth, new Map(limited));
}
