import { StoreOperationError } from '../cache/store-operation-error.ts';
import type { Clock } from '../clock.ts';

/** What says that it goes on while there is nothing to tell: readers take a long silence for a death. */
const HEARTBEAT_MS = 10_000;
/** What fails sooner than this is an answer of its own. */
const FIRST_MS = 1000;

export interface NdjsonOptions {
  readonly clock: Clock;
  /** Of the request: aborted when the client is gone. */
  readonly signal: AbortSignal;
  /** Told of a fault of this program that ended it. */
  readonly onUnexpected?: ((error: unknown) => void) | undefined;
  /** Called once. */
  readonly onEnd: () => void;
}

/**
 * One JSON document a line, each as it comes, and no faster than it is read; blank lines mean nothing. The last line is
 * `{"end":true}`, or `{"error":{reason,message}}`: without either it was cut off. What fails at once is an
 * answer of its own.
 */
export async function ndjson<T>(
  steps: (signal: AbortSignal) => AsyncIterable<T>,
  { clock, signal, onUnexpected, onEnd }: NdjsonOptions,
): Promise<Response> {
  const leaving = new AbortController();
  const joined = AbortSignal.any([signal, leaving.signal]);
  const iterator = steps(joined)[Symbol.asyncIterator]();
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    signal.removeEventListener('abort', end);
    leaving.abort();
    onEnd();
  };
  // Of a body that nobody has begun to read nobody says that it is not wanted any more.
  signal.addEventListener('abort', end);
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<T>> | undefined = iterator.next();
  try {
    await orNothing(next, FIRST_MS, { clock, signal: joined });
  } catch (error) {
    end();
    throw error;
  }
  const line = (document: object): Uint8Array => encoder.encode(`${JSON.stringify(document)}\n`);
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        next ??= iterator.next();
        try {
          const step = await orNothing(next, HEARTBEAT_MS, { clock, signal: joined });
          if (step === undefined) {
            controller.enqueue(encoder.encode('\n'));
            return;
          }
          next = undefined;
          if (step.done !== true) {
            controller.enqueue(line(step.value as object));
            return;
          }
          controller.enqueue(line({ end: true }));
        } catch (error) {
          const isKnown = error instanceof StoreOperationError;
          if (!isKnown && !joined.aborted) onUnexpected?.(error);
          const reason = isKnown ? error.reason : 'failed';
          const message = isKnown ? error.message : 'an unexpected error';
          controller.enqueue(line({ error: { reason, message } }));
        }
        controller.close();
        end();
      },
      cancel: async () => {
        end();
        next?.catch(() => undefined);
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { 'Content-Type': 'application/x-ndjson' } });
}

/** `undefined` when nothing came for so long. */
async function orNothing<T>(
  next: Promise<T>,
  limitMs: number,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<T | undefined> {
  const waiting = new AbortController();
  const late = clock
    .sleep(limitMs, AbortSignal.any([signal, waiting.signal]))
    .then(() => undefined)
    // Whoever is gone need hear of nothing: the work ends by the same signal.
    .catch(() => next);
  try {
    return await Promise.race([next, late]);
  } finally {
    waiting.abort();
  }
}
