import type { Clock } from '../clock.ts';
import type { RequestRecord } from './activity-events.ts';
import { ClientTable } from './client-table.ts';
import type { LiveRequest } from './live-request.ts';
import type { LiveView } from './live-view.ts';
import { RecentRequests } from './recent-requests.ts';
import { TrafficHistory } from './traffic-history.ts';
import { addRequest, counted } from './traffic.ts';
import { UsageSums } from './usage-sums.ts';

/** Shown of those that are being answered. */
const LIVE_LIMIT = 200;

/**
 * What is asked of this process, as it happens. It is told of every request, so telling costs a microsecond, and takes
 * memory that has a bound: some 10 MB when all of it is full. Nothing here touches the disk.
 */
export class Activity {
  readonly recent = new RecentRequests();
  readonly clients = new ClientTable();
  readonly history: TrafficHistory;
  readonly #clock: Clock;
  /** In the order in which they began. As many as there are connections. */
  readonly #live = new Set<LiveRequest>();
  #sums = new UsageSums();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.history = new TrafficHistory(clock);
  }

  /** A request is being answered; `finished` or `left` follows. */
  began(request: LiveRequest): void {
    this.#live.add(request);
  }

  /** It is over, and this became of it. */
  finished(request: LiveRequest, record: RequestRecord): void {
    this.#live.delete(request);
    const sum = counted(record);
    this.recent.add(record);
    addRequest(this.history.current, sum);
    const client = this.clients.row(record.client);
    addRequest(client, sum);
    client.lastAt = record.at;
    this.#sums.add(record, sum);
  }

  /** Body bytes came from an upstream, for whatever reason. */
  upstreamBytes(upstream: string, count: number): void {
    this.history.current.upstreamBytes += count;
    this.#sums.upstream(upstream).upstreamBytes += count;
  }

  /** An upstream gave a manifest that was asked for by GET. */
  upstreamPull(upstream: string): void {
    this.history.current.upstreamPulls += 1;
    this.#sums.upstream(upstream).upstreamPulls += 1;
  }

  /** Of what was not taken yet; goes on being added to. */
  get sums(): UsageSums {
    return this.#sums;
  }

  /** What was asked since this was called last. */
  takeSums(): UsageSums {
    const taken = this.#sums;
    this.#sums = new UsageSums();
    return taken;
  }

  get liveCount(): number {
    return this.#live.size;
  }

  live(): Pick<LiveView, 'at' | 'requests' | 'requestCount'> {
    const at = this.#clock.now();
    const now = performance.now();
    const requests: LiveView['requests'] = [];
    for (const request of this.#live) {
      if (requests.length >= LIVE_LIMIT) break;
      const { id, client, record, sentBytes, totalBytes, startedAt } = request;
      const { kind, upstream, repository, reference, outcome } = record;
      const begunAt = Math.round(at - (now - startedAt));
      const what = { kind, upstream, repository, reference, outcome };
      requests.push({ id, client, ...what, sentBytes, totalBytes, begunAt });
    }
    return { at, requests, requestCount: this.#live.size };
  }
}
