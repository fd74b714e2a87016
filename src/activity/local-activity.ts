import pLimit from 'p-limit';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Activity } from './activity.ts';
import type { ActivityOperations, RecentRequestsFilter } from './activity-operations.ts';
import type { ClientActivity, RequestRecord, SavingsReport, TrafficStep } from './activity-events.ts';
import type { LiveView } from './live-view.ts';
import { usageReport, type UsageReportParts } from './usage-report.ts';

export interface LocalActivityParts extends Omit<UsageReportParts, 'sums' | 'begunAt'> {
  readonly activity: Activity;
  /** Blobs that are being fetched, oldest first, so many at most. */
  readonly fills: (limit: number) => LiveView['fills'];
  readonly fillCount: () => number;
}

/** Shown of those that run. */
const FILLS_LIMIT = 200;
/** Reports that may wait for each other: each looks through the whole index. */
const REPORT_LIMIT = 8;

/** What was asked of this process, and of those before it on the same directory. */
export class LocalActivity implements ActivityOperations {
  readonly #parts: LocalActivityParts;
  readonly #begunAt: number;
  readonly #reports = pLimit(1);

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
    options: { readonly sinceMs: number; readonly top: number },
    signal: AbortSignal,
  ): Promise<SavingsReport> {
    const { activity } = this.#parts;
    if (this.#reports.activeCount + this.#reports.pendingCount >= REPORT_LIMIT)
      throw new StoreOperationError('busy', 'reports are being made; try again later');
    const parts = { ...this.#parts, sums: () => activity.sums, begunAt: this.#begunAt };
    return this.#reports(async () => {
      signal.throwIfAborted();
      return usageReport(parts, options, signal);
    });
  }

  live(): Promise<LiveView> {
    const { activity, fills, fillCount } = this.#parts;
    return Promise.resolve({ ...activity.live(), fills: fills(FILLS_LIMIT), fillCount: fillCount() });
  }
}
