import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { OfflineOrder, OfflineSwitch } from '../upstream/offline-switch.ts';
import type { OfflineReport, RehearsalReport } from './offline-report.ts';
import type { Rehearsals } from './rehearsals.ts';

/** What an operator may ask of offline mode, in the server or of it. All fail with StoreOperationError, or the signal's reason. */
export interface OfflineOperations {
  offline(signal: AbortSignal): Promise<OfflineReport>;
  /** Holds when it resolves. `invalid`: an upstream that is not configured; nothing was changed then. */
  setOffline(order: OfflineOrder, signal: AbortSignal): Promise<OfflineReport>;
  rehearsal(signal: AbortSignal): Promise<RehearsalReport>;
}

/** Of this process. */
export class LocalOffline implements OfflineOperations {
  readonly #switch: OfflineSwitch;
  readonly #rehearsals: Rehearsals;

  constructor(offline: OfflineSwitch, rehearsals: Rehearsals) {
    this.#switch = offline;
    this.#rehearsals = rehearsals;
  }

  async offline(): Promise<OfflineReport> {
    return Promise.resolve({ upstreams: this.#switch.states.map((state) => ({ ...state })) });
  }

  async setOffline(order: OfflineOrder): Promise<OfflineReport> {
    const known = this.#switch.states.map(({ upstream }) => upstream);
    const unknown = order.upstreams?.find((name) => !known.includes(name));
    if (unknown !== undefined) {
      const message = `upstream ${unknown}: not configured; there are ${known.join(', ')}`;
      throw new StoreOperationError('invalid', message);
    }
    this.#switch.set(order);
    return this.offline();
  }

  async rehearsal(): Promise<RehearsalReport> {
    // What has ended has ended, though its timer may be late.
    void this.#switch.states;
    return Promise.resolve(this.#rehearsals.report);
  }
}
