import type { ActivityOperations } from '../../activity/activity-operations.ts';
import type { UpstreamOperations } from '../../activity/upstream-standing.ts';
import type { StoreOperations } from '../../cache/store-operations.ts';
import type { SetupRequest } from '../../client-setup/client-setup.ts';
import type { ExplainOperations } from '../../pull-through/explain-operations.ts';
import type { OfflineOperations } from '../../pull-through/offline-operations.ts';
import type { DashboardPage } from './dashboard-page.ts';
import { setupPage } from './pages/setup-page.ts';
import { storePage } from './pages/store-page.ts';
import { upstreamsPage } from './pages/upstreams-page.ts';

/** What the pages show. What is absent has no page. */
export interface PagesParts {
  readonly operations: StoreOperations;
  readonly offline: OfflineOperations;
  /** As of the configuration that holds now. */
  readonly setup: () => SetupRequest;
  readonly activity?: ActivityOperations | undefined;
  readonly upstreams?: UpstreamOperations | undefined;
  readonly explain?: ExplainOperations | undefined;
}

/** All pages, in the order of the navigation. */
export function dashboardPages({
  operations,
  offline,
  setup,
  upstreams,
}: PagesParts): readonly DashboardPage[] {
  return [storePage(operations), upstreamsPage({ upstreams, offline }), setupPage(setup)];
}
