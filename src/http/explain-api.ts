import { z } from 'zod';
import { explanation, type ExplainOperations } from '../pull-through/explain-operations.ts';
import { type Api, addRoute, named } from './api-routes.ts';
import { imageText } from './image-api-input.ts';

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
      query: z.strictObject({ image: imageText }),
      answer: named('Explanation', explanation),
    },
    ({ query: { image }, signal }) => operations.explain(image, signal),
  );
}
