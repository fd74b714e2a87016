import type { UsageTraffic } from '../metadata/usage-store.ts';
import type { RequestRecord } from './activity-events.ts';

/** Requests and their answers, summed up. The words are those of `activity-events`. */
export type Traffic = UsageTraffic;

/** nginx's status for a client that left before there was an answer; nobody is ever sent it. */
export const CLIENT_LEFT = 499;
/** Those that no body from an upstream was needed for. */
const HIT_OUTCOMES: ReadonlySet<string> = new Set(['hit', 'revalidated', 'stale']);

export function noTraffic(): Traffic {
  return { requests: 0, hits: 0, failures: 0, pulls: 0, bytes: 0, hitBytes: 0 };
}

export function isHit({ outcome }: Pick<RequestRecord, 'outcome'>): boolean {
  return HIT_OUTCOMES.has(outcome);
}

/** Whether content was asked for and given: pings and refusals say nothing of how good a cache is. */
export function isAnswer({ outcome }: Pick<RequestRecord, 'outcome'>): boolean {
  return outcome !== 'none';
}

/**
 * An answer that ought to have been another: 5xx, 429, or one whose body was broken off, by either side. What a client did
 * wrong, may not have or did not wait for is none.
 */
export function isFailure({ status, isComplete }: Pick<RequestRecord, 'status' | 'isComplete'>): boolean {
  return status !== CLIENT_LEFT && (status >= 500 || status === 429 || !isComplete);
}

/** A manifest that was given: what Docker Hub counts where it is asked for it. */
export function isPull({ kind, method, status }: Pick<RequestRecord, 'kind' | 'method' | 'status'>): boolean {
  return kind === 'manifest' && method === 'GET' && status === 200;
}

/** What one request adds to sums; found once for all of them. */
export interface Counted {
  readonly bytes: number;
  readonly isAnswer: boolean;
  readonly isHit: boolean;
  readonly isFailure: boolean;
  readonly isPull: boolean;
}

export function counted(record: RequestRecord): Counted {
  const { bytes } = record;
  return {
    bytes,
    isAnswer: isAnswer(record),
    isHit: isHit(record),
    isFailure: isFailure(record),
    isPull: isPull(record),
  };
}

export function addRequest(traffic: Traffic, request: Counted): void {
  traffic.bytes += request.bytes;
  if (request.isAnswer) traffic.requests += 1;
  if (request.isFailure) traffic.failures += 1;
  if (request.isPull) traffic.pulls += 1;
  if (!request.isHit) return;
  traffic.hits += 1;
  traffic.hitBytes += request.bytes;
}

export function addTraffic(sum: Traffic, other: Readonly<Traffic>): void {
  sum.requests += other.requests;
  sum.hits += other.hits;
  sum.failures += other.failures;
  sum.pulls += other.pulls;
  sum.bytes += other.bytes;
  sum.hitBytes += other.hitBytes;
}
