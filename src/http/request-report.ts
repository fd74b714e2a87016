import type { IncomingMessage } from 'node:http';
import type { Activity } from '../activity/activity.ts';
import { CLIENT_LEFT, isPull } from '../activity/traffic.ts';
import type { AccessLog } from '../config.ts';
import type { Log } from '../log.ts';
import { errorFacts } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { answeredRequests } from '../request-cause.ts';
import { OUTCOME_REASONS } from '../pull-through/outcome-reason.ts';
import type { OfflineRequest } from '../pull-through/rehearsals.ts';
import type { Clock } from '../clock.ts';
import type { RequestSpan, Tracing } from '../tracing.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import { errorAnswer } from './error-response.ts';
import type { Exchange } from './exchange.ts';

/** What is kept of a client's name for itself. */
const AGENT_LIMIT = 200;
/** Targets that are longer are no pull's: pieces of them are copied, lest all of it is kept in memory. */
const USUAL_TARGET_LENGTH = 1000;

export interface RequestReporting {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly activity: Activity;
  readonly clock: Pick<Clock, 'now'>;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  /** Which requests have a line, at the moment. */
  readonly access: () => AccessLog;
  /** Told of what failed since its upstream is not asked. Must not throw. */
  readonly onOffline?: ((request: OfflineRequest) => void) | undefined;
}

/** Says that a request began, and once, when it is over, what became of it: one log line, the counters, and what people look at. */
export function reportWhenOver(exchange: Exchange, reporting: RequestReporting): void {
  const { activity, tracing } = reporting;
  activity.began(exchange);
  answeredRequests.add(exchange);
  const span = tracing?.request(exchange.header('traceparent'), exchange.startedAt);
  exchange.trace = span?.parent;
  exchange.onOver = () => {
    answeredRequests.delete(exchange);
    report(exchange, reporting);
    if (span !== undefined) span.end(spanOf(exchange));
  };
}

/** A request that is over. */
export type FinishedExchange = Pick<
  Exchange,
  | 'id'
  | 'client'
  | 'record'
  | 'sentBytes'
  | 'totalBytes'
  | 'startedAt'
  | 'firstByteAt'
  | 'isComplete'
  | 'status'
> & {
  readonly request: Pick<IncomingMessage, 'method' | 'url' | 'headers'>;
  readonly signal: Pick<AbortSignal, 'aborted'>;
};

/** Says once of a request that is over what became of it, without `reportWhenOver`: it is traced by nobody. */
export function report(exchange: FinishedExchange, reporting: RequestReporting): void {
  const { log, metrics, activity, clock, access, onOffline } = reporting;
  const { id, client, request, record, sentBytes, startedAt, firstByteAt, isComplete } = exchange;
  const { kind, upstream, repository, reference, outcome, reason } = record;
  const durationMs = performance.now() - startedAt;
  const timeToFirstByteMs = firstByteAt === undefined ? undefined : firstByteAt - startedAt;
  const hasLeft = exchange.status === undefined;
  const status = exchange.status ?? CLIENT_LEFT;
  const method = request.method ?? '';
  metrics.requestFinished({
    upstream,
    kind,
    outcome: outcome ?? 'none',
    code: status,
    isPull: isPull({ kind, method, status }),
    bytes: sentBytes,
    durationMs,
    timeToFirstByteMs,
  });
  if (record.error instanceof UpstreamError && record.error.reason === 'offline')
    onOffline?.({ upstream: upstream ?? '', repository: repository ?? '', reference, kind });
  const isUnexpected = record.error !== undefined && errorAnswer(record.error, kind).isUnexpected;
  if (isUnexpected && !exchange.signal.aborted) metrics.unexpectedError();
  const error = record.error === undefined ? undefined : errorFacts(record.error);
  const agent = request.headers['user-agent'];
  const isLong = (request.url?.length ?? 0) > USUAL_TARGET_LENGTH;
  activity.finished(exchange, {
    id,
    at: Math.round(clock.now() - durationMs),
    client,
    agent: agent === undefined || agent.length <= AGENT_LIMIT ? agent : copyOf(agent.slice(0, AGENT_LIMIT)),
    method,
    kind,
    upstream,
    repository: isLong ? copyOf(repository) : repository,
    reference: isLong ? copyOf(reference) : reference,
    status,
    outcome: outcome ?? 'none',
    reason: error?.message ?? (reason && OUTCOME_REASONS[reason]),
    bytes: sentBytes,
    durationMs,
    firstByteMs: timeToFirstByteMs,
    isComplete,
  });
  const isFault = isUnexpected && !exchange.signal.aborted;
  if (!isFault && !hasLine(access(), error !== undefined, kind === 'base' || outcome === 'hit')) return;
  const facts = {
    request: id,
    method,
    kind,
    upstream,
    repository,
    reference,
    status,
    outcome,
    ...(reason === undefined ? {} : { reason }),
    bytes: sentBytes,
    ms: Math.round(durationMs * 10) / 10,
    ...(isComplete ? {} : { incomplete: true }),
    client,
    agent,
    ...(error === undefined ? {} : { error }),
  };
  if (isFault) log.error(facts, 'request failed');
  else if (error !== undefined) log.warn(facts, isComplete ? 'request refused' : 'request broken off');
  else log.info(facts, hasLeft ? 'client left' : 'request');
}

function spanOf(exchange: Exchange): Parameters<RequestSpan['end']>[0] {
  const { id, request, record, sentBytes, isComplete } = exchange;
  const { kind, upstream, repository, outcome, reason } = record;
  const status = exchange.status ?? CLIENT_LEFT;
  return {
    name: `${request.method ?? ''} ${kind}`,
    isFailed: status >= 500 || (exchange.status !== undefined && !isComplete),
    attributes: {
      'http.request.method': request.method,
      'http.response.status_code': status,
      'http.response.body.size': sentBytes,
      'entrepot.request': id,
      'entrepot.kind': kind,
      'entrepot.upstream': upstream,
      'entrepot.repository': repository,
      'entrepot.outcome': outcome,
      'entrepot.reason': reason,
    },
  };
}

function hasLine(access: AccessLog, isError: boolean, isHit: boolean): boolean {
  if (access === 'all') return true;
  return access === 'none' ? false : isError || (access === 'misses' && !isHit);
}

function copyOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : Buffer.from(text).toString();
}
