import type { RecentRequestsFilter } from './activity-operations.ts';
import type { RequestRecord } from './activity-events.ts';

/** With its texts each is a kilobyte at most but for odd names: 1 MB. */
export const RECENT_LIMIT = 1000;

/** The requests that ended last, in a ring. */
export class RecentRequests {
  readonly #ring: RequestRecord[] = [];
  #next = 0;

  add(record: RequestRecord): void {
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % RECENT_LIMIT;
  }

  /** The newest first. */
  list({ limit, client, upstream, outcome }: RecentRequestsFilter): readonly RequestRecord[] {
    const found: RequestRecord[] = [];
    const count = this.#ring.length;
    for (let back = 1; back <= count && found.length < limit; back += 1) {
      const record = this.#ring[(this.#next - back + count) % count];
      if (record === undefined) continue;
      const isWanted =
        (client === undefined || record.client === client) &&
        (upstream === undefined || record.upstream === upstream) &&
        (outcome === undefined || record.outcome === outcome);
      if (isWanted) found.push(record);
    }
    return found;
  }
}
