import type { LookupFunction } from 'node:net';
import { Activity } from './activity/activity.ts';
import { UpstreamStandings } from './activity/upstream-standings.ts';
import type { Clock } from './clock.ts';
import type { Config, ListenAddress } from './config.ts';
import type { StartFront } from './fronts/front-process.ts';
import { Certificates, type Listeners, type RegistryListeners } from './http/listeners.ts';
import { type AdjustableLog, errorFacts } from './log.ts';
import type { Metrics } from './metrics.ts';
import { offlineObserver, pullThroughObserver, upkeepObserver, upstreamObserver } from './observers.ts';
import { openAdmin } from './open-admin.ts';
import { openAdminListener, openRegistry } from './open-listeners.ts';
import { openPullThrough } from './open-pull-through.ts';
import { type ConfigSourceParts, Reload, type RenewablePart } from './open-reload.ts';
import { openSchedules } from './open-schedules.ts';
import { renewableParts } from './renewable-parts.ts';
import { type Closer, openStore } from './open-store.ts';
import { forgetUsage, openUsage } from './open-usage.ts';
import { showGauges } from './show-gauges.ts';
import { Rehearsals } from './pull-through/rehearsals.ts';
import { openTracing } from './open-tracing.ts';
import { bothObservers } from './upstream/upstream-observer.ts';

export interface AppOptions {
  readonly log: AdjustableLog;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** entrepot's, told to upstreams. */
  readonly version: string;
  /** In place of `dns.lookup` for upstreams, for tests under the names of real registries. */
  readonly lookup?: LookupFunction | undefined;
  /** Where the configuration came from. Absent: it cannot be read again. */
  readonly source?: ConfigSourceParts | undefined;
  /** How further workers are started. Absent: there can be none. */
  readonly startFront?: StartFront | undefined;
}

interface Serving {
  readonly registry: RegistryListeners;
  readonly admin: Listeners;
  readonly certificates: Certificates;
  readonly reload: Reload;
  readonly state: AppState;
}

/** What of the server changes as it runs. */
interface AppState {
  isClosing: boolean;
  /** That holds now. */
  config: Config;
}

/** The composition root: everything that serves, built from a Config, and closed in reverse order. */
export class App {
  /** Where it really listens, in the configuration's order: with the ports that the system chose, where 0 was asked. */
  readonly addresses: { readonly registry: readonly ListenAddress[]; readonly admin: ListenAddress };
  readonly #registry: RegistryListeners;
  readonly #admin: Listeners;
  readonly #certificates: Certificates;
  readonly #reload: Reload;
  readonly #closers: readonly Closer[];
  readonly #state: AppState;

  /**
   * Serves when it resolves.
   * @throws StartError with one sentence, nothing left open
   */
  static async open(config: Config, options: AppOptions): Promise<App> {
    const closers: Closer[] = [];
    try {
      return await openApp(config, options, closers);
    } catch (error) {
      await closeAll(closers);
      throw error;
    }
  }

  /** Only for `open`. */
  constructor({ registry, admin, certificates, reload, state }: Serving, closers: readonly Closer[]) {
    this.#registry = registry;
    this.#admin = admin;
    this.#certificates = certificates;
    this.#reload = reload;
    this.#closers = closers;
    this.#state = state;
    const [adminAddress] = admin.addresses;
    if (adminAddress === undefined) throw new Error('there is no admin listener');
    this.addresses = { registry: registry.addresses, admin: adminAddress };
  }

  /** The configuration that holds now. */
  get config(): Config {
    return this.#state.config;
  }

  /** Reads the configuration and the listeners' certificates again, now; never rejects: what is wrong is logged. */
  async reload(): Promise<void> {
    await this.#reload.reload(new AbortController().signal).catch(() => undefined);
    await this.#certificates.reload();
  }

  /** Not ready, no new connections; what is in flight may go on for `graceMs`, then ends; then everything is closed. */
  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#state.isClosing = true;
    await this.#reload.close();
    await this.#registry.close(graceMs);
    this.#admin.abort();
    await this.#admin.close(0);
    await closeAll(this.#closers);
  }

  /** Ends every connection now; `close` then has nothing to wait for. */
  abort(): void {
    this.#registry.abort();
    this.#admin.abort();
  }
}

async function openApp(config: Config, options: AppOptions, closers: Closer[]): Promise<App> {
  const { log, metrics, clock } = options;
  const reporting = { log, metrics };
  const observer = pullThroughObserver({ ...reporting, clock });
  const store = await openStore(config, {
    clock,
    log,
    observer,
    reports: upkeepObserver(reporting),
    closers,
  });
  const { cache } = store;
  await cache.begin();
  const standings = new UpstreamStandings(clock, config.upstreams, (name) => metrics.upstreams.figures(name));
  const activity = new Activity(clock);
  const tracing = await openTracing(config.tracing, { version: options.version, log });
  closers.push(() => tracing?.close());
  forgetUsage(config, log);
  const usage = await openUsage(config, { clock, log, take: () => activity.takeSums(), closers });
  const showOffline = offlineObserver(reporting);
  const pulling = openPullThrough(config, {
    store,
    clock,
    observer,
    upstreamObserver: (name) =>
      bothObservers(
        upstreamObserver(name, { ...reporting, activity, tracing, clock }),
        standings.observer(name),
      ),
    onOfflineChange: (changed) => {
      showOffline(changed);
      standings.offlineChanged(changed);
      rehearsals.changed(offline.states);
    },
    onWarmFault: (error) =>
      log.error({ error: errorFacts(error, { stack: true }) }, 'warming an image failed unexpectedly'),
    version: options.version,
    lookup: options.lookup,
    closers,
  });
  const { pullThrough, upstreams, offline, warming } = pulling;
  const rehearsals = new Rehearsals(clock, offline.states);
  standings.offlineChanged(offline.states);
  for (const { upstream, isOffline } of offline.states) metrics.offline.set(upstream, isOffline);
  const schedules = await openSchedules(config, { reporting, clock, warming, upstreams, closers });
  showGauges(config, { metrics, clock, store, pulling, activity, closers });

  const state: AppState = { isClosing: false, config };
  const certificates = new Certificates({ clock, log });
  closers.push(() => certificates.close());
  const isClosing = () => state.isClosing;
  const current = () => state.config;
  const { version, source } = options;
  const parts: RenewablePart[] = [];
  const onConfig = (next: Config) => (state.config = next);
  const reload = new Reload({ log, metrics, source, onConfig, parts });
  const serverParts = { store, pulling, rehearsals, standings, activity, usage, schedules, reload };
  const admins = { reporting, clock, version, isClosing, current, closers, ...serverParts };
  const operations = await openAdmin(config, admins);
  const serving = { config, current, reporting, certificates };
  // One right after the other: who finds the registry open finds the admin listener open. Workers are begun when both are.
  const registry = await openRegistry(serving, {
    pullThrough,
    upstreams,
    rehearsals,
    activity,
    tracing,
    clock,
    version,
    startFront: options.startFront,
  });
  closers.push(() => registry.close(0));
  const admin = await openAdminListener(serving, operations);
  closers.push(() => admin.close(0));
  // Before somebody asks for a reload.
  parts.push(...renewableParts({ log, metrics, ...serverParts, registry, admin, certificates, current }));
  await registry.begin?.();
  schedules.begin();
  usage?.begin();
  return new App({ registry, admin, certificates, reload, state }, closers.slice(0, -2));
}

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of closers.toReversed()) await close();
}
