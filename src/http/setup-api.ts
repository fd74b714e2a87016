import { z } from 'zod';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { SetupRequest } from '../client-setup/client-setup.ts';
import { CLIENTS, findClient } from '../client-setup/clients.ts';
import { clientRoutes } from '../client-setup/client-routes.ts';
import type { UpstreamConfig } from '../config.ts';
import { type Api, addRoute, named } from './api-routes.ts';
import { upstreamName } from './api-input.ts';

const client = z.object({ id: z.string(), aliases: z.array(z.string()), title: z.string() });
const clientSetup = z.object({
  client: z.string(),
  files: z.array(
    z.object({
      /** Absolute; `~/…`: below the user's home; else relative to where the client's command is run. */
      path: z.string(),
      content: z.string(),
      mode: z.string(),
      /** What is here belongs into a file that may hold more already. */
      merge: z.boolean(),
    }),
  ),
  /** Commands and sentences, in order. */
  steps: z.array(z.string()),
  /** What the client cannot do, and what to do instead. */
  limits: z.array(z.string()),
  warnings: z.array(z.string()),
});

export interface SetupApiParts {
  /** For all upstreams. */
  readonly setup: () => SetupRequest;
  readonly upstreams: () => readonly UpstreamConfig[];
}

const asked = z.strictObject({
  client: z.string().min(1).max(64).describe('one of those that /setup/clients lists'),
  upstream: upstreamName.optional().describe('only this one, in place of all'),
  catchAll: z.enum(['true', 'false'], { error: 'accepted is true or false' }).optional(),
});

/** What points clients at the cache: as `entrepot setup` prints it. */
export function addSetupRoutes(api: Api, { setup, upstreams }: SetupApiParts): void {
  const tag = 'setup';
  addRoute(
    api,
    {
      method: 'get',
      path: '/setup/clients',
      tag,
      summary: 'Clients that can be set up',
      answer: z.object({ clients: z.array(named('SetupClient', client)) }),
    },
    () => ({ clients: CLIENTS.map(({ id, aliases, title }) => ({ id, aliases: [...aliases], title })) }),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/setup',
      tag,
      summary: 'What points a client at the cache: files, and what to do',
      query: asked,
      answer: named('ClientSetup', clientSetup),
    },
    ({ query }) => {
      const found = findClient(query.client);
      if (found === undefined) {
        const known = CLIENTS.map(({ id }) => id).join(', ');
        throw new StoreOperationError('not-found', `client: there is none of that name; there are ${known}`);
      }
      const request = setup();
      const { cache } = request;
      const chosen = upstreams().filter(({ name }) => name === (query.upstream ?? name));
      if (chosen.length === 0)
        throw new StoreOperationError('not-found', `upstream: ${query.upstream} is not configured`);
      const routes = clientRoutes(chosen, cache);
      const made = found.setup({ cache, routes, catchAll: query.catchAll === 'true' });
      return {
        client: found.id,
        files: [...made.files],
        steps: [...made.steps],
        limits: [...made.limits],
        warnings: [...cache.warnings],
      };
    },
  );
}
