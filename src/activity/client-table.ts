import { recentEntries } from '../recent-entries.ts';
import type { ClientActivity } from './activity-events.ts';
import { noTraffic, type Traffic } from './traffic.ts';

/** Addresses; those that were not seen for longest are forgotten first. Some 300 bytes each: 3 MB. */
const CLIENT_LIMIT = 10_000;

interface ClientRow extends Traffic {
  readonly client: string;
  lastAt: number;
}

/** What each client asked for, since this process began. */
export class ClientTable {
  readonly #rows = recentEntries<string, ClientRow>(CLIENT_LIMIT);

  /** To be added to. */
  row(client: string): ClientRow {
    const known = this.#rows.get(client);
    if (known !== undefined) return known;
    const row = { client, ...noTraffic(), lastAt: 0 };
    this.#rows.set(client, row);
    return row;
  }

  /** Those that had most bytes first. */
  list(): readonly ClientActivity[] {
    return Array.from(this.#rows.values(), (row) => ({ ...row })).toSorted(
      (a, b) => b.bytes - a.bytes || b.requests - a.requests || (a.client < b.client ? -1 : 1),
    );
  }
}
