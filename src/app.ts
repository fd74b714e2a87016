import type { LookupFunction } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { LocalContents } from './cache/local-contents.ts';
import { LocalOperations } from './cache/local-operations.ts';
import type { Clock } from './clock.ts';
import type { Config, ListenAddress } from './config.ts';
import { adminApi } from './http/admin-api.ts';
import { Distribution } from './http/distribution.ts';
import { Exchange } from './http/exchange.ts';
import { ConnectionGate } from './http/connection-gate.ts';
import { Certificates, Listeners } from './http/listeners.ts';
import { operationsApp } from './http/operations.ts';
import { reportWhenOver } from './http/request-report.ts';
import { errorFacts, type Log } from './log.ts';
import { makeImportKey } from './import-key.ts';
import { indexBytes } from './metadata/database.ts';
import type { Metrics } from './metrics.ts';
import {
  offlineObserver,
  pullThroughObserver,
  scheduleObserver,
  upkeepObserver,
  upstreamObserver,
} from './observers.ts';
import { openPullThrough } from './open-pull-through.ts';
import { type Closer, openStore } from './open-store.ts';
import { LocalOffline } from './pull-through/offline-operations.ts';
import type { PullThrough } from './pull-through/pull-through.ts';
import { Rehearsals } from './pull-through/rehearsals.ts';
import { UpstreamRoutes } from './pull-through/upstream-routes.ts';
import type { LocalWarming } from './warm/local-warming.ts';
import type { Schedules } from './warm/schedules.ts';

/** Of all listeners of the registry together. */
const CONNECTION_LIMIT = 10_000;
/** Of the admin listener, which has a count of its own: health is answered while the registry is flooded. */
const ADMIN_CONNECTION_LIMIT = 1_000;

export interface AppOptions {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  /** entrepot's, told to upstreams. */
  readonly version: string;
  /** In place of `dns.lookup` for upstreams, for tests under the names of real registries. */
  readonly lookup?: LookupFunction | undefined;
}

interface Serving {
  readonly registry: Listeners;
  readonly admin: Listeners;
  readonly certificates: Certificates;
}

/** The composition root: everything that serves, built from a Config, and closed in reverse order. */
export class App {
  /** Where it really listens, in the configuration's order: with the ports that the system chose, where 0 was asked. */
  readonly addresses: { readonly registry: readonly ListenAddress[]; readonly admin: ListenAddress };
  readonly #registry: Listeners;
  readonly #admin: Listeners;
  readonly #certificates: Certificates;
  readonly #closers: readonly Closer[];
  readonly #state: { isClosing: boolean };

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
  constructor(
    { registry, admin, certificates }: Serving,
    closers: readonly Closer[],
    state: { isClosing: boolean },
  ) {
    this.#registry = registry;
    this.#admin = admin;
    this.#certificates = certificates;
    this.#closers = closers;
    this.#state = state;
    const [adminAddress] = admin.addresses;
    if (adminAddress === undefined) throw new Error('there is no admin listener');
    this.addresses = { registry: registry.addresses, admin: adminAddress };
  }

  /** Reads the listeners' certificates again, now; never rejects. */
  async reload(): Promise<void> {
    await this.#certificates.reload();
  }

