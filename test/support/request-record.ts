import type { LiveRequest } from '../../src/activity/live-request.ts';
import type { RequestRecord } from '../../src/activity/activity-events.ts';

/** A cached manifest that was pulled whole, unless said otherwise. */
export function requestRecord(facts: Partial<RequestRecord> = {}): RequestRecord {
  return {
    id: '0123456789abcdef',
    at: 0,
    client: '192.0.2.1',
    method: 'GET',
    kind: 'manifest',
    upstream: 'docker.io',
    repository: 'library/app',
    reference: 'latest',
    status: 200,
    outcome: 'hit',
    bytes: 100,
    durationMs: 2,
    isComplete: true,
    ...facts,
  };
}

/** One that is being answered. */
export function liveRequest(facts: Partial<LiveRequest> = {}): LiveRequest {
  return {
    id: '0123456789abcdef',
    client: '192.0.2.1',
    startedAt: performance.now(),
    sentBytes: 0,
    totalBytes: undefined,
    record: {
      kind: 'blob',
      upstream: 'docker.io',
      repository: 'library/app',
      reference: undefined,
      outcome: undefined,
    },
    ...facts,
  };
}
