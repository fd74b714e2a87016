import type { Clock } from '../clock.ts';
import type { Activity } from './activity.ts';
import type { ActivityOperations, RecentRequestsFilter } from './activity-operations.ts';
import type { ClientActivity, RequestRecord, SavingsReport, TrafficStep } from './activity-events.ts';
import type { LiveView } from './live-view.ts';
import { savingsReport, type StoredFacts } from './savings-report.ts';
import { UsageRows } from './usage-rows.ts';

export interface LocalActivityParts {
  readonly activity: Activity;
  readonly clock: Clock;
  /** Blobs that are being fetched, oldest first, so many at most. */
  readonly fills: (limit: number) => LiveView['fills'];
  readonly fillCount: () => number;
  /** What the index says of what is stored, for a report. @param since milliseconds since 1970 @param top images named */
  readonly stored: (
    options: { readonly since: number; readonly top: number },
    signal: AbortSignal,
  ) => Promise<StoredFacts>;
}

/** Shown of those that run. */
const FILLS_LIMIT = 200;

/** What was asked of this process. */
export class LocalActivity implements ActivityOperations {
  readonly #parts: LocalActivityParts;
  readonly #begunAt: number;

  constructor(parts: LocalActivityParts) {
    this.#parts = parts;
    this.#begunAt = parts.clock.now();
  }

  recent(filter: RecentRequestsFilter): Promise<readonly RequestRecord[]> {
    return Promise.resolve(this.#parts.activity.recent.list(filter));
  }

  clients(): Promise<readonly ClientActivity[]> {
    return Promise.resolve(this.#parts.activity.clients.list());
  }

  history({ sinceMs }: { readonly sinceMs: number }): Promise<readonly TrafficStep[]> {
    return Promise.resolve(this.#parts.activity.history.list(sinceMs));
  }

  async report(
    { sinceMs, top }: { readonly sinceMs: number; readonly top: number },
    signal: AbortSignal,
  ): Promise<SavingsReport> {
    const { activity, clock, stored } = this.#parts;
    const until = clock.now();
    const since = until - sinceMs;
    const rows = new UsageRows();
    rows.addSums(activity.sums);
    const keptSince = this.#begunAt > since ? { keptSince: this.#begunAt } : {};
    return savingsReport({ since, until, ...keptSince }, rows, await stored({ since, top }, signal), top);
  }

  live(): Promise<LiveView> {
    const { activity, fills, fillCount } = this.#parts;
    return Promise.resolve({ ...activity.live(), fills: fills(FILLS_LIMIT), fillCount: fillCount() });
  }
}
