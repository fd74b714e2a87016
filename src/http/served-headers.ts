import type { OutgoingHttpHeaders } from 'node:http';
import type { Outcome } from '../pull-through/served.ts';

/** `X-Cache`, `Age` on what may change, and a `Warning` on what is stale (RFC 7234 §5.5; the spec's clients show 299). */
export function cacheHeader(served: {
  readonly outcome: Outcome;
  readonly ageMs?: number | undefined;
}): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = { 'X-Cache': served.outcome.toUpperCase() };
  if (served.ageMs !== undefined) {
    const seconds = Math.floor(served.ageMs / 1000);
    headers['Age'] = seconds;
    if (served.outcome === 'stale') {
      headers['Warning'] = [
        '110 - "Response is Stale"',
        `299 - "the upstream could not be asked: this is what it said ${seconds} seconds ago"`,
      ];
    }
  }
  return headers;
}
