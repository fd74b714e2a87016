import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Activity } from './activity/activity.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import type { Carrier } from './http/carrier.ts';
import { ConnectionGate } from './http/connection-gate.ts';
import { Distribution } from './http/distribution.ts';
import { Exchange } from './http/exchange.ts';
import type { StartFront } from './fronts/front-process.ts';
import { workerCount } from './fronts/worker-count.ts';
import { type Certificates, Listeners, type RegistryListeners } from './http/listeners.ts';
import { type FinishedExchange, report, reportWhenOver } from './http/request-report.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { StartError } from './start-error.ts';
import type { PullThrough } from './pull-through/pull-through.ts';
import type { OfflineRequest, Rehearsals } from './pull-through/rehearsals.ts';
import type { Tracing } from './tracing.ts';
import type { UpstreamSet } from './pull-through/upstream-set.ts';

/** Of all listeners of the registry together. */
const CONNECTION_LIMIT = 10_000;
/** Of the admin listener, which has a count of its own: health is answered while the registry is flooded. */
const ADMIN_CONNECTION_LIMIT = 1_000;

export interface ServingParts {
  readonly config: Config;
  /** The configuration that holds at the moment. */
  readonly current: () => Config;
  readonly reporting: { readonly log: Log; readonly metrics: Metrics };
  readonly certificates: Certificates;
}

export interface RegistryParts {
  readonly pullThrough: PullThrough;
  readonly upstreams: UpstreamSet;
  readonly rehearsals: Rehearsals;
  readonly activity: Activity;
  readonly tracing: Tracing | undefined;
  readonly clock: Clock;
  readonly version: string;
  /** How further workers are started. Absent: there can be none. */
  readonly startFront?: StartFront | undefined;
}

/**
 * Where container clients connect.
 * @throws StartError with one sentence, nothing left open
 */
export async function openRegistry(
  { config, current, reporting, certificates }: ServingParts,
  { pullThrough, upstreams, rehearsals, activity, tracing, clock, version, startFront }: RegistryParts,
): Promise<RegistryListeners> {
  const { listeners, dataDir } = config;
  const distribution = new Distribution({
    pullThrough,
    upstreams,
    clock,
    get publicUrl() {
      return current().publicUrl ?? '';
    },
  });
  const limits = {
    total: CONNECTION_LIMIT,
    get perClient() {
      return current().connectionsPerClient;
    },
  };
  const gate = new ConnectionGate(limits, reporting);
  const { metrics } = reporting;
  const onOffline = (failed: OfflineRequest) => rehearsals.failed(failed);
  const access = () => current().log.access;
  const reports = { ...reporting, activity, tracing, clock, access, onOffline };
  const serve = (request: IncomingMessage, response: ServerResponse, carrier?: Carrier): void => {
    const exchange = new Exchange(request, response, carrier);
    reportWhenOver(exchange, reports);
    void distribution.serve(exchange);
  };
  const options = { what: 'The registry', listeners, gate, certificates, metrics };
  const count = workerCount(config.workers);
  if (count === 1) return Listeners.open(options, (request, response) => serve(request, response));
  if (startFront === undefined)
    throw new StartError('Several workers can only be had of the program itself.');
  const { Fronts } = await import('./fronts/fronts.ts');
  const parts = {
    ...options,
    log: reporting.log,
    count,
    dataDir,
    version,
    start: startFront,
    // Every request is to have its span, with its own parent.
    generation: tracing === undefined ? () => pullThrough.generation : undefined,
    onRepeated: (finished: FinishedExchange) => report(finished, reports),
  };
  const fronts = await Fronts.open(parts, serve);
  pullThrough.repeaters = fronts;
  return fronts;
}

/**
 * Where operators and their programs connect.
 * @throws StartError with one sentence
 */
export function openAdminListener(
  { config, reporting, certificates }: ServingParts,
  serve: RequestListener,
): Promise<Listeners> {
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
    serve,
  );
}
