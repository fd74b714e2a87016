import type { UsageTraffic } from '../metadata/usage-store.ts';
import type { RequestRecord } from './activity-events.ts';

/** Requests and their answers, summed up. The words are those of `activity-events`. */
export type Traffic = UsageTraffic;

/** Those that no body from an upstream was needed for. */
const HIT_OUTCOMES: ReadonlySet<string> = new Set(['hit', 'revalidated', 'stale']);

export function noTraffic(): Traffic {
  return { requests: 0, hits: 0, pulls: 0, bytes: 0, hitBytes: 0 };
}

export function isHit({ outcome }: Pick<RequestRecord, 'outcome'>): boolean {
  return HIT_OUTCOMES.has(outcome);
}

/** A manifest that was given: what Docker Hub counts where it is asked for it. */
export function isPull({ kind, method, status }: Pick<RequestRecord, 'kind' | 'method' | 'status'>): boolean {
  return kind === 'manifest' && method === 'GET' && status === 200;
}

export function addRequest(traffic: Traffic, bytes: number, wasHit: boolean, wasPull: boolean): void {
  traffic.requests += 1;
  traffic.bytes += bytes;
  if (wasPull) traffic.pulls += 1;
  if (!wasHit) return;
  traffic.hits += 1;
  traffic.hitBytes += bytes;
}

export function addTraffic(sum: Traffic, other: Readonly<Traffic>): void {
  sum.requests += other.requests;
  sum.hits += other.hits;
  sum.pulls += other.pulls;
  sum.bytes += other.bytes;
  sum.hitBytes += other.hitBytes;
}
