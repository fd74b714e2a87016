import { z } from 'zod';
import {
  type EvictEvent,
  evictEvent,
  type ImageEntry,
  imageEntry,
  type PinChange,
  pinChange,
  type PinEntry,
  pinEntry,
  type PurgeEvent,
  purgeEvent,
  type StoreStatus,
  storeStatus,
  type VerifyEvent,
  verifyEvent,
} from '../cache/store-events.ts';
import type { ImageSelection, StoreOperations } from '../cache/store-operations.ts';
import type { RemoteApi } from './remote-api.ts';

/** Operations on the store of a running server, over its admin API. */
export class RemoteOperations implements StoreOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  async status(signal: AbortSignal): Promise<StoreStatus> {
    return this.#api.document({ path: 'status' }, storeStatus, signal);
  }

  images(selection: ImageSelection, signal: AbortSignal): AsyncIterable<ImageEntry> {
    const query = new URLSearchParams(Object.entries(fieldsOf(selection))).toString();
    return this.#api.stream({ path: `images?${query}` }, imageEntry, signal);
  }

  purge(
    selection: ImageSelection,
    { dryRun }: { readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<PurgeEvent> {
    return this.#api.stream({ path: 'purge', body: { ...fieldsOf(selection), dryRun } }, purgeEvent, signal);
  }

  verify(selection: ImageSelection, signal: AbortSignal): AsyncIterable<VerifyEvent> {
    return this.#api.stream({ path: 'verify', body: fieldsOf(selection) }, verifyEvent, signal);
  }

  evict(
    { toBytes, dryRun }: { readonly toBytes: number; readonly dryRun: boolean },
    signal: AbortSignal,
  ): AsyncIterable<EvictEvent> {
    return this.#api.stream({ path: 'evict', body: { toBytes, dryRun } }, evictEvent, signal);
  }

  async pin(text: string, signal: AbortSignal): Promise<PinChange> {
    return this.#api.document({ path: 'pin', body: { pattern: text } }, pinChange, signal);
  }

  async unpin(text: string, signal: AbortSignal): Promise<PinChange> {
    return this.#api.document({ path: 'unpin', body: { pattern: text } }, pinChange, signal);
  }

  async pins(signal: AbortSignal): Promise<readonly PinEntry[]> {
    return this.#api.document({ path: 'pins' }, z.array(pinEntry), signal);
  }
}

function fieldsOf({ upstream, repository, reference }: ImageSelection): Record<string, string> {
  return {
    ...(upstream !== undefined && { upstream }),
    ...(repository !== undefined && { repository }),
    ...reference,
  };
}
