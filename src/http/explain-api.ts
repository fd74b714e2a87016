import { z } from 'zod';
import { explanation, type ExplainOperations } from '../pull-through/explain-operations.ts';
import { type Api, addRoute, named } from './api-routes.ts';

const imageError = 'accepted is an image as docker pull takes it, of at most 1024 characters';
const asked = z.strictObject({
  image: z
    .string({ error: imageError })
    .min(1, { error: imageError })
    .max(1024, { error: imageError })
    .meta({ description: 'as `docker pull` takes it', example: 'nginx:1.27' }),
});

/** How an image would be answered. */
export function addExplainRoutes(api: Api, operations: ExplainOperations): void {
  addRoute(
    api,
    {
      method: 'get',
      path: '/explain',
      tag: 'images',
      summary: 'How a reference would be answered now, and why',
      description: 'No upstream is asked to find out.',
      query: asked,
      answer: named('Explanation', explanation),
    },
    ({ query: { image }, signal }) => operations.explain(image, signal),
  );
}
