import type { UpstreamUsage } from '../metadata/usage-store.ts';
import type { RequestRecord } from './activity-events.ts';
import { addRequest, addTraffic, type Counted, noTraffic, type Traffic } from './traffic.ts';

/** With how long answers took, which the estimate of saved time rests on. */
export type UpstreamSums = UpstreamUsage;

/** What is counted under no upstream: requests that named none. */
export const NO_UPSTREAM = '';
/** What is counted together, since there were too many of them. */
export const OTHERS = '';

/** Names beyond these, between two writes, are counted as `OTHERS`. Some 300 bytes each. */
const IMAGE_LIMIT = 10_000;
const CLIENT_LIMIT = 10_000;
/** Those that the configuration has, and had before it was reloaded. */
const UPSTREAM_LIMIT = 1_000;

export function noUpstreamSums(): UpstreamSums {
  return {
    ...noTraffic(),
    upstreamBytes: 0,
    upstreamPulls: 0,
    blobHitBytes: 0,
    blobHitMs: 0,
    blobMissBytes: 0,
    blobMissMs: 0,
    smallHits: 0,
    smallHitMs: 0,
    smallMisses: 0,
    smallMissMs: 0,
  };
}

/** Adds all numbers of one to the other. */
export function addUpstreamSums(sum: UpstreamSums, other: Readonly<UpstreamSums>): void {
  addTraffic(sum, other);
  sum.upstreamBytes += other.upstreamBytes;
  sum.upstreamPulls += other.upstreamPulls;
  sum.blobHitBytes += other.blobHitBytes;
  sum.blobHitMs += other.blobHitMs;
  sum.blobMissBytes += other.blobMissBytes;
  sum.blobMissMs += other.blobMissMs;
  sum.smallHits += other.smallHits;
  sum.smallHitMs += other.smallHitMs;
  sum.smallMisses += other.smallMisses;
  sum.smallMissMs += other.smallMissMs;
}

/** What was asked since somebody last took the sums, in memory that has a bound whatever is asked. */
export class UsageSums {
  /** By name; `NO_UPSTREAM` among them. */
  readonly upstreams = new Map<string, UpstreamSums>();
  /** By upstream and repository: of answers that gave something. */
  readonly images = new Map<string, Map<string, Traffic>>();
  readonly clients = new Map<string, Traffic>();
  #imageCount = 0;

  get isEmpty(): boolean {
    return this.upstreams.size === 0;
  }

  add(record: RequestRecord, request: Counted): void {
    const { upstream = NO_UPSTREAM, repository } = record;
    const sums = this.upstream(upstream);
    addRequest(sums, request);
    addTime(sums, record, request.isHit);
    addRequest(this.#client(record.client), request);
    // Names that nothing was ever given for are anybody's to make up.
    if (repository !== undefined && record.status < 400)
      addRequest(this.#image(upstream, repository), request);
  }

  /** To be added to. */
  upstream(name: string): UpstreamSums {
    const known = this.upstreams.get(name);
    if (known !== undefined) return known;
    if (this.upstreams.size >= UPSTREAM_LIMIT && name !== NO_UPSTREAM) return this.upstream(NO_UPSTREAM);
    const sums = noUpstreamSums();
    this.upstreams.set(name, sums);
    return sums;
  }

  #client(name: string): Traffic {
    const known = this.clients.get(name);
    if (known !== undefined) return known;
    if (this.clients.size >= CLIENT_LIMIT && name !== OTHERS) return this.#client(OTHERS);
    const sums = noTraffic();
    this.clients.set(flat(name), sums);
    return sums;
  }

  #image(upstream: string, repository: string): Traffic {
    const known = this.images.get(upstream)?.get(repository);
    if (known !== undefined) return known;
    if (this.#imageCount >= IMAGE_LIMIT && repository !== OTHERS) return this.#image(upstream, OTHERS);
    const ofUpstream = this.images.get(upstream) ?? new Map<string, Traffic>();
    this.images.set(upstream, ofUpstream);
    const sums = noTraffic();
    ofUpstream.set(flat(repository), sums);
    this.#imageCount += 1;
    return sums;
  }
}

/** A copy of its own: a piece of a request's target would keep all of it in memory. */
function flat(text: string): string {
  return Buffer.from(text).toString();
}

/** Whole answers only: one that was broken off says nothing of a pace. */
function addTime(sums: UpstreamSums, record: RequestRecord, wasHit: boolean): void {
  const { outcome, kind, bytes, durationMs } = record;
  const wasMiss = outcome === 'miss' || outcome === 'bypass';
  if (!record.isComplete || record.status >= 400 || (!wasHit && !wasMiss)) return;
  if (kind === 'blob' && record.method === 'GET') {
    sums[wasHit ? 'blobHitBytes' : 'blobMissBytes'] += bytes;
    sums[wasHit ? 'blobHitMs' : 'blobMissMs'] += durationMs;
  } else {
    sums[wasHit ? 'smallHits' : 'smallMisses'] += 1;
    sums[wasHit ? 'smallHitMs' : 'smallMissMs'] += durationMs;
  }
}
