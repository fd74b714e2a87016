import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Clock } from '../clock.ts';
import type { Stream } from './api-routes.ts';
import { ndjson } from './ndjson.ts';

/** Operations of a kind that go on at the same time; each may read the disk as fast as it can. */
const STREAMS_LIMIT = 4;

export interface StreamParts {
  readonly clock: Clock;
  /** Told of a fault of this program. Must not throw. */
  readonly onUnexpected: (error: unknown) => void;
}

/** Answers that tell as they go, so many at the same time. */
export function apiStreams({ clock, onUnexpected }: StreamParts): Stream {
  let count = 0;
  return (c, steps) => {
    if (count >= STREAMS_LIMIT)
      throw new StoreOperationError('busy', `${STREAMS_LIMIT} operations are running; try again later`);
    count += 1;
    return ndjson(steps, { clock, signal: c.req.raw.signal, onUnexpected, onEnd: () => (count -= 1) });
  };
}
