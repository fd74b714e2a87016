import { hostname } from 'node:os';
import { LocalActivity } from './activity/local-activity.ts';
import { storedFacts } from './activity/stored-facts.ts';
import { LocalCatalogue } from './cache/local-catalogue.ts';
import { LocalContents } from './cache/local-contents.ts';
import { LocalOperations } from './cache/local-operations.ts';
import { cacheAddress } from './client-setup/cache-address.ts';
import { clientRoutes } from './client-setup/client-routes.ts';
import type { SetupRequest } from './client-setup/client-setup.ts';
import { clientListener, type Config } from './config.ts';
import { adminApi } from './http/admin-api.ts';
import { dashboardPages } from './http/dashboard/pages.ts';
import type { AdminSessions } from './http/admin-session.ts';
import { operationsApp } from './http/operations.ts';
import { errorFacts, type Log } from './log.ts';
import { indexBytes } from './metadata/database.ts';
import type { Health } from './http/health.ts';
import type { Metrics } from './metrics.ts';
import type { Closer, OpenStore } from './open-store.ts';
import type { Activity } from './activity/activity.ts';
import type { KeptUsage } from './activity/kept-usage.ts';
import type { UpstreamStandings } from './activity/upstream-standings.ts';
import type { Clock } from './clock.ts';
import type { OpenPullThrough } from './open-pull-through.ts';
import type { OpenSchedules } from './open-schedules.ts';
import type { Rehearsals } from './pull-through/rehearsals.ts';
import type { ReloadOperations } from './reload-operations.ts';
import { LocalExplain } from './pull-through/local-explain.ts';
import { LocalOffline } from './pull-through/offline-operations.ts';
import { WarmJobs } from './warm/warm-jobs.ts';

export interface OpenAdminParts {
  readonly reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly clock: Clock;
  readonly store: OpenStore;
  readonly pulling: Pick<OpenPullThrough, 'pullThrough' | 'upstreams' | 'offline' | 'warming'>;
  readonly rehearsals: Rehearsals;
  readonly standings: UpstreamStandings;
  readonly activity: Activity;
  /** Absent: nothing is kept of it. */
  readonly usage: KeptUsage | undefined;
  readonly reload: ReloadOperations;
  /** The configuration that holds at the moment. */
  readonly current: () => Config;
  /** entrepot's. */
  readonly version: string;
  readonly schedules: OpenSchedules;
  /** Whether the process is on its way to end, so that nobody sends it requests any more. */
  readonly isClosing: () => boolean;
  readonly closers: Closer[];
}

/** What the site shares with the routes before it. */
export interface AdminSiteParts extends OpenAdminParts {
  readonly health: Health;
  readonly sessions: AdminSessions;
  /** Asked of who brings images. */
  readonly importKey: string;
}

/**
 * What operators may ask and have done, put together: where every operation of the admin listener is wired. Loaded, with
 * all that it needs, when somebody asks for it: see `openAdmin`.
 */
export function openAdminSite(config: Config, parts: AdminSiteParts): ReturnType<typeof operationsApp> {
  const { reporting, clock, store, pulling, rehearsals, standings, reload, version, closers } = parts;
  const { health, sessions, importKey } = parts;
  const { log, metrics } = reporting;
  const { offline } = pulling;
  const { metadata, cache, slabs, spared } = store;
  const operations = localOperations(config, parts);
  closers.push(() => operations.close());
  const contents = new LocalContents({ metadata, cache, slabs, spared, clock });
  closers.push(() => contents.close());
  const activity = localActivity(parts);
  const { token } = config.admin;
  const offlineOperations = new LocalOffline(offline, rehearsals);
  const warmJobs = new WarmJobs({
    warming: pulling.warming,
    clock,
    upstreams: () => pulling.upstreams.configs,
  });
  closers.push(() => warmJobs.close());
  const catalogue = new LocalCatalogue({
    ...store,
    contents,
    clock,
    upstreams: () => pulling.upstreams.configs,
  });
  closers.push(() => catalogue.close());
  const explain = new LocalExplain({
    metadata,
    contents,
    clock,
    upstreams: () => pulling.upstreams.configs,
    isOffline: (upstream) => offline.isOffline(upstream),
    isDown: (upstream) =>
      standings.standings.some((found) => found.upstream === upstream && found.breaker === 'open'),
    pauses: (upstream) => standings.standings.find((found) => found.upstream === upstream)?.pauses ?? [],
  });
  return operationsApp({
    token,
    clock,
    version,
    isTls: config.admin.listen.tls !== undefined,
    pages: dashboardPages({
      operations,
      offline: offlineOperations,
      activity,
      upstreams: standings,
      explain,
      catalogue,
      warmJobs,
      reload,
      setup: () => setupRequest(parts.current()),
    }),
    api: adminApi({
      operations,
      contents,
      warming: warmJobs,
      warmJobs,
      offline: offlineOperations,
      activity,
      upstreams: standings,
      explain,
      reload,
      catalogue,
      setup: { setup: () => setupRequest(parts.current()), upstreams: () => pulling.upstreams.configs },
      clock,
      version,
      needsOwnHost: token === undefined,
      importKey,
      onUnexpected: (error) => {
        metrics.unexpectedError();
        log.error({ error: errorFacts(error, { stack: true }) }, 'an admin request failed unexpectedly');
      },
    }),
    health,
    sessions,
  });
}

/** What clients are told by the configuration alone: the authority's certificate is not known to it. */
function setupRequest({ publicUrl, listeners, upstreams }: Config): SetupRequest {
  const { tls, host, port } = clientListener(listeners);
  const listen = { scheme: tls === undefined ? 'http' : 'https', host, port } as const;
  const cache = cacheAddress({ publicUrl, listen, hostname: hostname() });
  return { cache, routes: clientRoutes(upstreams, cache), catchAll: false };
}

function localActivity({ activity, usage, clock, store, pulling }: OpenAdminParts): LocalActivity {
  const { pullThrough } = pulling;
  return new LocalActivity({
    activity,
    usage,
    clock,
    fills: (limit) => [...pullThrough.fills(limit)],
    fillCount: () => pullThrough.fillsInFlight,
    stored: (options, signal) => storedFacts(store.metadata, options, signal),
  });
}

function localOperations(
  config: Config,
  { reporting, clock, store, pulling, schedules, current }: OpenAdminParts,
): LocalOperations {
  const { metadata, content, cache, pins } = store;
  const { pullThrough, offline } = pulling;
  return new LocalOperations({
    metadata,
    content,
    cache,
    pins,
    clock,
    get upstreams() {
      return current().upstreams;
    },
    sources: {
      isServed: true,
      indexBytes: () => indexBytes(config.dataDir),
      condition: () => cache.condition.report,
      offline: () => offline.states.filter(({ isOffline }) => isOffline),
      schedules: () => schedules.states,
    },
    onPurged: (digest) => pullThrough.forget(digest),
    onHoldingsForgotten: () => pullThrough.holdingsForgotten(),
    forgottenEverywhere: async () => pullThrough.forgottenEverywhere(),
    onEvicted: (evicted) => reporting.metrics.store.evicted(evicted),
  });
}
