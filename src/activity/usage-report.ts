import type { Clock } from '../clock.ts';
import type { SavingsReport } from './activity-events.ts';
import { DAY_MS, type KeptUsage } from './kept-usage.ts';
import { savingsReport, type StoredFacts } from './savings-report.ts';
import { UsageRows } from './usage-rows.ts';
import type { UsageSums } from './usage-sums.ts';

export interface UsageReportParts {
  readonly clock: Clock;
  /** Absent: nothing is kept beyond this process. */
  readonly usage: Pick<KeptUsage, 'read'> | undefined;
  /** What is not kept yet. */
  readonly sums: () => UsageSums | undefined;
  /** When this process began to count. */
  readonly begunAt: number;
  /** What the index says of what is stored. @param since milliseconds since 1970 @param top images named */
  readonly stored: (
    options: { readonly since: number; readonly top: number },
    signal: AbortSignal,
  ) => Promise<StoredFacts>;
}

/** @param sinceMs how far back; what is kept is kept by days (UTC), so that the day in which that falls counts as a whole */
export async function usageReport(
  { clock, usage, sums, begunAt, stored }: UsageReportParts,
  { sinceMs, top }: { readonly sinceMs: number; readonly top: number },
  signal: AbortSignal,
): Promise<SavingsReport> {
  const until = clock.now();
  const asked = Math.max(0, until - sinceMs);
  const fromDay = Math.floor(asked / DAY_MS);
  const since = usage === undefined ? asked : fromDay * DAY_MS;
  const rows = new UsageRows();
  const firstDay = await usage?.read(rows, fromDay, signal);
  const rest = sums();
  if (rest !== undefined) rows.addSums(rest);
  const keptFrom = firstDay === undefined ? begunAt : firstDay * DAY_MS;
  const facts = await stored({ since, top }, signal);
  return savingsReport({ since, until, ...(keptFrom > since && { keptSince: keptFrom }) }, rows, facts, top);
}
