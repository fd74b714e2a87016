import type { LiveView } from './live-view.ts';
import type { ClientActivity, RequestRecord, SavingsReport, TrafficStep } from './activity-events.ts';

export interface RecentRequestsFilter {
  /** 1 to `RECENT_LIMIT`. */
  readonly limit: number;
  readonly client?: string | undefined;
  readonly upstream?: string | undefined;
  readonly outcome?: string | undefined;
}

/**
 * What was asked of the cache, by whom, and what it spared. Asked of a server that runs; where none does, `report` alone is
 * answered, from the data directory. All fail with StoreOperationError, or with the signal's reason.
 */
export interface ActivityOperations {
  /** The newest first. Kept in memory: they begin with the process. */
  recent(filter: RecentRequestsFilter, signal: AbortSignal): Promise<readonly RequestRecord[]>;
  /** Clients by address, those that had most bytes first; a bounded number, in memory. */
  clients(signal: AbortSignal): Promise<readonly ClientActivity[]>;
  /** What was answered in each step of time, oldest first, up to now: a step for each minute of a day, in memory. */
  history(options: { readonly sinceMs: number }, signal: AbortSignal): Promise<readonly TrafficStep[]>;
  /** Over days, from what is kept on disk. @param sinceMs how far back, milliseconds @param top rows of each list */
  report(
    options: { readonly sinceMs: number; readonly top: number },
    signal: AbortSignal,
  ): Promise<SavingsReport>;
  /** What goes on right now. */
  live(signal: AbortSignal): Promise<LiveView>;
}
