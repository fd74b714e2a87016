import type { OfflineOperations } from '../pull-through/offline-operations.ts';
import {
  type OfflineReport,
  offlineReport,
  type RehearsalReport,
  rehearsalReport,
} from '../pull-through/offline-report.ts';
import type { OfflineOrder } from '../upstream/offline-switch.ts';
import type { RemoteApi } from './remote-api.ts';

/** Offline mode of a running server, over its admin API. */
export class RemoteOffline implements OfflineOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  offline(signal: AbortSignal): Promise<OfflineReport> {
    return this.#api.document({ path: 'offline' }, offlineReport, signal);
  }

  setOffline({ isOffline, ...rest }: OfflineOrder, signal: AbortSignal): Promise<OfflineReport> {
    return this.#api.document(
      { path: 'offline', body: { offline: isOffline, ...rest } },
      offlineReport,
      signal,
    );
  }

  rehearsal(signal: AbortSignal): Promise<RehearsalReport> {
    return this.#api.document({ path: 'rehearsal' }, rehearsalReport, signal);
  }
}
