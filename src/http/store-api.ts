import { z } from 'zod';
import {
  evictEvent,
  pinChange,
  pinEntry,
  purgeEvent,
  storeStatus,
  verifyEvent,
} from '../cache/store-events.ts';
import type { StoreOperations } from '../cache/store-operations.ts';
import { flag, upstreamName } from './api-input.ts';
import { type Api, addRoute, addStreamRoute, named, type Stream } from './api-routes.ts';
import { selected, selectionOf } from './image-api-input.ts';

const purged = selected.extend({ upstream: upstreamName, dryRun: flag });
const bytesError = 'accepted is a number of bytes, 0 or more';
const evicted = z.strictObject({
  toBytes: z.int({ error: bytesError }).nonnegative({ error: bytesError }),
  dryRun: flag,
});
const pinned = z.strictObject({
  pattern: z.string({ error: 'accepted is [upstream/]repository[:tag][@digest]' }).min(1).max(1024),
});
const change = named('PinChange', pinChange);

export interface StoreApiParts {
  readonly operations: StoreOperations;
  readonly stream: Stream;
}

/** What is stored, and what is done to it. */
export function addStoreRoutes(api: Api, { operations, stream }: StoreApiParts): void {
  addRoute(
    api,
    {
      method: 'get',
      path: '/status',
      tag: 'store',
      summary: 'What the store holds, how it is and what goes on',
      answer: named('StoreStatus', storeStatus),
    },
    ({ signal }) => operations.status(signal),
  );
  addStreamRoute(
    api,
    {
      method: 'post',
      path: '/verify',
      tag: 'store',
      summary: 'Read what is cached and compare its digests',
      body: selected,
      event: named('VerifyEvent', verifyEvent),
    },
    stream,
    ({ body }) => {
      const wanted = selectionOf(body);
      return (signal) => operations.verify(wanted, signal);
    },
  );
  addRemovalRoutes(api, { operations, stream });
  addPinRoutes(api, operations);
}

function addRemovalRoutes(api: Api, { operations, stream }: StoreApiParts): void {
  addStreamRoute(
    api,
    {
      method: 'post',
      path: '/purge',
      tag: 'store',
      summary: 'Take something out of the cache, at once',
      description: 'A pull that runs is not disturbed, and may bring it back.',
      body: purged,
      event: named('PurgeEvent', purgeEvent),
    },
    stream,
    ({ body: { dryRun, ...rest } }) => {
      const wanted = selectionOf(rest);
      return (signal) => operations.purge(wanted, { dryRun }, signal);
    },
  );
  addStreamRoute(
    api,
    {
      method: 'post',
      path: '/evict',
      tag: 'store',
      summary: 'Give up what was used least until only so much is stored',
      description: 'With `dryRun` it only says what would go, in that order.',
      body: evicted,
      event: named('EvictEvent', evictEvent),
    },
    stream,
    ({ body }) =>
      (signal) =>
        operations.evict(body, signal),
  );
}

function addPinRoutes(api: Api, operations: StoreOperations): void {
  addRoute(
    api,
    {
      method: 'get',
      path: '/pins',
      tag: 'images',
      summary: 'What is never evicted',
      answer: z.array(named('Pin', pinEntry)),
    },
    async ({ signal }) => [...(await operations.pins(signal))],
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/pin',
      tag: 'images',
      summary: 'Have images never evicted',
      body: pinned,
      answer: change,
    },
    ({ body, signal }) => operations.pin(body.pattern, signal),
  );
  addRoute(
    api,
    {
      method: 'post',
      path: '/unpin',
      tag: 'images',
      summary: 'Take a pin away',
      body: pinned,
      answer: change,
    },
    ({ body, signal }) => operations.unpin(body.pattern, signal),
  );
}
