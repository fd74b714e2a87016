import type { UpstreamStandings } from './activity/upstream-standings.ts';
import type { Config, ListenerConfig } from './config.ts';
import type { Certificates, Listeners, RegistryListeners } from './http/listeners.ts';
import type { AdjustableLog } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { OpenPullThrough } from './open-pull-through.ts';
import type { RenewablePart } from './open-reload.ts';
import type { OpenSchedules } from './open-schedules.ts';
import type { OpenStore } from './open-store.ts';
import type { Rehearsals } from './pull-through/rehearsals.ts';

export interface RenewableServer {
  readonly log: AdjustableLog;
  readonly metrics: Metrics;
  readonly store: OpenStore;
  readonly pulling: OpenPullThrough;
  readonly rehearsals: Rehearsals;
  readonly standings: UpstreamStandings;
  readonly schedules: OpenSchedules;
  readonly registry: RegistryListeners;
  readonly admin: Listeners;
  readonly certificates: Certificates;
  /** The configuration that holds. */
  readonly current: () => Config;
}

/**
 * All of a server that goes by another configuration after a reload, in the order in which it is readied: clients of
 * upstreams last, since they are heard from the moment that they are there. What reads the configuration at each use
 * (`current`) needs no part.
 */
export function renewableParts(server: RenewableServer): readonly RenewablePart[] {
  const { store, schedules } = server;
  return [
    listenersPart(server),
    { renew: async (config) => ({ commit: await store.renew(config) }) },
    { renew: async (config) => ({ commit: await schedules.renew(config) }) },
    upstreamsPart(server),
    { renew: (config) => ({ commit: () => server.log.setLevel(config.log.level) }) },
  ];
}

function listenersPart({ registry, admin, certificates, current }: RenewableServer): RenewablePart {
  return {
    renew: async (config) => {
      try {
        const shows = [await registry.renew(config.listeners), await admin.renew([config.admin.listen])];
        const commit = (): void => {
          for (const show of shows) show();
          certificates.keep(listenersOf(config));
        };
        return { commit, discard: () => certificates.keep(listenersOf(current())) };
      } catch (error) {
        certificates.keep(listenersOf(current()));
        throw error;
      }
    },
  };
}

function upstreamsPart({ metrics, pulling, rehearsals, standings }: RenewableServer): RenewablePart {
  const { offline } = pulling;
  return {
    renew: (config) => {
      const renewed = pulling.renew(config);
      return {
        commit: () => {
          const change = renewed.commit();
          // What stood of a client that was replaced says nothing of the new one.
          for (const name of change.renewed) metrics.upstreams.forgotten(name);
          metrics.configured(config.upstreams.map(({ name }) => name));
          standings.configured(config.upstreams, [...change.added, ...change.renewed]);
          for (const name of change.removed) metrics.offline.gone(name);
          const { states } = offline;
          for (const { upstream, isOffline } of states) metrics.offline.set(upstream, isOffline);
          standings.offlineChanged(states);
          rehearsals.changed(states);
          return pulling.pullThrough.forgottenEverywhere();
        },
        discard: () => renewed.discard(),
      };
    },
  };
}

function listenersOf({ listeners, admin }: Config): readonly ListenerConfig[] {
  return [...listeners, admin.listen];
}
