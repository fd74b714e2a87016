import { z } from 'zod';
import { configDocument } from '../config-document.ts';
import type { ReloadOperations } from '../reload-operations.ts';
import { type Api, addRoute, named } from './api-routes.ts';

/** The configuration that holds, and taking it again. */
export function addConfigRoutes(api: Api, operations: ReloadOperations): void {
  const tag = 'configuration';
  addRoute(
    api,
    {
      method: 'get',
      path: '/config',
      tag,
      summary: 'The configuration that holds, without its secrets',
      answer: named('Configuration', configDocument),
    },
    ({ signal }) => operations.config(signal),
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/reload',
      tag,
      summary: 'Take the configuration again',
      description:
        'It is checked as a whole first; what is wrong, or cannot change without a restart, changes nothing.',
      answer: z.object({
        changed: z.array(z.string()).describe('Keys that are other than before, and hold now.'),
      }),
    },
    async ({ signal }) => ({ changed: [...(await operations.reload(signal)).changed] }),
  );
}
