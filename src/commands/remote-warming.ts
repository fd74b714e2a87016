import { printPlatform } from '../oci/platform.ts';
import { type WarmEvent, warmEvent } from '../warm/warm-events.ts';
import type { WarmOperations, WarmRequest, WarmTarget } from '../warm/warm-operations.ts';
import type { RemoteApi } from './remote-api.ts';

/** Warming by a running server, over its admin API. It ends when nobody listens any more. */
export class RemoteWarming implements WarmOperations {
  readonly #api: RemoteApi;

  constructor(api: RemoteApi) {
    this.#api = api;
  }

  warm(
    { targets, platforms, ...rest }: WarmRequest,
    signal: AbortSignal,
  ): AsyncGenerator<WarmEvent, void, undefined> {
    const body = { ...rest, targets: targets.map(written), platforms: platforms.map(printPlatform) };
    return this.#api.stream({ path: 'warm', body }, warmEvent, signal);
  }
}

function written(target: WarmTarget): object {
  if ('tags' in target) return target;
  const { reference, ...rest } = target;
  return { ...rest, ...reference };
}
