import type { ActivityOperations } from '../../activity/activity-operations.ts';
import type { UpstreamOperations } from '../../activity/upstream-standing.ts';
import type { CatalogueOperations } from '../../cache/catalogue-operations.ts';
import type { StoreOperations } from '../../cache/store-operations.ts';
import type { SetupRequest } from '../../client-setup/client-setup.ts';
import type { ExplainOperations } from '../../pull-through/explain-operations.ts';
import type { OfflineOperations } from '../../pull-through/offline-operations.ts';
import type { ReloadOperations } from '../../reload-operations.ts';
import type { WarmJobOperations } from '../../warm/warm-jobs.ts';
import type { DashboardPage } from './dashboard-page.ts';
import { clientsPage } from './pages/clients-page.ts';
import { explainPage } from './pages/explain-page.ts';
import { configurationPage } from './pages/configuration-page.ts';
import { imagePage } from './pages/image-page.ts';
import { imagesPage } from './pages/images-page.ts';
import { overviewPage } from './pages/overview-page.ts';
import { reportPage } from './pages/report-page.ts';
import { requestsPage } from './pages/requests-page.ts';
import { setupPage } from './pages/setup-page.ts';
import { storePage } from './pages/store-page.ts';
import { upstreamsPage } from './pages/upstreams-page.ts';
import { warmPage } from './pages/warm-page.ts';

/** What the pages show. */
export interface PagesParts {
  readonly operations: StoreOperations;
  readonly offline: OfflineOperations;
  readonly upstreams: UpstreamOperations;
  readonly activity: ActivityOperations;
  readonly explain: ExplainOperations;
  /** As of the configuration that holds now. */
  readonly setup: () => SetupRequest;
  readonly catalogue: CatalogueOperations;
  readonly warmJobs: WarmJobOperations;
  readonly reload: ReloadOperations;
}

/** All pages, in the order of the navigation. */
export function dashboardPages(parts: PagesParts): readonly DashboardPage[] {
  const { operations, offline, upstreams, setup, activity, explain, catalogue, warmJobs, reload } = parts;
  return [
    overviewPage({ operations, activity, upstreams, setup }),
    imagesPage({ catalogue, operations }),
    imagePage({ catalogue, operations }),
    upstreamsPage({ upstreams, offline }),
    storePage(operations),
    warmPage({ operations, jobs: warmJobs }),
    requestsPage(activity),
    clientsPage(activity),
    reportPage(activity),
    explainPage(explain),
    setupPage(setup),
    configurationPage(reload),
  ];
}
