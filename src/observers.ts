import type { Activity } from './activity/activity.ts';
import type { Clock } from './clock.ts';
import type { Log } from './log.ts';
import { errorFacts } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { UpkeepObserver } from './cache/upkeep-observer.ts';
import type { PullThroughObserver } from './pull-through/pull-through-observer.ts';
import type { OfflineState } from './upstream/offline-switch.ts';
import { EvictionLines, upstreamStateLines } from './state-lines.ts';
import type { ScheduleObserver } from './warm/schedule-observer.ts';
import type { Tracing } from './tracing.ts';
import type { UpstreamObserver } from './upstream/upstream-observer.ts';

interface Reporting {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Trouble that lasts would fill the log: it is said again after this long. */
const REPEAT_AFTER_MS = 60_000;

/** Counts and logs what the pull-through tells. */
export function pullThroughObserver({
  log,
  metrics,
  clock,
}: Reporting & { readonly clock: Clock }): PullThroughObserver {
  const evictions = new EvictionLines(log, clock);
  const lastSaid = new Map<string, number>();
  const isNews = (what: string): boolean => {
    const now = performance.now();
    const said = lastSaid.get(what);
    if (said !== undefined && now - said < REPEAT_AFTER_MS) return false;
    lastSaid.set(what, now);
    return true;
  };
  return {
    fillResumed(digest, cause, request) {
      metrics.fills.resumed();
      log.info({ ...caused(request), digest, error: errorFacts(cause) }, 'a broken transfer goes on');
    },
    fillFailed(digest, cause, request) {
      metrics.fills.failed(cause instanceof Error && 'reason' in cause ? String(cause.reason) : undefined);
      const facts = { ...caused(request), digest, error: errorFacts(cause) };
      log.warn(facts, 'a fill failed; nothing of it is cached');
    },
    integrityFailure(where, digest, cause) {
      metrics.integrityFailure(where);
      const facts = { where, digest, error: errorFacts(cause) };
      // Whoever removes a store's files makes a million of these: reconciling tells of them as one.
      if (where === 'reconcile') log.debug(facts, 'wrong or missing bytes');
      else log.error(facts, 'wrong or missing bytes');
    },
    cacheFailure(where, cause) {
      metrics.cacheError(where);
      if (isNews(where))
        log.error({ where, error: errorFacts(cause) }, 'the cache fails; pulls go on without it');
    },
    conditionChanged(change) {
      metrics.store.trouble(change.isSound ? undefined : change.reason);
      if (change.isSound) {
        const { reason, lastedMs } = change;
        log.info({ reason, seconds: Math.round(lastedMs / 1000) }, 'the store can be written again');
      } else {
        const { reason, cause } = change;
        log.error({ reason, error: errorFacts(cause) }, 'the store is in trouble: pulls go on without it');
      }
    },
    fillEnded(fill) {
      metrics.fills.ended(fill);
    },
    evicted(evicted) {
      metrics.store.evicted(evicted);
      evictions.evicted(evicted);
    },
    tagMoved(upstream, repository, tag, from, to) {
      log.info({ upstream, repository, tag, from, to }, 'a tag moved');
    },
  };
}

/** Counts and logs what is done to what is stored, in the background. */
export function upkeepObserver({ log, metrics }: Reporting): UpkeepObserver {
  return {
    indexLost(setAside) {
      log.error({ setAside }, 'the index turned out damaged: it was moved aside, and begins empty');
    },
    reconcileBegan() {
      log.info({}, 'files and index are brought together');
    },
    reconcileEnded(progress) {
      const wasWrong = progress.quarantined + progress.dropped + progress.unreadable > 0;
      if (wasWrong) log.warn({ ...progress }, 'files and index agree');
      else log.info({ ...progress }, 'files and index agree');
    },
    reconcileFailed(cause) {
      log.error({ error: errorFacts(cause) }, 'files and index cannot be brought together now; tried again');
    },
    verified(bytes) {
      metrics.verified(bytes);
    },
    scrubBegan() {
      log.info({}, 'every stored file is read and verified');
    },
    scrubEnded(found) {
      log.info({ ...found }, 'every stored file was verified');
    },
    scrubFailed(cause) {
      log.error({ error: errorFacts(cause) }, 'stored files cannot be verified now; goes on later');
    },
  };
}

/** Logs, and shows, which upstreams are asked no more, or again. */
export function offlineObserver({ log, metrics }: Reporting): (changed: readonly OfflineState[]) => void {
  return (changed) => {
    for (const { upstream, isOffline } of changed) metrics.offline.set(upstream, isOffline);
    const gone = changed.filter(({ isOffline }) => isOffline);
    const until = gone.find((state) => state.until !== undefined)?.until;
    const end = until === undefined ? {} : { until: new Date(until).toISOString() };
    if (gone.length > 0)
      log.warn({ upstreams: gone.map(nameOf), ...end }, 'offline: upstreams are not asked');
    const back = changed.filter(({ isOffline }) => !isOffline);
    if (back.length > 0) log.info({ upstreams: back.map(nameOf) }, 'online: upstreams are asked again');
  };
}

/** Counts and logs what schedules bring in. */
export function scheduleObserver({ log, metrics }: Reporting, clock: Pick<Clock, 'now'>): ScheduleObserver {
  return {
    due(schedule, at) {
      metrics.warm.due(schedule, at);
    },
    missing(schedule, { place, message }) {
      log.warn({ schedule, place, problem: message }, 'what is to be warmed cannot be read yet');
    },
    begun(schedule) {
      metrics.warm.begun(schedule);
      log.info({ schedule }, 'warming as scheduled');
    },
    problem(schedule, { place, message }) {
      log.warn({ schedule, place, problem: message }, 'what is to be warmed cannot be read');
    },
    imageFailed(schedule, { image, place, digest, reason, message }) {
      log.warn({ schedule, image, place, digest, reason, problem: message }, 'an image could not be warmed');
    },
    waiting(schedule, { upstream, why, untilMs, remaining, reserve }) {
      const until = new Date(untilMs).toISOString();
      log.info({ schedule, upstream, why, until, remaining, reserve }, 'warming waits for the upstream');
    },
    ended(schedule, result) {
      metrics.warm.ended(schedule, { ...result, endedAt: clock.now() });
      if (result.outcome === 'done') log.info({ schedule, ...result }, 'warmed as scheduled');
      else log.warn({ schedule, ...result }, 'not all could be warmed as scheduled');
    },
    unexpected(schedule, error) {
      log.error({ schedule, error: errorFacts(error, { stack: true }) }, 'warming failed unexpectedly');
    },
  };
}

/** The client's request that something was done for. */
function caused(request: string | undefined): { readonly request?: string } {
  return request === undefined ? {} : { request };
}

function nameOf({ upstream }: OfflineState): string {
  return upstream;
}

interface UpstreamReporting extends Reporting {
  readonly activity: Activity;
  /** Absent: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly clock: Clock;
}

/** Counts and logs what happens between us and one upstream. */
export function upstreamObserver(
  upstream: string,
  { log, metrics, activity, tracing, clock }: UpstreamReporting,
): UpstreamObserver {
  const lines = upstreamStateLines(upstream, log, clock);
  let isNew = true;
  return {
    requestStarted() {
      if (isNew) metrics.upstreams.begun(upstream);
      isNew = false;
    },
    requestFinished({ kind, method, code, durationMs, request, trace }) {
      tracing?.upstreamRequest({
        name: `upstream ${method} ${kind}`,
        parent: trace,
        durationMs,
        isFailed: code === 'error' || code >= 500,
        attributes: {
          'http.request.method': method,
          'http.response.status_code': code === 'error' ? undefined : code,
          'entrepot.kind': kind,
          'entrepot.upstream': upstream,
        },
      });
      if (kind === 'manifest' && method === 'GET' && code === 200) activity.upstreamPull(upstream);
      const known = kind === 'token' || kind === 'ping' ? 'other' : kind;
      metrics.upstreams.requestFinished({
        upstream,
        kind: known,
        method: method === 'POST' ? 'other' : method,
        code: code === 'error' ? undefined : code,
        durationMs,
      });
      const ms = Math.round(durationMs);
      log.debug({ ...caused(request), upstream, kind, method, code, ms }, 'upstream request');
    },
    bytesReceived(count) {
      metrics.upstreams.bytes(upstream, count);
      activity.upstreamBytes(upstream, count);
    },
    // What these mean depends on what was said before: UpstreamStandings makes metrics of them.
    rateLimit() {},
    paused: (event) => lines.paused(event),
    availabilityChanged(cause) {
      metrics.upstreams.up(upstream, cause === undefined);
      lines.availabilityChanged(cause);
    },
    mirrorAvailabilityChanged(change) {
      metrics.upstreams.mirrorUp(upstream, change.mirror, change.cause === undefined);
      lines.mirrorAvailabilityChanged(change);
    },
    breakerChanged(phase) {
      metrics.upstreams.breaker(upstream, phase);
      lines.breakerChanged(phase);
    },
    tryFailed() {},
    retried({ kind, reason, delayMs, request }) {
      metrics.upstreams.retried(upstream);
      const facts = { upstream, kind, reason, delayMs: Math.round(delayMs) };
      log.info({ ...caused(request), ...facts }, 'asking the upstream again');
    },
    refused({ what, host }) {
      log.warn({ upstream, what, host }, 'the upstream named a forbidden place');
    },
    refusedTlsFiles({ problem }) {
      log.error({ upstream, problem }, "the upstream's new certificates cannot be used; the old ones stay");
    },
    unusableCredentials({ key, problem }) {
      log.error({ upstream, key, problem }, 'the credentials for the upstream cannot be had');
    },
    doubtfulCredentials({ key, problem }) {
      log.warn({ upstream, key, problem }, 'the credentials for the upstream are not as they should be');
    },
  };
}
