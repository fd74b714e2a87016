import { z } from 'zod';
import {
  type UpstreamOperations,
  type UpstreamStanding,
  upstreamStanding,
} from '../activity/upstream-standing.ts';
import type { RemoteApi } from './remote-api.ts';

const answer = z.object({ upstreams: z.array(upstreamStanding) });

/** How the upstreams of a running server are, over its admin API. */
export class RemoteUpstreams implements UpstreamOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  async upstreams(signal: AbortSignal): Promise<readonly UpstreamStanding[]> {
    return (await this.#api.document({ path: 'upstreams' }, answer, signal)).upstreams;
  }
}
