import type { OutcomeReason } from '../pull-through/outcome-reason.ts';
import type { Outcome } from '../pull-through/served.ts';
import type { AskedFor } from './error-response.ts';

/** What the one log line and the metrics of a request say. Filled while it is served. */
export interface RequestRecord {
  kind: AskedFor;
  upstream: string | undefined;
  repository: string | undefined;
  /** Tag or digest. */
  reference: string | undefined;
  outcome: Outcome | undefined;
  /** Why it was no hit. */
  reason: OutcomeReason | undefined;
  error: unknown;
}
