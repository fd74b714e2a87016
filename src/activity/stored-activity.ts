import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { ActivityOperations } from './activity-operations.ts';
import type { SavingsReport } from './activity-events.ts';
import { usageReport, type UsageReportParts } from './usage-report.ts';

/** What is kept of a directory that no server uses: its report, and nothing of what only a process knows. */
export class StoredActivity implements ActivityOperations {
  readonly #parts: Omit<UsageReportParts, 'sums' | 'begunAt'>;

  constructor(parts: Omit<UsageReportParts, 'sums' | 'begunAt'>) {
    this.#parts = parts;
  }

  report(
    options: { readonly sinceMs: number; readonly top: number },
    signal: AbortSignal,
  ): Promise<SavingsReport> {
    const begunAt = this.#parts.clock.now();
    return usageReport({ ...this.#parts, sums: () => undefined, begunAt }, options, signal);
  }

  recent(): Promise<never> {
    return nobody();
  }

  clients(): Promise<never> {
    return nobody();
  }

  history(): Promise<never> {
    return nobody();
  }

  live(): Promise<never> {
    return nobody();
  }
}

function nobody(): Promise<never> {
  return Promise.reject(new StoreOperationError('unreachable', 'no server uses the data directory'));
}
