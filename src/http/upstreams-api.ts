import { z } from 'zod';
import { type UpstreamOperations, upstreamStanding } from '../activity/upstream-standing.ts';
import { type Api, addRoute, named } from './api-routes.ts';

/** How upstreams are. */
export function addUpstreamRoutes(api: Api, operations: UpstreamOperations): void {
  addRoute(
    api,
    {
      method: 'get',
      path: '/upstreams',
      tag: 'upstreams',
      summary: 'How upstreams are: state, quota, latency, last errors',
      answer: z.object({ upstreams: z.array(named('UpstreamStanding', upstreamStanding)) }),
    },
    async ({ signal }) => ({ upstreams: [...(await operations.upstreams(signal))] }),
  );
}
