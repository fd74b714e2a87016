import { explanation, type ExplainOperations, type Explanation } from '../pull-through/explain-operations.ts';
import type { RemoteApi } from './remote-api.ts';

/** How a running server would answer, over its admin API. */
export class RemoteExplain implements ExplainOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  explain(image: string, signal: AbortSignal): Promise<Explanation> {
    const query = new URLSearchParams({ image }).toString();
    return this.#api.document({ path: `explain?${query}` }, explanation, signal);
  }
}