  /** Not ready, no new connections; what is in flight may go on for `graceMs`, then ends; then everything is closed. */
  async close({ graceMs }: { readonly graceMs: number }): Promise<void> {
    this.#state.isClosing = true;
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
  const observer = pullThroughObserver(reporting);
  const { content, metadata, cache, pins, slabs, spared, hashes } = await openStore(config, {
    clock,
    log,
    observer,
    reports: upkeepObserver(reporting),
    closers,
  });
  hashes.begin();
  await cache.begin();
  const showOffline = offlineObserver(reporting);
  const { pullThrough, offline, warming } = openPullThrough(config, {
    store: { cache, metadata, slabs },
    clock,
    observer,
    upstreamObserver: (name) => upstreamObserver(name, reporting),
    onOfflineChange: (changed) => {
      showOffline(changed);
      rehearsals.changed(offline.states);
    },
    onWarmFault: (error) =>
      log.error({ error: errorFacts(error, { stack: true }) }, 'warming an image failed unexpectedly'),
    version: options.version,
    lookup: options.lookup,
    closers,
  });
  const rehearsals = new Rehearsals(clock, offline.states);
  for (const { upstream, isOffline } of offline.states) {
    metrics.upstreamUp(upstream, true);
    metrics.offline.set(upstream, isOffline);
  }
  const schedules = await openSchedules(config, { options, warming, closers });
  const operations = new LocalOperations({
    metadata,
    content,
    cache,
    pins,
    clock,
    upstreams: config.upstreams,
    sources: {
      isServed: true,
      indexBytes: () => indexBytes(config.dataDir),
      condition: () => cache.condition.report,
      offline: () => offline.states.filter(({ isOffline }) => isOffline),
      schedules: () => schedules?.states,
    },
    onPurged: (digest) => pullThrough.forget(digest),
  });
  closers.push(() => operations.close());
  const contents = new LocalContents({ metadata, cache, slabs, spared, clock });
  closers.push(() => contents.close());
  metrics.gauges(() => {
    const { storedBytes, storedBlobs, reservedBytes, limitBytes } = cache.usage;
    const { fillsInFlight, fillReaders } = pullThrough;
    return {
      fillsInFlight,
      fillReaders,
      storeBytes: storedBytes,
      storeBlobs: storedBlobs,
      storeLimitBytes: limitBytes,
      storeReservedBytes: reservedBytes,
    };
  });

  const state = { isClosing: false };
  const serving = { config, reporting, certificates: new Certificates({ clock, log }) };
  closers.push(() => serving.certificates.close());
  const { token } = config.admin;
  const noKey = (cause: unknown): void =>
    log.warn({ error: errorFacts(cause) }, 'import.key cannot be written: nothing can be imported meanwhile');
  const operationsOfAdmin = operationsApp({
    token,
    api: adminApi({
      operations,
      contents,
      warming,
      offline: new LocalOffline(offline, rehearsals),
      clock,
      needsOwnHost: token === undefined,
      importKey: token ?? (await makeImportKey(config.dataDir, noKey)),
    }),
    metrics: () => metrics.render(),
    isClosing: () => state.isClosing,
    probe: () => cache.condition.check(),
  });
  // One right after the other: who finds the registry open finds the admin listener open.
  const registry = await openRegistry(serving, { pullThrough, rehearsals });
  closers.push(() => registry.close(0));
  const admin = await openAdmin(serving, operationsOfAdmin);
  schedules?.begin();
  const { certificates } = serving;
  return new App({ registry, admin, certificates }, closers.slice(0, -1), state);
}

interface ServingParts {
  readonly config: Config;
  readonly reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly certificates: Certificates;
}

function openRegistry(
  { config, reporting, certificates }: ServingParts,
  { pullThrough, rehearsals }: { readonly pullThrough: PullThrough; readonly rehearsals: Rehearsals },
): Promise<Listeners> {
  const { listeners, publicUrl = '', upstreams, connectionsPerClient: perClient } = config;
  const routes = new UpstreamRoutes(upstreams);
  const distribution = new Distribution({ pullThrough, routes, publicUrl });
  const gate = new ConnectionGate({ total: CONNECTION_LIMIT, perClient }, reporting);
  const { metrics } = reporting;
  return Listeners.open(
    { what: 'The registry', listeners, gate, certificates, metrics },
    (request, response) => {
      const exchange = new Exchange(request, response);
      reportWhenOver(exchange, { ...reporting, onOffline: (failed) => rehearsals.failed(failed) });
      void distribution.serve(exchange);
    },
  );
}

function openAdmin(
  { config, reporting, certificates }: ServingParts,
  { fetch }: ReturnType<typeof operationsApp>,
): Promise<Listeners> {
  const serve = getRequestListener(fetch, { overrideGlobalObjects: false });
  const limits = { total: ADMIN_CONNECTION_LIMIT, perClient: ADMIN_CONNECTION_LIMIT };
  return Listeners.open(
    {
      what: 'The admin listener',
      listeners: [config.admin.listen],
      gate: new ConnectionGate(limits, reporting),
      certificates,
      metrics: reporting.metrics,
      // What is imported: a blob of any size, over any connection.
      mayTakeLong: ({ method }) => method === 'PUT',
    },
    (request, response) => void serve(request, response),
  );
}

/** Not loaded where there are none. */
async function openSchedules(
  { warm = [], upstreams }: Config,
  { options, warming, closers }: { options: AppOptions; warming: LocalWarming; closers: Closer[] },
): Promise<Schedules | undefined> {
  if (warm.length === 0) return undefined;
  const { log, metrics, clock } = options;
  const { Schedules } = await import('./warm/schedules.ts');
  for (const { name } of warm) metrics.warm.known(name);
  const observer = scheduleObserver({ log, metrics }, clock);
  const schedules = new Schedules(warm, { warming, upstreams, clock, observer });
  closers.push(() => schedules.close());
  return schedules;
}

async function closeAll(closers: readonly Closer[]): Promise<void> {
  for (const close of closers.toReversed()) await close();
}
