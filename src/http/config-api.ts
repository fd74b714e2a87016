import { z } from 'zod';
import type { ReloadOperations } from '../reload-operations.ts';
import { type Api, addRoute } from './api-routes.ts';

export interface ConfigApiParts {
  readonly reload?: ReloadOperations | undefined;
  /** Without its secrets. */
  readonly config?: (() => Readonly<Record<string, unknown>>) | undefined;
}

/** The configuration that holds, and taking it again. */
export function addConfigRoutes(api: Api, { reload, config }: ConfigApiParts): void {
  const tag = 'configuration';
  if (config !== undefined)
    addRoute(
      api,
      {
        method: 'get',
        path: '/config',
        tag,
        summary: 'The configuration that holds, without its secrets',
        answer: z.record(z.string(), z.unknown()),
      },
      () => config(),
    );
  if (reload !== undefined)
    addRoute(
      api,
      {
        method: 'post',
        path: '/reload',
        tag,
        summary: 'Take the configuration again',
        description:
          'It is checked as a whole first; what is wrong, or cannot change without a restart, changes nothing.',
        answer: z.object({ changed: z.array(z.string()) }),
      },
      async ({ signal }) => ({ changed: [...(await reload.reload(signal)).changed] }),
    );
}
