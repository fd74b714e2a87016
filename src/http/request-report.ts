import type { Log } from '../log.ts';
import { errorFacts } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { OfflineRequest } from '../pull-through/rehearsals.ts';
import { UpstreamError } from '../upstream/upstream-error.ts';
import { errorAnswer } from './error-response.ts';
import type { Exchange } from './exchange.ts';

/** nginx's status for a client that left before there was an answer; nobody is ever sent it. */
const CLIENT_LEFT = 499;

export interface RequestReporting {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Told of what failed since its upstream is not asked. Must not throw. */
  readonly onOffline?: ((request: OfflineRequest) => void) | undefined;
}

/** Says once, when a request is over, what became of it: one log line, and the counters. */
export function reportWhenOver(exchange: Exchange, { log, metrics, onOffline }: RequestReporting): void {
  exchange.response.on('close', () => {
    const { request, response, record, sentBytes, startedAt, firstByteAt } = exchange;
    const durationMs = performance.now() - startedAt;
    const timeToFirstByteMs = firstByteAt === undefined ? undefined : firstByteAt - startedAt;
    const isComplete = response.writableFinished;
    const hasLeft = !response.headersSent;
    const status = hasLeft ? CLIENT_LEFT : response.statusCode;
    metrics.requestFinished({
      upstream: record.upstream,
      kind: record.kind,
      outcome: record.outcome ?? 'none',
      code: status,
      bytes: sentBytes,
      durationMs,
      timeToFirstByteMs,
    });
    if (record.error instanceof UpstreamError && record.error.reason === 'offline') {
      const { upstream = '', repository = '', reference, kind } = record;
      onOffline?.({ upstream, repository, reference, kind });
    }
    const isUnexpected = record.error !== undefined && errorAnswer(record.error, record.kind).isUnexpected;
    if (isUnexpected && !exchange.signal.aborted) metrics.unexpectedError();
    const facts = {
      method: request.method,
      kind: record.kind,
      upstream: record.upstream,
      repository: record.repository,
      reference: record.reference,
      status,
      outcome: record.outcome,
      bytes: sentBytes,
      ms: Math.round(durationMs * 10) / 10,
      ...(isComplete ? {} : { incomplete: true }),
      client: request.socket.remoteAddress,
      agent: request.headers['user-agent'],
      ...(record.error === undefined ? {} : { error: errorFacts(record.error) }),
    };
    if (isUnexpected && !exchange.signal.aborted) log.error(facts, 'request failed');
    else if (record.error !== undefined)
      log.warn(facts, isComplete ? 'request refused' : 'request broken off');
    else log.info(facts, hasLeft ? 'client left' : 'request');
  });
}
