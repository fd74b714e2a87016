import type { OutgoingHttpHeaders } from 'node:http';
import type { Outcome } from '../pull-through/served.ts';

/** `X-Cache`, `Age` on what may change, and a `Warning` on what is stale (RFC 7234 §5.5; the spec's clients show 299). */
export function cacheHeader(served: {
  readonly outcome: Outcome;
  readonly ageMs?: number | undefined;
}): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'X-Cache': served.outcome.toUpperCase() };
  const seconds = served.ageMs === undefined ? undefined : Math.floor(served.ageMs / 1000);
  if (seconds !== undefined) headers['Age'] = seconds;
  if (served.outcome === 'stale') {
    const what =
      seconds === undefined ? 'this is what is known here' : `this is what it said ${seconds} seconds ago`;
    headers['Warning'] = ['110 - "Response is Stale"', `299 - "the upstream could not be asked: ${what}"`];
  }
  return headers;
}
