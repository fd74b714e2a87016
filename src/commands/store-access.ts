import type { ActivityOperations } from '../activity/activity-operations.ts';
import type { UpstreamOperations } from '../activity/upstream-standing.ts';
import type { StoreContents } from '../cache/store-contents.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import type { ExplainOperations } from '../pull-through/explain-operations.ts';
import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import type { ReloadOperations } from '../reload-operations.ts';
import type { WarmOperations } from '../warm/warm-operations.ts';

/** What a command may do with the store of a data directory. */
export interface StoreAccess {
  readonly activity: ActivityOperations;
  readonly operations: StoreOperations;
  readonly contents: StoreContents;
  /** Of the server. Absent: none runs. */
  readonly offline?: OfflineOperations | undefined;
  /** Of the server. Absent: none runs. */
  readonly upstreams?: UpstreamOperations | undefined;
  readonly explain: ExplainOperations;
  /** Likewise. */
  readonly reload?: ReloadOperations | undefined;
  /** Begins what pulls, the first time. */
  readonly warming: () => Promise<WarmOperations>;
  readonly close: () => Promise<void>;
}
