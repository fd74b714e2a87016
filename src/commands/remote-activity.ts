import { z } from 'zod';
import type { ActivityOperations, RecentRequestsFilter } from '../activity/activity-operations.ts';
import {
  type ClientActivity,
  clientActivity,
  type RequestRecord,
  requestRecord,
  type SavingsReport,
  savingsReport,
  type TrafficStep,
  trafficStep,
} from '../activity/activity-events.ts';
import { type LiveView, liveView } from '../activity/live-view.ts';
import type { RemoteApi } from './remote-api.ts';

const requests = z.object({ requests: z.array(requestRecord) });
const clients = z.object({ clients: z.array(clientActivity) });
const steps = z.object({ steps: z.array(trafficStep) });

/** What was asked of a running server, over its admin API. */
export class RemoteActivity implements ActivityOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  async recent(filter: RecentRequestsFilter, signal: AbortSignal): Promise<readonly RequestRecord[]> {
    const { limit, client, upstream, outcome } = filter;
    const path = `activity/recent?${query({ limit, client, upstream, outcome })}`;
    return (await this.#api.document({ path }, requests, signal)).requests;
  }

  async clients(signal: AbortSignal): Promise<readonly ClientActivity[]> {
    return (await this.#api.document({ path: 'activity/clients' }, clients, signal)).clients;
  }

  async history(
    { sinceMs }: { readonly sinceMs: number },
    signal: AbortSignal,
  ): Promise<readonly TrafficStep[]> {
    const path = `activity/history?${query({ sinceMs })}`;
    return (await this.#api.document({ path }, steps, signal)).steps;
  }

  report(
    options: { readonly sinceMs: number; readonly top: number },
    signal: AbortSignal,
  ): Promise<SavingsReport> {
    return this.#api.document({ path: `report?${query(options)}` }, savingsReport, signal);
  }

  live(signal: AbortSignal): Promise<LiveView> {
    return this.#api.document({ path: 'activity/live' }, liveView, signal);
  }
}

function query(values: Readonly<Record<string, string | number | undefined>>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value !== undefined) given.set(name, String(value));
  return given.toString();
}
