import { z } from 'zod';
import { type ConfigDocument, configDocument } from '../config-document.ts';
import type { ReloadOperations, ReloadResult } from '../reload-operations.ts';
import type { RemoteApi } from './remote-api.ts';

const reloadResult = z.object({ changed: z.array(z.string()) });

/** The configuration of a running server, over its admin API. */
export class RemoteReload implements ReloadOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  reload(signal: AbortSignal): Promise<ReloadResult> {
    return this.#api.document({ path: 'reload', body: {} }, reloadResult, signal);
  }

  config(signal: AbortSignal): Promise<ConfigDocument> {
    return this.#api.document({ path: 'config' }, configDocument, signal);
  }
}
