import { z } from 'zod';
import { type CatalogueOperations, IMAGE_ORDERS, PAGE_LIMIT } from '../cache/catalogue-operations.ts';
import { blobPage, imageDetail, imagePage } from '../cache/image-events.ts';
import { imageEntry } from '../cache/store-events.ts';
import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import { wholeNumber } from './api-input.ts';
import { type Api, addPlainRoute, addRoute, named, type Stream } from './api-routes.ts';
import { imageText, selected, selectionOf } from './image-api-input.ts';

const USUAL_LIMIT = '100';
const orders = `accepted is ${IMAGE_ORDERS.join(', ')}`;
const paging = {
  limit: wholeNumber({ least: 1, most: PAGE_LIMIT })
    .optional()
    .describe(`of a page; ${USUAL_LIMIT} without it`),
  after: z.string().max(4096).optional().describe('`next` of the page before'),
};
const asked = selected.extend({
  search: z
    .string()
    .max(255, { error: 'accepted are 255 characters at most' })
    .optional()
    .describe('part of `upstream/repository:tag` or of a digest'),
  sort: z.enum(IMAGE_ORDERS, { error: orders }).optional(),
  order: z
    .enum(['asc', 'desc'], { error: 'accepted is asc or desc' })
    .optional()
    .describe('names asc, all else desc without it'),
  ...paging,
});
const page = named('ImagePage', imagePage);
const NDJSON = 'application/x-ndjson';

export interface ImagesApiParts {
  readonly operations: StoreOperations;
  readonly catalogue: CatalogueOperations;
  readonly stream: Stream;
}

/** Images and blobs, a page at a time; images as a stream too. */
export function addImageRoutes(api: Api, { operations, catalogue, stream }: ImagesApiParts): void {
  const tag = 'images';
  addPlainRoute(
    api,
    {
      method: 'get',
      path: '/images',
      tag,
      summary: 'Images that are cached: a page of them, or all of a selection as a stream',
      description:
        'With `Accept: application/x-ndjson` a document a line, of what `upstream`, `repository`, `tag` and `digest` select; the last line is `{"end":true}` or `{"error":{…}}`. Else a page, of what `search` and `upstream` select.',
      query: asked,
      content: { 'application/json': { schema: page }, [NDJSON]: { schema: named('Image', imageEntry) } },
    },
    async ({ query, signal, c }) => {
      const { search, sort, order, limit, after, ...selection } = query;
      if (c.req.header('accept')?.includes(NDJSON) === true) {
        assertAbsent({ search, sort, order, limit, after }, `with Accept: ${NDJSON} it has no meaning`);
        const wanted = selectionOf(selection);
        return stream(c, (joined) => operations.images(wanted, joined));
      }
      const { upstream, ...others } = selection;
      assertAbsent(others, 'accepted with Accept: application/x-ndjson alone; of a page: search');
      const wanted = {
        search,
        upstream,
        sort: sort ?? 'name',
        order,
        limit: limit ?? Number(USUAL_LIMIT),
        after,
      };
      return c.json(await catalogue.images(wanted, signal));
    },
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/images/detail',
      tag,
      summary: 'An image: its tags with what they meant before, and what of each platform is here',
      query: z.strictObject({ image: imageText }),
      answer: named('ImageDetail', imageDetail),
    },
    ({ query, signal }) => catalogue.image(query.image, signal),
  );
  addRoute(
    api,
    {
      method: 'get',
      path: '/blobs',
      tag: 'store',
      summary: 'Blobs that are stored, a page at a time',
      query: z.strictObject(paging),
      answer: named('BlobPage', blobPage),
    },
    ({ query: { limit = Number(USUAL_LIMIT), after }, signal }) => catalogue.blobs({ limit, after }, signal),
  );
}

function assertAbsent(values: Readonly<Record<string, unknown>>, why: string): void {
  const given = Object.keys(values).filter((key) => values[key] !== undefined);
  if (given.length > 0)
    throw new StoreOperationError('invalid', given.map((key) => `${key}: ${why}`).join('; '));
}
